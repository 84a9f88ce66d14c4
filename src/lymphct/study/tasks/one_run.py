"""Do the tasks of one run whose first failure ends it, by its own error; those that can, side by side."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lymphct.core.errors import EnvironmentProblemError, LymphctError, OutputInUseError, UsageError
from lymphct.io.processes import map_patients
from lymphct.study.tasks.board import Board, State, Work
from lymphct.study.tasks.workers import PAUSE, Hands, Taken, next_task, partly_failed

WorkOf = Callable[[int], Work]
"""Says what the tasks mean where each may use so many processes."""


def run_to_end(run: Path, work_of: WorkOf, hands: Hands, until: str = "") -> None:
    """Do every task that is left: a single ready one with all processes, several with one each.

    Args:
        run: folder of the tasks.
        work_of: says what they mean.
        hands: processes and devices.
        until: id of the last task that is done; without it all are.

    Raises:
        LymphctError: of the first task that fails; what is done is kept.

    """
    board = Board(run, work_of(hands.jobs))
    board.forget_failures()
    asked = (until,) if until else tuple(board.graph)
    while not all(map(board.is_done, asked)):
        states = list(board.states().values())
        ready = states.count(State.READY)
        if hands.jobs > 1 and ready > 1:
            work = partial(_beside_others, run=run, work_of=work_of, hands=hands)
            left = len(states) - states.count(State.DONE)
            for outcome in map_patients(work, range(min(hands.jobs, left)), jobs=hands.jobs):
                outcome.result()
        elif ready or State.RUNNING in states:
            _take(board, hands)
        else:  # somebody else's failure
            raise partly_failed(board)


def _take(board: Board, hands: Hands) -> None:
    with next_task(board, hands.devices) as taken:
        if taken is None:
            time.sleep(PAUSE)
        else:
            _do(board, taken)


def _do(board: Board, taken: Taken) -> None:
    """Do a task; a failure that the machine or the command line is to blame for leaves it ready."""
    try:
        board.do(taken.task, taken.device)
    except (EnvironmentProblemError, OutputInUseError, UsageError):
        raise
    except LymphctError as error:
        board.fail(taken.task.id, str(error))
        raise


def _beside_others(_number: int, *, run: Path, work_of: WorkOf, hands: Hands) -> None:
    """Do tasks as long as others are done beside them; what is alone is left to whoever has all processes."""
    board = Board(run, work_of(1))
    while True:
        states = list(board.states().values())
        ready = states.count(State.READY)
        if not ready or (ready == 1 and State.RUNNING not in states):
            return
        _take(board, hands)
