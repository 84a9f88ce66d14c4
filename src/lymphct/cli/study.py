"""`lymphct study show`: how far the tasks of a cross-validation, or of `train all`, are."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lymphct.cli.context import counted, duration
from lymphct.cli.options import AsJson

if TYPE_CHECKING:
    from lymphct.study.tasks.board import Work


def register(app: typer.Typer) -> None:
    """Add the command."""
    group = typer.Typer(help="A study under way.", no_args_is_help=True)
    group.callback()(lambda: None)  # with one command, its name must still be given
    group.command("show")(show)
    app.add_typer(group, name="study")


def show(run: Annotated[Path, typer.Argument(help="Folder of a study.")], as_json: AsJson = False) -> None:
    """The tasks of a cross-validation or of `train all`, their states, hours spent and to go."""
    from lymphct.study.single.facts import FORMAT as ONE_SPLIT
    from lymphct.study.tasks.board import Board, board_record
    from lymphct.study.tasks.graph import Study

    is_split = Study.read(run).format == ONE_SPLIT
    record: dict[str, Any] = board_record(Board(run, _opened(run, is_split=is_split)))
    if as_json:
        typer.echo(json.dumps(record))
        return
    for line in (*(_tasks if is_split else _kinds)(record), *_under_way(run, record)):
        typer.echo(line)
    spent = duration(record["hours_spent"] * 3600)
    typer.echo(f"{counted(len(record['tasks']), 'task')}; spent {spent}, to go {_to_go(record)}")


def _opened(run: Path, *, is_split: bool) -> "Work":
    if is_split:
        from lymphct.study.single.work import open_split

        return open_split(run)
    from lymphct.study.nested.work import open_nested

    return open_nested(run)


def _tasks(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield each task with its state."""
    for task in record["tasks"]:
        took = "" if task["seconds"] is None else f", {duration(task['seconds'])}"
        yield f"{task['id']}: {task['state']}{took}"


def _kinds(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield how many tasks of each kind are how far."""
    kinds: dict[str, dict[str, int]] = {}
    for task in record["tasks"]:
        counts = kinds.setdefault(task["kind"], {})
        counts[task["state"]] = counts.get(task["state"], 0) + 1
    for kind, counts in kinds.items():
        yield f"{kind}: {', '.join(f'{count} {state}' for state, count in counts.items())}"


def _under_way(run: Path, record: Mapping[str, Any]) -> Iterator[str]:
    for task in record["tasks"]:
        if task["state"] == "failed":
            yield f"{task['id']} failed: {task['error']}"
        elif task["state"] == "running":
            yield f"{task['id']} is running{_pace(run, task['id'])}"


def _pace(run: Path, name: str) -> str:
    """Say how far a training within a task is; nothing of other tasks."""
    from lymphct.study.pulse import read_pulse
    from lymphct.study.tasks.board import UNFINISHED

    folders = [*(run / UNFINISHED / name).glob("*"), run / "stages" / name]  # the latter of `train all`
    pulses = [pulse for folder in folders if (pulse := read_pulse(folder))]
    if not pulses:
        return ""
    return f": iteration {pulses[-1].done} of {pulses[-1].total}, about {duration(pulses[-1].left)} to go"


def _to_go(record: Mapping[str, Any]) -> str:
    left, unseen = record["hours_to_go_seen"], record["kinds_not_seen"]
    if not unseen:
        return duration(left * 3600)
    if not left:
        return "not known yet"
    return f"{duration(left * 3600)} and what has not been seen yet: {', '.join(unseen)}"
