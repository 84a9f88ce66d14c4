"""`lymphct crossval`: a nested cross-validation, here, on a cluster, by jobs."""

import logging
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from lymphct.cli.carrying_out import Only, Plan, do_all, do_next_task, do_one, lay_plan, site_of, submit_jobs
from lymphct.cli.context import GLOBALS, chosen_config, counted
from lymphct.cli.options import DryRun, Labels
from lymphct.cli.train import started
from lymphct.core.terms import StageName

if TYPE_CHECKING:
    from lymphct.study.nested.outlook import StudyOutlook
    from lymphct.study.nested.request import CrossvalRequest
    from lymphct.study.tasks.workers import Hands

logger = logging.getLogger(__name__)


class Folds(StrEnum):
    """How outer folds are drawn."""

    STRICT = "strict"
    PAPER = "paper"


class Features(StrEnum):
    """What status methods learn from."""

    OOF = "oof"
    PAPER = "paper"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("crossval")(crossval)


def crossval(
    target: Annotated[
        Path, typer.Argument(help="Manifest, cohort.csv, to begin; the folder of a study to go on with it.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the study; needed to begin one.")] = None,
    external: Annotated[
        list[Path] | None,
        typer.Option(
            help="Manifest of another cohort, predicted by the mean of the fold models; repeatable."
        ),
    ] = None,
    folds: Annotated[
        Folds,
        typer.Option(help="strict: stratified by N status and tumor site; paper: drawn without strata."),
    ] = Folds.STRICT,
    features: Annotated[
        Features | None,
        typer.Option(
            help="What status methods learn from: oof, nodes found by networks that never saw the patient; "
            "paper, in-sample, which leaks. Default: as the folds."
        ),
    ] = None,
    inner: Annotated[int, typer.Option(min=2, max=5, help="Inner folds for out-of-fold features.")] = 5,
    methods: Annotated[
        str | None, typer.Option(help="Methods, separated by commas; default: all whose columns are there.")
    ] = None,
    ablations: Annotated[
        str | None,
        typer.Option(
            help="Cascades beside the one with attention, for Tab. V: none, none_gated, channel, prior, "
            "gated, suppressed, atlas, trapezia, any_patch, dice, no_block; separated by commas."
        ),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(help="Masks taken from the manifest in all patients: structures, tumor or both."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Bundle whose structures and tumor networks are taken over, of other patients."),
    ] = None,
    kinetics: Annotated[
        Path | None, typer.Option(help="Start weights of ResNet3D-18 (safetensors); default: a random start.")
    ] = None,
    imagenet: Annotated[
        Path | None,
        typer.Option(help="ResNet-18 weights the networks of tumor patches start from (safetensors)."),
    ] = None,
    random_init: Annotated[
        bool, typer.Option("--random-init", help="Start the networks of tumor patches without them.")
    ] = False,
    labels: Labels = "auto",
    work: Annotated[
        Path | None, typer.Option(help="Folder of prepared patients that runs share; default: in the study.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the study.")] = "study",
    devices: Annotated[
        str | None, typer.Option(help="Several devices, cuda:0,cuda:1: tasks take one each.")
    ] = None,
    do_next: Annotated[
        bool, typer.Option("--next", help="Do the next ready task of the study, and leave: for job arrays.")
    ] = False,
    only: Annotated[
        Only | None,
        typer.Option(
            help="With --next: tasks in which networks run, or all others, so that those need no GPU."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Do this task of the study, and leave: for workflow systems.")
    ] = None,
    plan: Annotated[
        Plan | None, typer.Option(help="Write the file of a batch system, print its name, and leave.")
    ] = None,
    dry_run: DryRun = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Scheduler of a dask cluster whose workers share the disk, tcp://HOST:PORT; or "
            "slurm:partition=P,gpus=1,hours=24, which submits the tasks by submitit and prints the id of the "
            "job array; with gpus, of a second one for the tasks that need none."
        ),
    ] = None,
) -> None:
    """Cross-validate the cascade and the methods it is compared with; prints the folder of the tables."""
    config = chosen_config()
    site = site_of(cluster)
    if only is not None and not do_next:
        msg = "--only says which tasks --next may take"
        raise typer.BadParameter(msg)
    run = target
    if not target.is_dir():
        if out is None:
            msg = "a new study needs --out, its folder"
            raise typer.BadParameter(msg)
        from lymphct.io.manifest import read_manifest
        from lymphct.io.models.loading import read_pretrained
        from lymphct.io.threads import usable_threads
        from lymphct.study.nested.request import CrossvalRequest

        cohorts = {
            "cohort": target,
            **{f"external{n}": path for n, path in enumerate(external or [], start=1)},
        }
        request = CrossvalRequest(
            folder=out,
            name=name,
            manifests={cohort: read_manifest(path) for cohort, path in cohorts.items()},
            config=started(config, imagenet, random_init=random_init),
            seed=GLOBALS.seed,
            labels=labels,
            work=work,
            folds=folds.value,
            features=_features(folds, features),
            inner=inner,
            methods=_words(methods),
            ablations=_words(ablations),
            given=_stages(given),
            init=init,
            kinetics=None if kinetics is None else (kinetics, read_pretrained(kinetics)),
            imagenet=None if imagenet is None else (imagenet, read_pretrained(imagenet)),
            threads=max(1, usable_threads() // GLOBALS.jobs),
        )
        _begin(request, dry_run=dry_run)
        run = out
    elif out is not None:
        msg = "--out names the folder of a new study, and a study is given already"
        raise typer.BadParameter(msg)
    GLOBALS.go_on = lambda: f"go on with: lymphct crossval {run}"
    ways = {"--next": do_next or None, "--task": task, "--plan": plan, "--cluster": cluster}
    asked = [way for way, value in ways.items() if value is not None]
    if len(asked) > 1:
        msg = f"{asked[0]} and {asked[1]} exclude each other"
        raise typer.BadParameter(msg)
    hands = _hands(devices)
    if do_next:
        do_next_task(run, hands, only)
    elif task is not None:
        do_one(run, task, hands)
    elif plan is not None:
        lay_plan(run, plan)
    elif site is not None:
        submit_jobs(run, site)
    else:
        do_all(run, hands, cluster)


def _features(folds: Folds, features: Features | None) -> Literal["oof", "paper"]:
    if features is not None:
        return features.value
    return "paper" if folds is Folds.PAPER else "oof"


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _stages(text: str | None) -> tuple[StageName, ...]:
    found = []
    for word in _words(text):
        if word not in {StageName.STRUCTURES, StageName.TUMOR}:
            msg = f"{word[:40]!r} is not one of structures, tumor"
            raise typer.BadParameter(msg)
        found.append(StageName(word))
    return tuple(found)


def _begin(request: "CrossvalRequest", *, dry_run: bool) -> None:
    """Refuse what cannot be done, all of it at once; lay the study into its folder."""
    from lymphct.cli.outlooks import end_for
    from lymphct.study.nested.beginning import begin_study
    from lymphct.study.nested.outlook import foresee_study

    outlook = foresee_study(request)
    if dry_run:
        _end_dry_run(outlook)
    end_for(outlook.problems)
    for method, why in outlook.left_out.items():
        logger.warning("method %s is left out: %s", method, why)
    begin_study(request, outlook)


def _end_dry_run(outlook: "StudyOutlook") -> NoReturn:
    """Say who would be in which part and what forbids the study, and leave."""
    for number, fold in enumerate(outlook.folds, start=1):
        sizes = (
            f"{len(fold.outer.train)} teach, {len(fold.outer.validation)} choose, {len(fold.outer.test)} are"
        )
        within = f"; {counted(len(fold.inner), 'inner fold')}" if fold.inner else ""
        typer.echo(f"fold {number}: {sizes} tested{within}")
    typer.echo(f"methods: {', '.join(outlook.methods) or 'none'}")
    for method, why in outlook.left_out.items():
        typer.echo(f"left out: {method}: {why}")
    for problem in outlook.problems:
        typer.echo(str(problem))
    typer.echo(counted(len(outlook.problems), "problem"))
    raise typer.Exit(3 if outlook.problems else 0)


def _hands(devices: str | None) -> "Hands":
    from lymphct.study.tasks.workers import Hands

    if devices is None:
        return Hands(jobs=GLOBALS.jobs, devices=(GLOBALS.device,))
    from lymphct.study.places import named_devices

    return Hands(jobs=GLOBALS.jobs, devices=named_devices(devices))
