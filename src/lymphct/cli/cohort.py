"""`lymphct phantom` and `lymphct check`: make a cohort, check a cohort."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lymphct.cli.context import GLOBALS, chosen_config, counted, progress_bar
from lymphct.cli.options import AsJson, CohortFile, Labels
from lymphct.cli.outlooks import after_reading, checked_cohort, show_outlook

if TYPE_CHECKING:
    from lymphct.io.images.reading import Scheme
    from lymphct.io.manifest import Manifest
    from lymphct.patients.foresight.outlook import Outlook

NOWHERE: Final = Path(".lymphct-no-folder-was-chosen")
"""Stands for the folder of results that was not given: its disk is the one of the working directory."""


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
    HARD = "hard"


class Purpose(StrEnum):
    """Commands whose course can be told beforehand."""

    TRAIN = "train"
    PREDICT = "predict"
    CROSSVAL = "crossval"


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
    mode: Annotated[
        Mode, typer.Option(help="unbiased: counts do not tell the status; hard: much looks like a node.")
    ] = Mode.PAPER,
    center: Annotated[
        str, typer.Option(help="discovery, external1, external2 or a name of your own.")
    ] = "discovery",
    phase_shift: Annotated[Switch, typer.Option(help="Breathing between the phases.")] = Switch.ON,
    crowding: Annotated[
        int, typer.Option(min=1, help="Times as many lymph nodes, to teach identification from few phantoms.")
    ] = 1,
    first: Annotated[int, typer.Option(min=0, help="Index of the first patient.")] = 0,
) -> None:
    """Generate synthetic patients with known truth."""
    from lymphct.patients.phantoms import PhantomCohort, write_phantoms
    from lymphct.phantom.settings import PhantomSettings

    settings = PhantomSettings(
        size=size.value,
        mode=mode.value,
        center=center,
        phase_shift=phase_shift is Switch.ON,
        crowding=crowding,
    )
    cohort = PhantomCohort(folder=out, settings=settings, seed=GLOBALS.seed, patients=patients, first=first)
    GLOBALS.go_on = lambda: "run the same command again: patients that are there are kept"
    with progress_bar("phantoms", patients) as advance:
        manifest = write_phantoms(cohort, jobs=GLOBALS.jobs, progress=advance)
    typer.echo(str(manifest))


def check(
    cohort: CohortFile,
    purpose: Annotated[
        Purpose | None,
        typer.Option("--for", help="Also say what this command would do, learn from and need."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --for: folder of the results, to check as well.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="With --for predict: models; default: the shipped phantom bundle.")
    ] = None,
    labels: Labels = "auto",
    as_json: AsJson = False,
) -> None:
    """Report every problem of a manifest and its images at once, each with its cure."""
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifest import read_manifest

    chosen_config()  # a mistake in the settings is told before anything is read
    if purpose is None and (out is not None or bundle is not None):
        msg = "--out and --bundle tell nothing without --for"
        raise typer.BadParameter(msg)
    scheme = label_scheme(labels)
    manifest = read_manifest(cohort)
    if purpose is not None:
        outlook = _foreseen(purpose, manifest, TrialRun(out=out or NOWHERE, bundle=bundle, labels=scheme))
        outlook = after_reading(outlook, manifest, scheme)
        show_outlook(outlook, as_json=as_json)
        if outlook.problems:
            raise typer.Exit(3)
        return
    checked = checked_cohort(manifest, scheme)
    if as_json:
        typer.echo(json.dumps(checked.record()))
    else:
        for notice in checked.notices:
            typer.echo(f"notice: line 1: {notice.text}")
        for problem in checked.problems:
            typer.echo(str(problem))
        patients = counted(len(checked.patients), "patient")
        typer.echo(f"{counted(len(checked.problems), 'problem')} in {patients}")
    if checked.problems:
        raise typer.Exit(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRun:
    """What a command would be given besides the cohort."""

    out: Path
    bundle: Path | None
    labels: "Scheme"


def _foreseen(purpose: Purpose, manifest: "Manifest", run: TrialRun) -> "Outlook":
    config = chosen_config()
    if purpose is Purpose.PREDICT:
        from lymphct.io.models.bundles import shipped_bundle_path
        from lymphct.patients.foresight.foreseeing import foresee_prediction
        from lymphct.patients.predicting.prediction import PredictionRequest, images_of

        bundle = (run.bundle or shipped_bundle_path()).resolve()
        request = PredictionRequest(bundle=bundle, config=config, labels=run.labels, device=GLOBALS.device)
        return foresee_prediction(images_of(manifest, ()), request, run.out, jobs=GLOBALS.jobs)
    from lymphct.study.outlook import foresee_crossval, foresee_training
    from lymphct.study.request import TrainingRequest

    training = TrainingRequest(
        folder=run.out,
        name="bundle",
        records=manifest.patients,
        config=config,
        seed=GLOBALS.seed,
        labels=run.labels,
        device=GLOBALS.device,
        jobs=GLOBALS.jobs,
    )
    foresee = foresee_training if purpose is Purpose.TRAIN else foresee_crossval
    return foresee(manifest, training)
