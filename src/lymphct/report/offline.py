"""What all pages share: one HTML file that loads nothing and says first what matters first."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import JsonValue

from lymphct.core.terms import PHANTOM_NOTICE
from lymphct.report.tables import PHANTOM_WARNING, RESEARCH_USE


def rendered(
    template: str,
    bundles: Sequence[Mapping[str, JsonValue]],
    *,
    sheets: Sequence[str] = ("page.css",),
    scripts: Sequence[str] = (),
    **values: object,
) -> str:
    """Return a page from its template; equal values give equal text.

    Args:
        template: file among the templates.
        bundles: facts of the bundles that made what is shown; their warnings stand at the top.
        sheets: style sheets of the package, in their order.
        scripts: text of every script that may run in the page.
        values: what the template shows.

    """
    style = "".join(map(template_text, sheets))
    return (
        templates()
        .get_template(template)
        .render(
            style=style,
            policy=content_policy(style, scripts),
            research_use=RESEARCH_USE,
            phantom_warning=PHANTOM_WARNING if any(b["is_phantom"] is True for b in bundles) else "",
            bundle_notices=bundle_notices(bundles),
            **values,
        )
    )


def bundle_notices(bundles: Sequence[Mapping[str, JsonValue]]) -> list[str]:
    """Return what the bundles want readers to know first, each once, without what the warning says anyway."""
    said = dict.fromkeys(str(bundle["notice"]) for bundle in bundles)
    is_phantom = any(bundle["is_phantom"] is True for bundle in bundles)
    return [notice for notice in said if notice and not (is_phantom and notice == PHANTOM_NOTICE)]


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
def template_text(name: str) -> str:
    """Return a file beside the templates as it is, such as `page.css`."""
    return files("lymphct.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def content_policy(style: str, scripts: Sequence[str] = ()) -> str:
    """Allow the pictures in the page, this one style and these scripts by their digests; no network."""
    allowed = f"script-src {' '.join(map(_digest, scripts))}; " if scripts else ""
    return (
        f"default-src 'none'; {allowed}img-src data:; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
