"""`lymphct train`: one stage or all, from a cohort to a bundle."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lymphct.cli.context import GLOBALS, chosen_config
from lymphct.cli.options import DryRun, Labels
from lymphct.cli.outlooks import after_reading, end_dry_run, lesson_line, settle
from lymphct.core.terms import StageName

if TYPE_CHECKING:
    from lymphct.study.progress import Step

logger = logging.getLogger(__name__)

EVERYTHING: Final = "all"
STAGES: Final = (*(stage.value for stage in StageName), EVERYTHING)


def _known_stage(stage: str) -> str:
    if stage not in STAGES:
        msg = f"{stage!r} is not one of {', '.join(STAGES)}"
        raise typer.BadParameter(msg)
    return stage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    stage: Annotated[
        str,
        typer.Argument(
            help="Which stage; all = the five in their order.",
            metavar="|".join(STAGES),
            callback=_known_stage,
        ),
    ],
    cohort: Annotated[Path, typer.Option(help="Manifest, cohort.csv.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the bundle appears in it.")],
    init: Annotated[
        Path | None, typer.Option(help="Bundle whose other stages are taken over; fitted on other patients.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    labels: Labels = "auto",
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of prepared patients that runs share; default: in the run."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "bundle",
    imagenet: Annotated[
        Path | None, typer.Option(help="ResNet-18 weights (safetensors, torchvision's names).")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Train on your own cohort; prints the folder of the bundle."""
    config = chosen_config()
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifest import read_manifest

    scheme = label_scheme(labels)
    manifest = read_manifest(cohort)
    from lymphct.io.models.weights import read_tensors
    from lymphct.io.results.store import locked
    from lymphct.study.outlook import foresee_training
    from lymphct.study.single_split import TrainingRequest, train_all, train_one

    request = TrainingRequest(
        folder=out,
        name=name,
        records=manifest.patients,
        config=config,
        seed=GLOBALS.seed,
        labels=scheme,
        work=work,
        device=GLOBALS.device,
        jobs=GLOBALS.jobs,
        init=init,
        resume=resume,
        pretrained=None if imagenet is None else read_tensors(imagenet),
    )
    only = None if stage == EVERYTHING else StageName(stage)
    outlook = foresee_training(manifest, request, only)
    if dry_run:
        end_dry_run(after_reading(outlook, manifest, scheme))
    settle(outlook)
    for lesson in outlook.lessons:
        logger.info(lesson_line(lesson))
    with locked(out), training_progress() as progress:
        bundle = train_all(request, progress) if only is None else train_one(request, only, progress)
    typer.echo(str(bundle))


@contextmanager
def training_progress() -> Iterator[Callable[["Step"], None]]:
    """Show a bar per stage on an interactive terminal, a line per epoch elsewhere."""
    if GLOBALS.quiet:
        yield lambda _: None
        return
    if not GLOBALS.show_progress:
        yield _line
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True)) as bars:
        tasks: dict[StageName, TaskID] = {}

        def advance(step: "Step") -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=step.epochs)
            done = f"{step.stage}: {_figures(step)}"
            bars.update(tasks[step.stage], completed=step.epoch, description=done)

        yield advance


def _line(step: "Step") -> None:
    done = f"{step.stage} {step.epoch}/{step.epochs}: {_figures(step)}"
    typer.echo(f"{done}, {step.seconds:.0f} s", err=True)


def _figures(step: "Step") -> str:
    score = "" if step.score is None else f", score {step.score:.3f}"
    return f"loss {step.loss:.3f}{score}"
