"""Progress is read from the lines trainings write, whichever process writes them."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from lymphct.core.terms import StageName
from lymphct.io.results.jsonfile import append_json_line
from lymphct.io.results.tail import looking
from lymphct.study import progress
from lymphct.study.progress import Beat, Step, watched


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "looking", partial(looking, every=0.005))


@pytest.fixture
def told() -> list[Step | Beat]:
    return []


def log(stages: Path, stage: StageName) -> Path:
    path = stages / stage / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def line(epoch: int, score: float | None = 0.5) -> bytes:
    values = {"epoch": epoch, "epochs": 4, "loss": 0.25, "score": score, "learning_rate": 0.1, "seconds": 1.5}
    return json.dumps(values).encode() + b"\n"


def write(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def soon(is_so: Callable[[], bool]) -> bool:
    """Wait until something is so, at most five seconds."""
    for _ in range(1000):
        if is_so():
            return True
        time.sleep(0.005)
    return False


def epochs(told: Sequence[Step | Beat]) -> list[int]:
    return [step.epoch for step in told if isinstance(step, Step)]


def threads() -> int:
    return sum(thread.name == "progress" for thread in threading.enumerate())


def test_an_epoch_is_told_while_the_training_runs_with_all_it_says(
    tmp_path: Path, told: list[Step | Beat]
) -> None:
    with watched(tmp_path, told.append):
        write(log(tmp_path, StageName.TUMOR), line(1))
        assert soon(lambda: len(told) == 1)
        write(log(tmp_path, StageName.TUMOR), line(2, None))
        assert soon(lambda: len(told) == 2)
    assert told == [
        Step(stage=StageName.TUMOR, epoch=1, epochs=4, loss=0.25, score=0.5, seconds=1.5),
        Step(stage=StageName.TUMOR, epoch=2, epochs=4, loss=0.25, score=None, seconds=1.5),
    ]


def test_lines_of_another_process_are_told_once(tmp_path: Path, told: list[Step | Beat]) -> None:
    path = log(tmp_path, StageName.NODES)
    script = (
        "import sys, time\n"
        "for line in sys.argv[2:]:\n"
        "    with open(sys.argv[1], 'a') as file:\n"
        "        file.write(line)\n"
        "    time.sleep(0.02)\n"
    )
    lines = [line(epoch).decode() for epoch in (1, 2, 3)]
    with watched(tmp_path, told.append):
        subprocess.run([sys.executable, "-c", script, str(path), *lines], check=True)
        assert soon(lambda: len(told) == 3)
    assert epochs(told) == [1, 2, 3]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path, told: list[Step | Beat]) -> None:
    path = log(tmp_path, StageName.TUMOR)
    with watched(tmp_path, told.append):
        write(path, line(1) + line(2)[:20])
        assert soon(lambda: len(told) == 1)
        time.sleep(0.05)  # several looks at the half
        assert len(told) == 1
        write(path, line(2)[20:])
        assert soon(lambda: len(told) == 2)
    assert epochs(told) == [1, 2]


def test_lines_of_an_earlier_run_are_not_told(tmp_path: Path, told: list[Step | Beat]) -> None:
    path = log(tmp_path, StageName.TUMOR)
    write(path, line(1) + line(2))
    with watched(tmp_path, told.append):
        write(path, line(3))
    assert epochs(told) == [3]


def test_a_line_torn_by_a_kill_is_passed_over_and_costs_no_other(
    tmp_path: Path, told: list[Step | Beat]
) -> None:
    path = log(tmp_path, StageName.TUMOR)
    write(path, line(1) + line(2)[:20])  # here the training was killed
    with watched(tmp_path, told.append):
        for epoch in (2, 3):  # resumed: the half line gets an end of its own
            append_json_line(path, json.loads(line(epoch)))
    assert epochs(told) == [2, 3]
    assert len(path.read_bytes().splitlines()) == 4


def test_stages_side_by_side_are_told_apart(tmp_path: Path, told: list[Step | Beat]) -> None:
    with watched(tmp_path, told.append):
        for epoch in (1, 2):
            for stage in (StageName.TUMOR, StageName.STRUCTURES):
                write(log(tmp_path, stage), line(epoch))
    assert sorted((step.stage, step.epoch) for step in told if isinstance(step, Step)) == [
        (stage, epoch) for stage in (StageName.STRUCTURES, StageName.TUMOR) for epoch in (1, 2)
    ]


def test_what_was_written_last_is_told_before_the_block_ends(
    tmp_path: Path, told: list[Step | Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "looking", partial(looking, every=60.0))
    began = time.monotonic()
    with watched(tmp_path, told.append):
        write(log(tmp_path, StageName.TUMOR), line(1))
    assert epochs(told) == [1]
    assert time.monotonic() - began < 5.0


def test_the_watch_ends_with_a_training_that_fails_and_the_error_goes_on(
    tmp_path: Path, told: list[Step | Beat]
) -> None:
    def fail() -> None:
        with watched(tmp_path, told.append):
            assert threads() == 1
            write(log(tmp_path, StageName.TUMOR), line(1))
            msg = "the loss became nan"
            raise ArithmeticError(msg)

    with pytest.raises(ArithmeticError, match="the loss became nan"):
        fail()
    assert threads() == 0
    assert epochs(told) == [1]
    write(log(tmp_path, StageName.TUMOR), line(2))
    time.sleep(0.05)
    assert len(told) == 1


def test_without_a_listener_nobody_watches(tmp_path: Path) -> None:
    with watched(tmp_path / "nowhere", None):
        assert threads() == 0


def test_a_run_without_a_folder_yet_can_be_watched(tmp_path: Path, told: list[Step | Beat]) -> None:
    with watched(tmp_path / "stages", told.append):
        write(log(tmp_path / "stages", StageName.METASTASIS), line(1))
        assert soon(lambda: bool(told))
    assert told[0].stage is StageName.METASTASIS
