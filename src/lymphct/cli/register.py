"""`lymphct register`: bring one CT onto another of the same patient (Sec. IV-A.2)."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import GLOBALS, chosen_config, shared_console
from lymphct.cli.options import IMAGE
from lymphct.core.terms import RegistrationMethod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lymphct.registration.settings import RegistrationSettings

logger = logging.getLogger(__name__)


class Start(StrEnum):
    """Where a registration starts from."""

    WORLD = "world"
    AFFINE = "affine"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("register")(register_command)


def register_command(
    fixed: Annotated[Path, typer.Option(help=f"Image that stays, such as the venous phase: {IMAGE}.")],
    moving: Annotated[Path, typer.Option(help="Image that is brought onto it, such as the arterial phase.")],
    out: Annotated[Path, typer.Option(help="Folder of warped.nii.gz, field.nii.gz and registration.json.")],
    method: Annotated[
        RegistrationMethod | None,
        typer.Option(help="Default: deeds. none takes the patient's coordinates as they are."),
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Isotropic spacing of the work grid, mm. Default: 2.")
    ] = None,
    init: Annotated[
        Start | None, typer.Option(help="affine: fit an affine map first, for images of two sessions.")
    ] = None,
    keep_flagged: Annotated[
        bool,
        typer.Option(
            "--keep-flagged", help="Write a suspicious result too, instead of falling back to none."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print registration.json on stdout.")] = False,
) -> None:
    """Register a moving CT to a fixed one and measure how far the result can be trusted."""
    given: dict[str, Any] = {"method": method, "spacing_mm": spacing, "init": init}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = _settings(changes | ({"fall_back": False} if keep_flagged else {}))
    from lymphct.io.threads import usable_threads
    from lymphct.patients.registration import RegistrationRequest, register_files

    request = RegistrationRequest(fixed=fixed, moving=moving, settings=settings, threads=usable_threads())
    with _share_bar("registration") as progress:
        record = register_files(request, out, progress=progress)
    if as_json:
        typer.echo(json.dumps(record))
    else:
        typer.echo(summary_line(record))
    for flag in record["flags"]:
        logger.warning("registration flagged: %s", flag)
    if record["method_used"] != record["method"]:
        logger.warning("the patient's coordinates alone were used (--keep-flagged keeps the deformation)")


def summary_line(record: "Mapping[str, Any]") -> str:
    """Say in one line how a registration went.

    >>> report = {"method_used": "deeds", "distance_before": 9.25, "distance_after": 4.0, "min_jacobian": 0.5}
    >>> summary_line({**report, "folding_percent": 0.0, "consistency_p95_mm": 1.25, "seconds": 12.3})
    'deeds: descriptor distance 9.25 to 4.00, folding 0 %, least Jacobian 0.50, misses 1.2 mm (p95), 12 s'
    """
    parts = []
    if record["distance_before"] is not None:
        parts.append(f"descriptor distance {record['distance_before']:.2f} to {record['distance_after']:.2f}")
    parts.append(f"folding {record['folding_percent']:.2g} %")
    parts.append(f"least Jacobian {record['min_jacobian']:.2f}")
    if record["consistency_p95_mm"] is not None:
        parts.append(f"misses {record['consistency_p95_mm']:.1f} mm (p95)")
    parts.append(f"{record['seconds']:.0f} s")
    return f"{record['method_used']}: {', '.join(parts)}"


def _settings(changes: "Mapping[str, Any]") -> "RegistrationSettings":
    from pydantic import ValidationError

    from lymphct.core.errors import UsageError
    from lymphct.registration.settings import RegistrationSettings

    chosen = chosen_config().registration
    try:
        return RegistrationSettings.model_validate({**chosen.model_dump(), **changes})
    except ValidationError as error:
        msg = "; ".join(f"{found['loc'][0]}: {found['msg']}" for found in error.errors())
        raise UsageError(msg, code="E_SETTING", cure="see lymphct register --help") from error


@contextmanager
def _share_bar(title: str) -> Iterator[Callable[[str, float], None] | None]:
    """Show a bar on an interactive terminal; it is told what is done and the share of the work finished."""
    if not GLOBALS.show_progress:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=shared_console(), transient=True) as bars:
        task = bars.add_task(title, total=1.0)
        yield lambda text, share: bars.update(task, completed=share, description=f"{title}: {text}")
