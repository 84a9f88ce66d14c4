"""`lymphct crossval` and `lymphct study show`: a nested cross-validation, here, on a cluster, or job by job."""

import json
import logging
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lymphct.cli.context import GLOBALS, chosen_config, counted, duration
from lymphct.cli.options import AsJson, Labels
from lymphct.core.terms import StageName

if TYPE_CHECKING:
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
    """Add the commands."""
    app.command("crossval")(crossval)
    group = typer.Typer(help="A study under way.", no_args_is_help=True)
    group.command("show")(show)
    app.add_typer(group, name="study")


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
    given: Annotated[
        str | None,
        typer.Option(help="Masks taken from the manifest in all patients: structures, tumor or both."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Bundle whose structures and tumor networks are taken over, of other patients."),
    ] = None,
    labels: Labels = "auto",
    work: Annotated[
        Path | None, typer.Option(help="Folder of prepared patients that runs share; default: in the study.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the study.")] = "study",
    devices: Annotated[
        str | None, typer.Option(help="Several devices, cuda:0,cuda:1: tasks take one each.")
    ] = None,
    do_next: Annotated[
        bool, typer.Option("--next", help="Do the next ready task of the study, and leave.")
    ] = False,
) -> None:
    """Cross-validate the cascade and the methods it is compared with; prints the folder of the tables."""
    config = chosen_config()
    run = target
    if not target.is_dir():
        if out is None:
            msg = "a new study needs --out, its folder"
            raise typer.BadParameter(msg)
        from lymphct.io.manifest import read_manifest
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
            config=config,
            seed=GLOBALS.seed,
            labels=labels,
            work=work,
            folds=folds.value,
            features=_features(folds, features),
            inner=inner,
            methods=_words(methods),
            given=_stages(given),
            init=init,
            threads=max(1, usable_threads() // GLOBALS.jobs),
        )
        _begin(request)
        run = out
    elif out is not None:
        msg = "--out names the folder of a new study, and a study is given already"
        raise typer.BadParameter(msg)
    GLOBALS.go_on = lambda: f"go on with: lymphct crossval {run}"
    _go_on(run, _hands(devices), only_next=do_next)


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


def _begin(request: "CrossvalRequest") -> None:
    """Refuse what cannot be done, all of it at once; lay the study into its folder."""
    from lymphct.cli.outlooks import end_for
    from lymphct.study.nested.beginning import begin_study
    from lymphct.study.nested.request import foresee_study

    outlook = foresee_study(request)
    end_for(outlook.problems)
    for method, why in outlook.left_out.items():
        logger.warning("method %s is left out: %s", method, why)
    begin_study(request, outlook)


def _hands(devices: str | None) -> "Hands":
    from lymphct.study.tasks.workers import Hands

    if devices is None:
        return Hands(jobs=GLOBALS.jobs, devices=(GLOBALS.device,))
    from lymphct.study.places import named_devices

    return Hands(jobs=GLOBALS.jobs, devices=named_devices(devices))


def _go_on(run: Path, hands: "Hands", *, only_next: bool) -> None:
    """Do what is left of a study, or its next task; lay out the tables when everything is done."""
    from lymphct.study.nested.beginning import published
    from lymphct.study.nested.work import open_nested
    from lymphct.study.tasks.board import Board, State
    from lymphct.study.tasks.workers import partly_failed, run_here, take_next

    if only_next:
        board = Board(run, open_nested(run))
        name = take_next(board, hands.devices)
        if name is None and not all(map(board.is_done, board.graph)):
            raise partly_failed(board)
        if name is not None and board.state(name) is State.FAILED:
            raise partly_failed(board)
        typer.echo("nothing is left" if name is None else name)
        if not all(map(board.is_done, board.graph)):
            return
    else:
        run_here(run, open_nested, hands, _told)
        typer.echo(str(run / "tables"))
    published(run)


def _told(name: str, state: str) -> None:
    if not GLOBALS.quiet:
        typer.echo(f"{name}: {state}", err=True)


def show(run: Annotated[Path, typer.Argument(help="Folder of a study.")], as_json: AsJson = False) -> None:
    """The tasks of a study, their states, hours spent and to go."""
    from lymphct.study.nested.work import open_nested
    from lymphct.study.tasks.board import Board, board_record

    record: dict[str, Any] = board_record(Board(run, open_nested(run)))
    if as_json:
        typer.echo(json.dumps(record))
        return
    kinds: dict[str, dict[str, int]] = {}
    for task in record["tasks"]:
        counts = kinds.setdefault(task["kind"], {})
        counts[task["state"]] = counts.get(task["state"], 0) + 1
    for kind, counts in kinds.items():
        typer.echo(f"{kind}: {', '.join(f'{count} {state}' for state, count in counts.items())}")
    for task in record["tasks"]:
        if task["state"] == "failed":
            typer.echo(f"{task['id']} failed: {task['error']}")
        elif task["state"] == "running":
            typer.echo(f"{task['id']} is running")
    left = record["hours_to_go"]
    to_go = "not known yet" if left is None else duration(left * 3600)
    typer.echo(
        f"{counted(len(record['tasks']), 'task')}; spent {duration(record['hours_spent'] * 3600)}, to go {to_go}"
    )
