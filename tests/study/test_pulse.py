"""How far a training is, told by a small file and read by whoever looks."""

import json
from pathlib import Path

import pytest

from lymphct.core.terms import StageName
from lymphct.study import pulse
from lymphct.study.keeping import LOG_FILE
from lymphct.study.progress import Beat, Step, watched
from lymphct.study.pulse import PULSE_FILE, Pulse, PulseWriter, read_pulse


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    ticking = Clock()
    monkeypatch.setattr(pulse, "time", ticking)
    return ticking


def test_the_first_iteration_is_told_at_once_and_then_one_every_two_seconds(
    clock: Clock, tmp_path: Path
) -> None:
    write = PulseWriter(tmp_path / "nodes", made=clock.now)
    assert read_pulse(tmp_path / "nodes") is None
    seen = []
    for done in range(1, 11):
        clock.now += 0.5
        write(done, 100)
        seen.append(read_pulse(tmp_path / "nodes"))
    assert [found.done for found in seen if found is not None] == [1, 1, 1, 1, 5, 5, 5, 5, 9, 9]
    assert seen[-1] == Pulse(done=9, total=100, seconds=0.5)
    assert seen[-1].left == 0.5 * 91
    assert seen[0] == Pulse(done=1, total=100, seconds=0.5)


def test_the_last_iteration_is_told_always(clock: Clock, tmp_path: Path) -> None:
    write = PulseWriter(tmp_path)
    for done in (1, 2, 3):
        write(done, 3)
    assert read_pulse(tmp_path) == Pulse(done=3, total=3, seconds=0.0)
    assert clock.now == 100.0


def test_a_resumed_training_counts_its_pace_from_where_it_went_on(clock: Clock, tmp_path: Path) -> None:
    write = PulseWriter(tmp_path, made=clock.now)
    clock.now += 9
    write(501, 1000)
    clock.now += 4
    write(511, 1000)
    assert read_pulse(tmp_path) == Pulse(done=511, total=1000, seconds=0.4)


def test_a_disk_that_refuses_stops_no_training(tmp_path: Path) -> None:
    (tmp_path / "nodes").touch()
    PulseWriter(tmp_path / "nodes")(1, 3)
    assert read_pulse(tmp_path / "nodes") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_what_is_no_pulse_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / PULSE_FILE).write_text(content)
    assert read_pulse(tmp_path) is None


def test_whoever_watches_is_told_what_is_new_and_not_what_an_earlier_run_left(tmp_path: Path) -> None:
    stage = tmp_path / "nodes"
    PulseWriter(stage)(4, 8)
    line = {"epoch": 1, "epochs": 2, "loss": 0.5, "score": None, "seconds": 3.0}
    (stage / LOG_FILE).write_text(json.dumps(line) + "\n")
    told: list[Step | Beat] = []
    with watched(tmp_path, told.append):
        PulseWriter(stage)(6, 8)
        with (stage / LOG_FILE).open("a") as log:
            log.write(json.dumps({**line, "epoch": 2}) + "\n{torn")
    assert [news.epoch for news in told if isinstance(news, Step)] == [2]
    assert [(b.stage, b.pulse.done) for b in told if isinstance(b, Beat)] == [(StageName.NODES, 6)]
