"""A run ends with the first failure, by its own error, and gives the same bytes side by side."""

from collections import Counter
from pathlib import Path

import pytest
from tests.study.tasks.test_workers import digests
from tests.study.tasks.toy_study import STEPS, ToyStudy, lay_study, open_toy

from lymphct.core.errors import CohortPartlyFailedError, InputError
from lymphct.study.tasks.board import Board, State
from lymphct.study.tasks.one_run import run_to_end
from lymphct.study.tasks.workers import Hands, run_here

HERE = Hands(devices=("cpu",))


class Asked:
    """Opens the toy study and writes down for how many processes."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def __call__(self, jobs: int) -> ToyStudy:
        with (self.run / "asked.log").open("a") as log:
            log.write(f"{jobs}\n")
        return open_toy(self.run)


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, str]:
    run = lay_study(tmp_path / "expected", chains=3)
    run_here(run, open_toy, HERE)
    return digests(run)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_done_once(tmp_path: Path, expected: dict[str, str], jobs: int) -> None:
    run = lay_study(tmp_path / "run", chains=3, pause=0.02)
    work_of = Asked(run)
    run_to_end(run, work_of, Hands(jobs=jobs, devices=("cpu",)))
    assert digests(run) == expected
    steps = Counter((run / "steps.log").read_text().splitlines())
    assert (len(steps), set(steps.values())) == (3 * STEPS, {1})
    # A single task is given all processes, those side by side one each.
    asked = (run / "asked.log").read_text().split()
    assert (asked[0], set(asked[1:])) == (str(jobs), {"1"} if jobs > 1 else set())
    run_to_end(run, work_of, HERE)
    assert digests(run) == expected


def test_what_comes_after_is_left(tmp_path: Path) -> None:
    run = lay_study(tmp_path, chains=2)
    run_to_end(run, Asked(run), HERE, until="draw.1")
    board = Board(run, open_toy(run))
    assert [name for name in board.graph if board.is_done(name)] == ["draw.0", "draw.1"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_is_the_error_of_the_run_and_is_kept(tmp_path: Path, jobs: int) -> None:
    run = lay_study(tmp_path, chains=2, bad="walk.1")
    with pytest.raises(InputError, match="this one never works"):
        run_to_end(run, Asked(run), Hands(jobs=jobs, devices=("cpu",)))
    board = Board(run, open_toy(run))
    assert board.state("walk.1") is State.FAILED
    assert "this one never works" in board.failure("walk.1")
    lay_study(run, chains=2)
    run_to_end(run, Asked(run), HERE)
    assert (run / "tasks" / "total").is_dir()


def test_a_failure_of_somebody_else_ends_the_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lay_study(tmp_path, chains=1)
    # Between the look at what failed before and the first task.
    monkeypatch.setattr(Board, "forget_failures", lambda board: board.fail("draw.0", "somebody failed"))
    with pytest.raises(CohortPartlyFailedError, match=r"draw\.0: somebody failed"):
        run_to_end(run, Asked(run), HERE)
    assert not Board(run, open_toy(run)).is_done("draw.0")
