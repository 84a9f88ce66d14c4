"""`lymphct trace`: arteries between organs, where no mask of them is to be had."""

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from lymphct.cli.context import chosen_config
from lymphct.cli.options import IMAGE, AsJson, Labels, Registration

logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trace")(trace)


def trace(
    venous: Annotated[Path, typer.Option(help=f"Venous phase: {IMAGE}.")],
    structures: Annotated[
        Path,
        typer.Option(help="Label map with the aorta (.nii.gz), or a folder of <structure>.nii.gz files."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of structures.nii.gz and trace.json.")],
    arterial: Annotated[
        Path | None, typer.Option(help="Arterial phase, in which the arteries are traced.")
    ] = None,
    labels: Labels = "auto",
    registration: Annotated[
        Registration | None, typer.Option(help="Default: deeds. none trusts the patient's coordinates.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Trace coeliac trunk, splenic, hepatic and superior mesenteric artery from organ masks."""
    from lymphct.core.errors import UsageError

    if arterial is None:
        msg = "arteries are traced in the arterial phase, and none was given"
        raise UsageError(msg, code="E_NO_ARTERIAL", cure="--arterial FILE")
    config = chosen_config()
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.threads import usable_threads
    from lymphct.patients.tracing import TracingRequest, trace_files

    how = config.registration
    if registration is not None:
        how = how.model_copy(update={"method": registration.value})
    request = TracingRequest(
        venous=venous,
        arterial=arterial,
        structures=structures,
        labels=label_scheme(labels),
        settings=config.tracing,
        registration=how,
        threads=usable_threads(),
    )
    record = trace_files(request, out)
    if as_json:
        typer.echo(json.dumps(record))
    for name, artery in record["arteries"].items():
        if artery["traced"]:
            note = f" ({artery['note']})" if artery["note"] else ""
            logger.info(
                "traced %s: %.0f mm, confidence %.2f%s", name, artery["length_mm"], artery["confidence"], note
            )
        else:
            logger.warning("withheld %s: %s", name, artery["reason"])
