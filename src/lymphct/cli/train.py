"""`lymphct train`: one stage or all, from a cohort to a bundle."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lymphct.cli.context import GLOBALS, chosen_config, duration
from lymphct.cli.effect import refuse_settings
from lymphct.cli.options import DryRun, Labels, Rehash
from lymphct.cli.outlooks import after_reading, end_dry_run, lesson_line, settle, share_line
from lymphct.core.terms import StageName

if TYPE_CHECKING:
    from lymphct.config import Config
    from lymphct.study.progress import Beat, Progress, Step
    from lymphct.study.pulse import Pulse

logger = logging.getLogger(__name__)

EVERYTHING: Final = "all"
NNUNET: Final = "nnunet:"
"""Begins a value of `--init` that names an nnU-Net."""
FIRST: Final = 20
"""Iterations after which the pace is told: the first ones wait for images and compile."""
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
    cohort: Annotated[
        list[Path], typer.Option(help="Manifest, cohort.csv; repeatable: several cohorts together.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; the bundle appears in it.")],
    init: Annotated[
        Path | None,
        typer.Option(
            help="Bundle whose other stages are taken over; fitted on other patients. For nodes also "
            "nnunet:FOLDER: stage 1 starts from the encoder and decoder of a trained nnU-Net."
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Bundle from whose network the stage starts (fine-tuning), of the same settings."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    labels: Labels = "auto",
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of prepared patients that runs share; default: in the run."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "bundle",
    imagenet: Annotated[
        Path | None,
        typer.Option(
            help="ResNet-18 weights the status network starts from (safetensors, torchvision's names)."
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            help="Several devices, cuda:0,cuda:1: stages that do not wait for one another take one each; a "
            "device named twice takes two."
        ),
    ] = None,
    rehash: Rehash = False,
    random_init: Annotated[
        bool, typer.Option("--random-init", help="Start the status network without ImageNet weights.")
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Masks that structures are learned from besides drawn ones, the most trusted source first: "
            "any of `lymphct structures --list` (bundle:FOLDER, nnunet:FOLDER, totalsegmentator, pants:PATH, "
            "trace …), a folder of masks, a path with {patient}; separated by commas.",
            metavar="SOURCE[,SOURCE]",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=2, help="With --teacher: the first student teaches the second round.")
    ] = 1,
    few: Annotated[
        bool,
        typer.Option(
            "--few",
            help="With tumor: a network of the arterial phase learns from the few drawn masks and draws "
            "everybody else, and the tumor network learns from both; scored on split test.",
        ),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Train on your own cohort; prints the folder of the bundle."""
    _require_structures(stage, teacher, rounds)
    _require_tumor(stage, few=few)
    config = started(chosen_config(), imagenet, random_init=random_init)
    init, nnunet = _origins(init, stage)
    if stage in {StageName.METASTASIS, EVERYTHING} and start_from is None:
        from lymphct.metastasis.settings import require_start

        require_start(config.metastasis, given=imagenet is not None)
    from lymphct.core.origin import united
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifests import read_manifests
    from lymphct.io.source_record import origins_beside
    from lymphct.io.structure_sources import mask_origins

    scheme = label_scheme(labels)
    manifest = read_manifests(cohort)
    from lymphct.io.models.loading import read_pretrained
    from lymphct.io.results.store import locked
    from lymphct.study.few import with_some_kept_aside
    from lymphct.study.outlook import foresee_training
    from lymphct.study.places import named_devices
    from lymphct.study.plan import PLAN_FILE
    from lymphct.study.request import FEW, SELF_LEARNING, Teaching, TrainingRequest
    from lymphct.study.single_split import train_all, train_one

    request = TrainingRequest(
        folder=out,
        name=name,
        records=manifest.patients,
        config=config,
        seed=GLOBALS.seed,
        labels=scheme,
        work=work,
        device=GLOBALS.device,
        devices=() if devices is None else named_devices(devices),
        jobs=GLOBALS.jobs,
        init=init,
        start_from=start_from,
        origins=united(
            origins_beside(cohort), mask_origins(record.structures for record in manifest.patients)
        ),
        resume=resume,
        rehash=rehash,
        pretrained=None if imagenet is None else read_pretrained(imagenet),
        teaching=None if teacher is None else Teaching(sources=teacher, rounds=rounds),
        nnunet=nnunet,
        few=few,
    )
    request = with_some_kept_aside(request)
    only = None if stage == EVERYTHING else StageName(stage)
    outlook = foresee_training(manifest, request, only)
    if dry_run:
        end_dry_run(after_reading(outlook, manifest, scheme))
    settle(outlook)
    for line in (*map(share_line, outlook.parts), *map(lesson_line, outlook.lessons)):
        logger.info(line)
    traces = [out / PLAN_FILE if only is None else out / "stages" / only]
    traces += [out / SELF_LEARNING] if teacher is not None else []
    traces += [out / FEW] if few else []
    GLOBALS.go_on = lambda: (
        f"run the same command again{' with --resume' if any(trace.exists() for trace in traces) else ''}"
    )
    with locked(out), training_progress() as progress:
        bundle = train_all(request, progress) if only is None else train_one(request, only, progress)
    typer.echo(str(bundle))


def _require_structures(stage: str, teacher: str | None, rounds: int) -> None:
    """Refuse what says how structures are learned where they are not, or without a teacher."""
    from lymphct.core.errors import UsageError

    if teacher is not None and stage != StageName.STRUCTURES:
        msg = f"--teacher teaches structures, not {stage}"
        cure = "lymphct train structures --teacher … first, then the other stages with the same --out"
        raise UsageError(msg, cure=cure)
    if teacher is None and GLOBALS.overrides:
        from lymphct.anatomy.settings import SelfLearningSettings

        names = [f"self_learning.{name}" for name in SelfLearningSettings.model_fields]
        refuse_settings(GLOBALS.overrides, names, "nobody teaches", "add --teacher, or leave it out")
    if teacher is None and rounds != 1:
        msg = "--rounds counts rounds of self-learning, and there is no --teacher"
        raise UsageError(msg, cure="add --teacher, or leave out --rounds")


def _require_tumor(stage: str, *, few: bool) -> None:
    """Refuse what says how tumors are harvested where they are not."""
    from lymphct.core.errors import UsageError

    if few and stage != StageName.TUMOR:
        msg = f"--few is how tumors are learned, not {stage}"
        cure = "lymphct train tumor --few … first, then the other stages with the same --out"
        raise UsageError(msg, cure=cure)
    if not few and GLOBALS.overrides:
        from lymphct.anatomy.settings import TumorHarvestSettings

        names = [f"tumor_harvest.{name}" for name in TumorHarvestSettings.model_fields]
        refuse_settings(GLOBALS.overrides, names, "nothing is harvested", "add --few, or leave it out")


def _origins(init: Path | None, stage: str) -> tuple[Path | None, Path | None]:
    """Return the bundle and the nnU-Net that `--init` names; either may be None."""
    if init is None or not str(init).startswith(NNUNET):
        return init, None
    if stage != StageName.NODES:
        msg = f"--init {NNUNET}FOLDER is for the stage nodes alone"
        raise typer.BadParameter(msg)
    from lymphct.io.nnunet.folders import NnunetFolder

    folder = Path(str(init).removeprefix(NNUNET))
    NnunetFolder.at(folder)  # refused here, before patients are prepared
    return None, folder


def started(config: "Config", imagenet: Path | None, *, random_init: bool) -> "Config":
    """Return the settings with what the options say of the start weights."""
    if imagenet is not None and random_init:
        msg = "--imagenet and --random-init exclude each other"
        raise typer.BadParameter(msg)
    if imagenet is None and not random_init:
        return config
    start = {"initialization": "random" if random_init else "imagenet"}
    network = config.metastasis.network.model_copy(update=start)
    metastasis = config.metastasis.model_copy(update={"network": network})
    return config.model_copy(update={"metastasis": metastasis})


@contextmanager
def training_progress() -> Iterator["Progress"]:
    """Show a bar per stage on an interactive terminal, a line per epoch and one of the pace elsewhere."""
    if GLOBALS.quiet:
        yield lambda _: None
    elif GLOBALS.show_progress:
        from lymphct.cli.training_bars import training_bars

        with training_bars() as told:
            yield told
    else:
        yield _Lines().told


@dataclass(slots=True)
class _Lines:
    """What is printed where nobody watches a bar."""

    paced: set[StageName] = field(default_factory=set)

    def told(self, news: "Step | Beat") -> None:
        """Print an epoch that ended; once a stage, how long it will take."""
        from lymphct.study.progress import Beat

        if isinstance(news, Beat):
            self._pace(news.stage, news.pulse)
        else:
            done = f"{news.stage} {news.epoch}/{news.epochs}: {figures(news)}"
            typer.echo(f"{done}, {news.seconds:.0f} s", err=True)

    def _pace(self, stage: StageName, pulse: "Pulse") -> None:
        if stage not in self.paced and FIRST <= pulse.done < pulse.total:
            self.paced.add(stage)
            typer.echo(f"{stage}: {pace(pulse)}", err=True)


def pace(pulse: "Pulse") -> str:
    """Say how long a training takes at the pace so far."""
    left = pulse.total - pulse.done
    return f"{pulse.seconds:.2g} s an iteration, about {duration(pulse.left)} for the {left} to go"


def figures(step: "Step") -> str:
    """Return loss and, where there is one, score of an epoch."""
    score = "" if step.score is None else f", score {step.score:.3f}"
    return f"loss {step.loss:.3f}{score}"
