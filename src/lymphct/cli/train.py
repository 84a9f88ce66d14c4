"""`lymphct train`: one stage or all, from a cohort to a bundle."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lymphct.cli.context import GLOBALS

if TYPE_CHECKING:
    from lymphct.learning.training import EpochRecord


class Stage(StrEnum):
    """What to train."""

    STRUCTURES = "structures"
    TUMOR = "tumor"
    NODES = "nodes"
    IDENTIFICATION = "identification"
    METASTASIS = "metastasis"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    stage: Annotated[Stage, typer.Argument(help="Which stage; all = the five in their order.")],
    cohort: Annotated[Path, typer.Option(help="Manifest, cohort.csv.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the bundle appears in it.")],
    init: Annotated[
        Path | None, typer.Option(help="Bundle whose other stages are taken over; fitted on other patients.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    labels: Annotated[
        str, typer.Option(help="Numbering of the structures: lymphct, totalsegmentator or a YAML file.")
    ] = "lymphct",
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "bundle",
    imagenet: Annotated[
        Path | None, typer.Option(help="ResNet-18 weights (safetensors, torchvision's names).")
    ] = None,
) -> None:
    """Train on your own cohort; prints the folder of the bundle."""
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifest import read_manifest
    from lymphct.io.manifest_check import require_usable
    from lymphct.io.models.weights import read_tensors
    from lymphct.io.settings import load_config
    from lymphct.study.plan import STAGES
    from lymphct.study.single_split import TrainingRequest, train_all, train_one

    manifest = read_manifest(cohort)
    for problem in require_usable(manifest).values():
        raise problem
    request = TrainingRequest(
        folder=out,
        name=name,
        records=manifest.patients,
        config=load_config(GLOBALS.config, GLOBALS.overrides),
        seed=GLOBALS.seed,
        labels=label_scheme(labels),
        device=GLOBALS.device,
        jobs=GLOBALS.jobs,
        init=init,
        resume=resume,
        pretrained=None if imagenet is None else read_tensors(imagenet),
    )
    with training_progress() as progress:
        bundle = (
            train_all(request, progress)
            if stage is Stage.ALL
            else train_one(request, STAGES[STAGES.index(stage.value)], progress)
        )
    typer.echo(str(bundle))


@contextmanager
def training_progress() -> Iterator[Callable[[str, "EpochRecord", int], None]]:
    """Show a bar per stage on an interactive terminal, a line per epoch elsewhere."""
    if GLOBALS.quiet:
        yield lambda _stage, _record, _epochs: None
        return
    if not GLOBALS.show_progress:
        yield _line
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bars:
        tasks = {}

        def advance(stage: str, record: "EpochRecord", epochs: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=epochs)
            bars.update(tasks[stage], completed=record.epoch, description=f"{stage}: {_figures(record)}")

        yield advance


def _line(stage: str, record: "EpochRecord", epochs: int) -> None:
    typer.echo(f"{stage} {record.epoch}/{epochs}: {_figures(record)}, {record.seconds:.0f} s", err=True)


def _figures(record: "EpochRecord") -> str:
    score = "" if record.score is None else f", score {record.score:.3f}"
    return f"loss {record.loss:.3f}{score}"
