"""`lymphct dicom`: a finished result as DICOM objects for a PACS."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lymphct.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dicom")(dicom)


def dicom(
    result: Annotated[Path, typer.Argument(help="Folder of one patient that predict made.")],
    venous: Annotated[
        Path,
        typer.Option(
            help="Venous phase in DICOM: the series the result was made from, or the one its NIfTI file was "
            "converted from. A folder or .zip (FOLDER#2: its second series)."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Write a finished result as DICOM SEG, parametric map and SR into its folder dicom."""
    from lymphct.patients.predicting.dicom_objects import write_dicom

    folder = write_dicom(result, venous)
    files = sorted(path.name for path in folder.glob("*.dcm"))
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "files": files}))
        return
    for name in files:
        typer.echo(str(folder / name))
