"""Who does the tasks of a study: this process, several here, or any number anywhere that share the disk."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from lymphct.core.errors import (
    CohortPartlyFailedError,
    EnvironmentProblemError,
    HeldError,
    OutputInUseError,
    UsageError,
)
from lymphct.io.processes import map_patients
from lymphct.io.results.tail import looking
from lymphct.io.threads import settle_threads
from lymphct.study.places import take_device
from lymphct.study.tasks.board import Board, Open, State
from lymphct.study.tasks.graph import Task

logger = logging.getLogger(__name__)

PAUSE: Final = 0.3
"""Seconds between two looks at the board where nothing is ready."""

Told = Callable[[str, State], None]
"""Takes the id of a task and the state it came to."""

TaskKind = Literal["networks", "others"]
"""Tasks in which networks run, for which a GPU is held where there is one; and all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What is there to work with.

    Attributes:
        jobs: processes side by side.
        devices: on which networks run, in the order of preference; a GPU takes one task, unless it is named
            more than once, the processor as many as there are.

    """

    jobs: int = 1
    devices: tuple[str, ...] = ("auto",)


@dataclass(frozen=True, slots=True)
class Taken:
    """A task that is held, and the device on which its networks run."""

    task: Task
    device: str


@contextmanager
def next_task(board: Board, devices: Sequence[str], kind: TaskKind | None = None) -> Iterator[Taken | None]:
    """Hold the first ready task, with a device where it needs one; None where there is none to be had.

    Args:
        board: the study.
        devices: on which networks run, in the order of preference.
        kind: the only tasks that are taken; None takes any.

    """
    with ExitStack() as held:
        yield _claimed(board, devices, kind, held)


def _claimed(board: Board, devices: Sequence[str], kind: TaskKind | None, held: ExitStack) -> Taken | None:
    for name, task in board.graph.items():
        if board.state(name) is not State.READY or not is_of(task, kind):
            continue
        with ExitStack() as attempt:
            try:
                device = take_device(board.run, devices, attempt) if task.needs_device else devices[0]
                attempt.enter_context(board.claimed(name))
            except HeldError:
                continue
            if board.is_done(name) or board.failure(name):  # somebody was quicker
                continue
            held.enter_context(attempt.pop_all())
            return Taken(task, device)
    return None


def attempt(board: Board, task: Task, device: str) -> State:
    """Do a task that is claimed; where it fails, keep the reason.

    Raises:
        EnvironmentProblemError: the machine refuses, which is no fault of the task: it stays ready.
        OutputInUseError: something that is not ours lies in its place.

    """
    outcome = next(map_patients(lambda _: board.do(task, device), [task.id]))
    if isinstance(outcome.error, EnvironmentProblemError | OutputInUseError):
        raise outcome.error
    if outcome.error is not None:
        logger.error("%s: %s", task.id, outcome.error)
        logger.debug("%s", outcome.details)
        board.fail(task.id, str(outcome.error))
        return State.FAILED
    return State.DONE


def is_of(task: Task, kind: TaskKind | None) -> bool:
    """Tell whether a task is of a kind; every task is of None."""
    return kind is None or task.needs_device is (kind == "networks")


def take_next(board: Board, devices: Sequence[str], kind: TaskKind | None = None) -> str | None:
    """Do the next ready task, waiting for one as long as others are under way or ready; return its id.

    None where nothing is left that could become ready. Whoever takes one kind alone waits for tasks of the
    other kind, which somebody else must do.
    """
    settle_threads(board.work.threads)
    while True:
        with next_task(board, devices, kind) as taken:
            if taken is not None:
                attempt(board, taken.task, taken.device)
                return taken.task.id
        states = board.states()
        left = [name for name, state in states.items() if state not in {State.DONE, State.FAILED}]
        if not {State.RUNNING, State.READY}.intersection(states.values()):
            return None
        if not any(is_of(board.graph[name], kind) for name in left):
            return None
        time.sleep(PAUSE)


def do_task(board: Board, name: str, devices: Sequence[str]) -> None:
    """Do one task by its id, waiting for a device; a task that is done is not done again.

    Raises:
        UsageError: there is no such task, or one before it is not done.
        CohortPartlyFailedError: it fails.

    """
    if name not in board.graph:
        msg = f"the study has no task {name[:60]!r}"
        raise UsageError(msg, cure="`lymphct study show RUN` lists them")
    settle_threads(board.work.threads)
    task = board.graph[name]
    while not board.is_done(name):
        missing = [other for other in task.after if not board.is_done(other)]
        if missing:
            msg = f"the task {name} comes after {missing[0]}, which is not done"
            raise UsageError(msg, code="E_TASK_ORDER", cure=f"do {missing[0]} first")
        try:
            with ExitStack() as held:
                device = take_device(board.run, devices, held) if task.needs_device else devices[0]
                held.enter_context(board.claimed(name))
                if attempt(board, task, device) is State.FAILED:
                    raise partly_failed(board)
        except HeldError:
            time.sleep(PAUSE)


def run_here(run: Path, open_study: Open, hands: Hands, told: Told | None = None) -> None:
    """Do every task that is left, in this process or in several; what failed before is tried again.

    A worker that is killed costs what its task had not kept: the others go on, and the task is ready again.

    Args:
        run: folder of the study.
        open_study: says what the tasks mean.
        hands: processes and devices.
        told: is told of each task that comes to an end.

    Raises:
        CohortPartlyFailedError: tasks failed; the others are done.
        EnvironmentProblemError: no space, no memory and the like; what is done is kept.

    """
    board = Board(run, open_study(run))
    board.forget_failures()
    if all(map(board.is_done, board.graph)):
        return
    with looking(_Watch(board.twin(), told)):
        if hands.jobs == 1:
            _all_that_is_left(board, hands.devices)
        else:
            work = partial(_worker, run=run, open_study=open_study, devices=hands.devices)
            for outcome in map_patients(work, range(hands.jobs), jobs=hands.jobs):
                outcome.result()
            _all_that_is_left(board, hands.devices)  # of a worker that was killed
    require_finished(board)


def _worker(_number: int, *, run: Path, open_study: Open, devices: Sequence[str]) -> None:
    _all_that_is_left(Board(run, open_study(run)), devices)


def _all_that_is_left(board: Board, devices: Sequence[str]) -> None:
    while take_next(board, devices) is not None:
        pass


class _Watch:
    """Tells of tasks that came to an end since the last look, whoever did them."""

    def __init__(self, board: Board, told: Told | None) -> None:
        """Remember what is done already: nobody is told of it."""
        self.board, self.told = board, told
        self.known = {name for name in board.graph if board.is_done(name)} if told else set()

    def __call__(self) -> None:
        """Look."""
        if self.told is None:
            return
        for name in self.board.graph:
            if name in self.known:
                continue
            state = self.board.state(name)
            if state in {State.DONE, State.FAILED}:
                self.known.add(name)
                self.told(name, state)


def require_finished(board: Board) -> None:
    """Refuse to go on where tasks failed or are left.

    Raises:
        CohortPartlyFailedError: that is so; names the first.

    """
    if not all(board.is_done(name) for name in board.graph):
        raise partly_failed(board)


def partly_failed(board: Board) -> CohortPartlyFailedError:
    """Return the error of a study in which tasks failed."""
    states = board.states()
    failed = [name for name, state in states.items() if state is State.FAILED]
    left = sum(state is not State.DONE for state in states.values()) - len(failed)
    first = f"; the first, {failed[0]}: {board.failure(failed[0])}" if failed else ""
    msg = f"{len(failed)} of {len(states)} tasks failed and {left} are left{first}"
    cure = "mend the cause and run the same command again: what is done stays"
    return CohortPartlyFailedError(msg, code="E_TASKS", cure=cure)
