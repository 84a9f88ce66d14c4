"""The same study gives the same bytes whoever does its tasks, and however often they are killed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.study.tasks.toy_study import STEPS, ToyStudy, lay_study, open_toy

from lymphct.core.errors import CohortPartlyFailedError, EnvironmentProblemError, UsageError
from lymphct.io.results.store import TIMINGS_FILE
from lymphct.study.tasks.board import TASKS, UNFINISHED, Board, State, board_record
from lymphct.study.tasks.workers import Hands, attempt, do_task, next_task, run_here, take_next

ROOT = Path(__file__).parents[3]
HERE = Hands(devices=("cpu",))


@pytest.fixture
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def digests(run: Path) -> dict[str, str]:
    """Return the digest of every result; how long it took is no result."""
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / TASKS).rglob("*"))
        if path.is_file() and path.name != TIMINGS_FILE
    }


def start(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.study.tasks.toy_study", "crossval", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    run = lay_study(tmp_path_factory.mktemp("study"))
    run_here(run, open_toy, HERE)
    return digests(run)


def test_everything_is_done_and_a_second_time_nothing(tmp_path: Path, expected: dict[str, str]) -> None:
    run = lay_study(tmp_path)
    told: list[tuple[str, State]] = []
    run_here(run, open_toy, HERE, lambda name, state: told.append((name, state)))
    assert digests(run) == expected
    assert sorted(told) == sorted((name, State.DONE) for name in open_toy(run).graph)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    run_here(run, open_toy, HERE)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert not (run / UNFINISHED / "walk.0").exists()


def test_two_processes_make_the_same_bytes(tmp_path: Path, expected: dict[str, str]) -> None:
    run = lay_study(tmp_path, pause=0.02)
    run_here(run, open_toy, Hands(jobs=2, devices=("cpu",)))
    assert digests(run) == expected
    steps = Counter((run / "steps.log").read_text().splitlines())
    assert len(steps) == 4 * STEPS
    assert set(steps.values()) == {1}  # nothing was done twice


def test_a_job_array_of_identical_lines_makes_the_same_bytes(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    run = lay_study(tmp_path, pause=0.02)
    lines = len(open_toy(run).graph)
    waiting = [start(run, "--next") for _ in range(3)]
    for _ in range(lines - 3):  # three at a time, as an array with a limit
        waiting.pop(0).wait()
        waiting.append(start(run, "--next"))
    assert [line.wait() for line in waiting] == [0, 0, 0]
    assert digests(run) == expected


def test_who_takes_one_kind_of_task_leaves_when_none_of_it_is_left(tmp_path: Path) -> None:
    board = Board(lay_study(tmp_path, chains=2), open_toy(tmp_path))
    drawn = [take_next(board, ("cpu",), "others") for _ in range(2)]
    assert drawn == ["draw.0", "draw.1"]
    assert [take_next(board, ("cpu",), "networks") for _ in range(3)] == ["walk.0", "walk.1", None]
    assert not board.is_done("total")
    assert [take_next(board, ("cpu",), "others") for _ in range(2)] == ["total", None]


@pytest.mark.parametrize("how", ["1", "2", "--next"])
def test_kills_at_any_moment_change_no_byte(tmp_path: Path, expected: dict[str, str], how: str) -> None:
    run = lay_study(tmp_path, pause=0.02)
    moments = np.random.default_rng(len(how) + ord(how[-1]))
    for _ in range(4):
        process = start(run, how)
        time.sleep(moments.uniform(0.3, 1.3))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run_here(run, open_toy, HERE)
    assert digests(run) == expected
    assert {path.name for path in (run / TASKS).iterdir()} == set(open_toy(run).graph)  # no leftovers


def test_a_kill_costs_the_step_under_way_alone(tmp_path: Path) -> None:
    run = lay_study(tmp_path, chains=1, pause=0.05)
    process = start(run, "1")
    while not (run / "steps.log").exists() or (run / "steps.log").read_text().count("\n") < 3:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run_here(run, open_toy, HERE)
    steps = (run / "steps.log").read_text().splitlines()
    assert len(steps) <= STEPS + 1


@pytest.mark.usefixtures("_two_gpus")
def test_a_gpu_takes_one_task_and_others_are_left_for_later(tmp_path: Path) -> None:
    run = lay_study(tmp_path, chains=3)
    board = Board(run, open_toy(run))
    for chain in range(3):
        do_task(board, f"draw.{chain}", ("cpu",))
    with next_task(board, ("cuda:0", "cuda:1")) as first, next_task(board, ("cuda:0", "cuda:1")) as second:
        assert first is not None
        assert second is not None
        assert (first.task.id, first.device) == ("walk.0", "cuda:0")
        assert (second.task.id, second.device) == ("walk.1", "cuda:1")
        with next_task(board, ("cuda:0", "cuda:1")) as third:
            assert third is None
    assert board.states()["walk.0"] is State.READY  # held, and let go of


def test_one_who_holds_a_task_is_seen_by_others(tmp_path: Path) -> None:
    run = lay_study(tmp_path, chains=1, pause=0.3)
    board = Board(run, open_toy(run))
    assert board.states() == {
        "draw.0": State.READY,
        "walk.0": State.WAITING,
        "total": State.WAITING,
    }
    with board.claimed("draw.0"):
        assert Board(run, open_toy(run)).state("draw.0") is State.RUNNING
    assert take_next(board, ("cpu",)) == "draw.0"
    assert board.states()["walk.0"] is State.READY


def test_what_fails_is_kept_the_rest_is_done_and_it_is_tried_again(tmp_path: Path) -> None:
    run = lay_study(tmp_path, chains=3, bad="walk.1")
    with pytest.raises(
        CohortPartlyFailedError, match=r"1 of 7 tasks failed and 1 are left; the first, walk\.1"
    ):
        run_here(run, open_toy, HERE)
    board = Board(run, open_toy(run))
    states = board.states()
    assert states["walk.1"] is State.FAILED
    assert states["walk.2"] is State.DONE
    assert states["total"] is State.WAITING
    assert board.failure("walk.1") == "this one never works [E_TOY] - do another"
    assert take_next(board, ("cpu",)) is None  # a job array does not try it again and again
    lay_study(run, chains=3)
    run_here(run, open_toy, HERE)
    assert not (run / "failures").exists()


def test_other_settings_make_everything_anew(tmp_path: Path, expected: dict[str, str]) -> None:
    run = lay_study(tmp_path, seed=1)
    run_here(run, open_toy, HERE)
    assert digests(run) != expected
    lay_study(run, seed=0)
    assert set(Board(run, open_toy(run)).states().values()) == {State.READY, State.WAITING}
    run_here(run, open_toy, HERE)
    assert digests(run) == expected


def test_a_damaged_result_is_made_again_with_all_that_was_made_from_it(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    run = lay_study(tmp_path)
    run_here(run, open_toy, HERE)
    (run / TASKS / "draw.2" / "numbers.json").write_text("[1]")
    states = Board(run, open_toy(run)).states()
    assert states["draw.2"] is State.READY
    assert states["total"] is State.WAITING
    assert states["walk.1"] is State.DONE
    run_here(run, open_toy, HERE)
    assert digests(run) == expected


def test_a_task_is_done_by_its_id_once_those_before_it_are(tmp_path: Path) -> None:
    run = lay_study(tmp_path, chains=1)
    board = Board(run, open_toy(run))
    with pytest.raises(UsageError, match=r"walk\.0 comes after draw\.0, which is not done"):
        do_task(board, "walk.0", ("cpu",))
    with pytest.raises(UsageError, match="no task 'nobody'"):
        do_task(board, "nobody", ("cpu",))
    for name in board.graph:
        do_task(board, name, ("cpu",))
    assert set(board.states().values()) == {State.DONE}
    do_task(board, "total", ("cpu",))


class _FullDisk(ToyStudy):
    def make(self, task: object, doing: object) -> None:
        del task, doing
        msg = "no space left"
        raise EnvironmentProblemError(msg, code="E_DISK_FULL", cure="free some")


def test_a_full_disk_is_no_fault_of_the_task(tmp_path: Path) -> None:
    run = lay_study(tmp_path)
    toy = open_toy(run)
    board = Board(run, _FullDisk(run, toy.study))
    with board.claimed("draw.0"), pytest.raises(EnvironmentProblemError, match="no space left"):
        attempt(board, toy.graph["draw.0"], "cpu")
    assert Board(run, toy).state("draw.0") is State.READY


def test_the_record_counts_hours_spent_and_to_go(tmp_path: Path) -> None:
    run = lay_study(tmp_path, chains=2, pause=0.05)
    board = Board(run, open_toy(run))
    assert board_record(board)["hours_to_go"] is None  # nobody knows how long a task takes
    run_here(run, open_toy, HERE)
    record = board_record(Board(run, open_toy(run)))
    assert record["hours_to_go"] == 0
    assert record["states"] == {"done": 5, "running": 0, "ready": 0, "waiting": 0, "failed": 0}
    assert [type(task["seconds"]) for task in record["tasks"]] == [float] * 5  # type: ignore[index, union-attr, call-overload]
