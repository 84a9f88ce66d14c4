"""What every page shares: templates that escape what they are given, and a policy that lets nothing load."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def templates() -> Environment:
    """Return the templates of the package: text is escaped, a name that is not given is an error."""
    return Environment(
        loader=PackageLoader("lymphct.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def style_sheet(name: str) -> str:
    """Return a style sheet of the package, such as `patient.css`."""
    return files("lymphct.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def content_policy(style: str) -> str:
    """Allow the pictures in the page and this one style, nothing else: no script, no network."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
