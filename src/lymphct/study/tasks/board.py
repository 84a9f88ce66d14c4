"""How far a study is, from its folder alone: whoever looks, wherever, sees the same."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Protocol

from lymphct.core.errors import InputError
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.locks import exclusive_lock, holder_of
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.io.results.store import DONE_FILE, TIMINGS_FILE, is_current
from lymphct.study.tasks.graph import Graph, Task

TASKS: Final = "tasks"
"""Folder of the results, a folder per task."""
UNFINISHED: Final = "unfinished"
"""Folder of what tasks keep while they are under way, such as checkpoints."""
FAILURES: Final = "failures"
"""Folder of the reasons why tasks failed, a file per task."""


class State(StrEnum):
    """How far a task is."""

    DONE = "done"
    RUNNING = "running"
    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What a task is given to work with.

    Attributes:
        folder: empty; what is written into it is the result.
        scratch: of the task's own, need not exist; outlives a kill, goes when the result is there.
        device: on which networks run.

    """

    folder: Path
    scratch: Path
    device: str


class Work(Protocol):
    """What the tasks of a study mean."""

    @property
    def graph(self) -> Graph:
        """Its tasks."""

    @property
    def threads(self) -> int | None:
        """Threads of the numerics in each task: sums depend on how many add them up; None = all."""

    def recipe(self, task: Task) -> Recipe:
        """Return what a task makes its result from, besides the results of the tasks before it."""

    def holds(self, task: Task, folder: Path) -> bool:
        """Tell whether what a result refers to outside its folder still stands."""

    def make(self, task: Task, doing: Doing) -> None:
        """Do a task."""


Open = Callable[[Path], Work]
"""Opens the study in a folder; called anew in each process."""


@dataclass(slots=True)
class Board:
    """The tasks of a study and their states.

    A task that was seen done stays done for this board: its inputs do not change while it looks on.
    """

    run: Path
    work: Work
    _done: set[str] = field(default_factory=set)
    _keys: dict[str, str] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The tasks."""
        return self.work.graph

    def twin(self) -> "Board":
        """Return a board for another thread that begins with what this one has seen."""
        return Board(self.run, self.work, set(self._done), dict(self._keys))

    def place(self, name: str) -> Path:
        """Return the folder of a task's result."""
        return self.run / TASKS / name

    def recipe(self, task: Task) -> Recipe:
        """Return what a task is made from; the keys of the results before it are among its inputs.

        Raises:
            InputError: a result before it is not there, or a file is missing.

        """
        own = self.work.recipe(task)
        before = {f"after {name}": self._key(name) for name in task.after}
        return replace(own, inputs={**own.inputs, **before})

    def _key(self, name: str) -> str:
        if name not in self._keys:
            key = key_of(self.place(name))
            if name not in self._done:
                return key
            self._keys[name] = key
        return self._keys[name]

    def is_done(self, name: str) -> bool:
        """Tell whether a task's result is there, whole, and made from what it would be made from now."""
        if name in self._done:
            return True
        task = self.graph[name]
        if not all(self.is_done(other) for other in task.after):
            return False
        if not (self.place(name) / DONE_FILE).exists():  # no recipe is asked for, which may cost time
            return False
        try:
            there = is_current(self.place(name), self.recipe(task).fingerprint())
        except InputError:  # a file it is made from is gone: whoever does the task says so
            return False
        if there and self.work.holds(task, self.place(name)):
            self._done.add(name)
        return name in self._done

    def state(self, name: str) -> State:
        """Return how far a task is."""
        if self.is_done(name):
            return State.DONE
        task = self.graph[name]
        if not all(self.is_done(other) for other in task.after):
            return State.WAITING
        if holder_of(self.place(name)):
            return State.RUNNING
        return State.FAILED if self.failure(name) else State.READY

    def states(self) -> dict[str, State]:
        """Return the state of every task, in the order of the graph."""
        return {name: self.state(name) for name in self.graph}

    def failure(self, name: str) -> str:
        """Return the line a task failed with; empty where it did not, or would now be made otherwise."""
        try:
            record: Any = read_json(self._failure_file(name))
        except InputError:
            return ""
        try:
            key = self.recipe(self.graph[name]).key
        except InputError:
            key = ""
        return str(record["error"]) if record["key"] == key else ""

    def fail(self, name: str, error: str) -> None:
        """Keep the one line a task failed with."""
        try:
            key = self.recipe(self.graph[name]).key
        except InputError:  # the recipe itself fails, whatever it would be
            key = ""
        write_json(self._failure_file(name), {"task": name, "error": error, "key": key})

    def forget_failures(self) -> None:
        """Let every task that failed be tried again."""
        shutil.rmtree(self.run / FAILURES, ignore_errors=True)

    def _failure_file(self, name: str) -> Path:
        return self.run / FAILURES / f"{name}.json"

    def seconds(self, name: str) -> float | None:
        """Return how long a task took; None where nobody knows."""
        try:
            record: Any = read_json(self.place(name) / TIMINGS_FILE)
            return float(record["seconds"])
        except (InputError, KeyError, TypeError, ValueError):
            return None

    def do(self, task: Task, device: str) -> None:
        """Do a task that is claimed, unless its result is there.

        Raises:
            LymphctError: the task fails.

        """
        recipe = self.recipe(task)
        scratch = self.run / UNFINISHED / task.id / recipe.key[:16]  # another recipe goes on with nothing

        def make(folder: Path) -> None:
            began = perf_counter()
            self.work.make(task, Doing(folder=folder, scratch=scratch, device=device))
            write_json(folder / TIMINGS_FILE, {"seconds": round(perf_counter() - began, 3)})

        if not self.work.holds(task, self.place(task.id)):
            shutil.rmtree(self.place(task.id), ignore_errors=True)
        made(self.place(task.id), recipe, make)
        shutil.rmtree(scratch.parent, ignore_errors=True)
        self._failure_file(task.id).unlink(missing_ok=True)
        with suppress(OSError):
            self._failure_file(task.id).parent.rmdir()

    @contextmanager
    def claimed(self, name: str) -> Iterator[None]:
        """Hold a task, so that nobody else does it meanwhile; the kernel lets go of it after a kill.

        Raises:
            HeldError: somebody else holds it.

        """
        place = self.place(name)
        with exclusive_lock(place.with_name(f".{place.name}.lock"), wait=0.0):
            yield


def to_go(board: Board, states: Mapping[str, State]) -> tuple[float, tuple[str, ...]]:
    """Return the seconds of work that are left, each task as long as the mean of its kind so far.

    Kinds of which nothing has been done yet are not in the seconds; they come second.
    """
    taken: dict[str, list[float]] = {}
    for name, state in states.items():
        spent = board.seconds(name) if state is State.DONE else None
        if spent is not None:
            taken.setdefault(board.graph[name].kind, []).append(spent)
    left = [board.graph[name].kind for name, state in states.items() if state is not State.DONE]
    seconds = sum(sum(taken[kind]) / len(taken[kind]) for kind in left if kind in taken)
    return seconds, tuple(kind for kind in dict.fromkeys(left) if kind not in taken)


def board_record(board: Board) -> dict[str, JSON]:
    """Return the tasks with their states, hours spent and to go, for `--json`."""
    states = board.states()
    spent = [board.seconds(name) or 0.0 for name, state in states.items() if state is State.DONE]
    left, not_seen = to_go(board, states)
    tasks: list[JSON] = [
        {
            "id": name,
            "kind": board.graph[name].kind,
            "state": state.value,
            "after": list(board.graph[name].after),
            "seconds": board.seconds(name) if state is State.DONE else None,
            "error": board.failure(name) if state is State.FAILED else None,
        }
        for name, state in states.items()
    ]
    counts: dict[str, JSON] = {state.value: sum(s is state for s in states.values()) for state in State}
    return {
        "tasks": tasks,
        "states": counts,
        "hours_spent": round(sum(spent) / 3600, 4),
        "hours_to_go": None if not_seen else round(left / 3600, 4),
        "hours_to_go_seen": round(left / 3600, 4),
        "kinds_not_seen": [*not_seen],
    }
