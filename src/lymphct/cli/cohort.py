"""`lymphct phantom` and `lymphct check`: make a cohort, check a cohort."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lymphct.cli.context import GLOBALS, counted, progress_bar
from lymphct.cli.options import AsJson, CohortFile, Labels


class Size(StrEnum):
    """Voxel grids of the phantoms."""

    NANO = "nano"
    TINY = "tiny"
    TALL = "tall"
    SMALL = "small"
    PAPER = "paper"


class Mode(StrEnum):
    """How node counts depend on the label."""

    PAPER = "paper"
    UNBIASED = "unbiased"


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("phantom")(phantom)
    app.command("check")(check)


def phantom(
    out: Annotated[
        Path, typer.Argument(help="Folder of the cohort: cohort.csv, truth.json, a folder per patient.")
    ],
    patients: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    size: Annotated[Size, typer.Option(help="Voxel grid.")] = Size.TINY,
    mode: Annotated[Mode, typer.Option(help="unbiased: node counts do not tell the status.")] = Mode.PAPER,
    center: Annotated[
        str, typer.Option(help="discovery, external1, external2 or a name of your own.")
    ] = "discovery",
    phase_shift: Annotated[Switch, typer.Option(help="Breathing between the phases.")] = Switch.ON,
    first: Annotated[int, typer.Option(min=0, help="Index of the first patient.")] = 0,
) -> None:
    """Generate synthetic patients with known truth."""
    from lymphct.patients.phantoms import PhantomCohort, write_phantoms
    from lymphct.phantom.settings import PhantomSettings

    settings = PhantomSettings(
        size=size.value, mode=mode.value, center=center, phase_shift=phase_shift is Switch.ON
    )
    cohort = PhantomCohort(folder=out, settings=settings, seed=GLOBALS.seed, patients=patients, first=first)
    with progress_bar("phantoms", patients) as advance:
        manifest = write_phantoms(cohort, jobs=GLOBALS.jobs, progress=advance)
    typer.echo(str(manifest))


def check(
    cohort: CohortFile,
    labels: Labels = "auto",
    as_json: AsJson = False,
) -> None:
    """Report every problem of a manifest and its images at once, each with its cure."""
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifest import read_manifest
    from lymphct.patients.checking import check_manifest

    patients = sum(not record.is_excluded for record in read_manifest(cohort).patients)
    with progress_bar("patients", patients) as advance:
        problems = check_manifest(cohort, labels=label_scheme(labels), jobs=GLOBALS.jobs, progress=advance)
    if as_json:
        typer.echo(json.dumps({"patients": patients, "problems": [p.record() for p in problems]}))
    else:
        for problem in problems:
            typer.echo(str(problem))
        typer.echo(f"{counted(len(problems), 'problem')} in {counted(patients, 'patient')}")
    if problems:
        raise typer.Exit(3)
