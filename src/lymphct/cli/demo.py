"""`lymphct demo`: see every stage at work on phantoms."""

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from lymphct.cli.context import GLOBALS
from lymphct.cli.effect import require_effect

logger = logging.getLogger(__name__)

RECIPE = "phantom_tiny"
TRAINING_PATIENTS = 30
SHORTER = (
    "structures.training.epochs=4",
    "tumor.training.epochs=4",
    "tumor.training.validate_every=2",
    "nodes.training.epochs=8",
    "nodes.training.validate_every=4",
    "identification.training.epochs=4",
    "metastasis.training.epochs=6",
)
"""The recipe of the shipped bundle in a quarter of an hour: enough to see every stage learn, no more."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the demo.")] = Path("lymphct-demo"),
    train: Annotated[bool, typer.Option("--train", help="Train every stage first, on 30 phantoms.")] = False,
    patients: Annotated[int, typer.Option(min=3, help="How many to predict.")] = 3,
) -> None:
    """Generate phantom patients, find and call their lymph nodes, predict their status; a report for each."""
    if not train:
        require_effect("predict", GLOBALS.overrides)
    from lymphct.io.settings import load_config

    began = time.perf_counter()
    recipe, shorter = (GLOBALS.config, ()) if GLOBALS.config else (RECIPE, SHORTER)
    config = load_config(recipe, [*shorter, *GLOBALS.overrides])
    from lymphct.cli.outcomes import print_outcome
    from lymphct.cli.predicted import told_once
    from lymphct.cli.train import training_progress
    from lymphct.report.cohort import COHORT_FILE
    from lymphct.study.demonstration import Demonstration, demonstrate

    show = Demonstration(
        out=out,
        config=config,
        patients=patients,
        training_patients=TRAINING_PATIENTS if train else 0,
        device=GLOBALS.device,
        jobs=GLOBALS.jobs,
    )
    GLOBALS.go_on = lambda: "run the same command again: what is done is kept"
    with training_progress() as progress:
        outcome = demonstrate(show, step=logger.info, progress=progress)
    print_outcome(outcome, told_once(outcome))
    for name in outcome.results:
        typer.echo(f"report: {out / name / 'report.html'}")
    if outcome.results:
        typer.echo(f"all patients: {out / COHORT_FILE}")
    logger.info("done in %.0f s", time.perf_counter() - began)
    if outcome.failures:
        raise typer.Exit(4)
