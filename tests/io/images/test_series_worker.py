"""A series is looked at in a process of its own: what it takes or breaks there costs itself alone."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lymphct.core.errors import InputError
from lymphct.io.images.dicom.reading import read_dicom
from lymphct.io.images.dicom.series_child import _answer
from lymphct.io.images.dicom.series_worker import SeriesWorker
from lymphct.io.images.limits import LookLimits
from lymphct.io.images.reading import read_volume

Maker = Callable[..., Path]


@pytest.fixture
def files(make_series: Maker) -> list[Path]:
    rng = np.random.default_rng(0)
    array = rng.integers(-1000, 200, (48, 40, 24)).astype(np.int16)
    return sorted(make_series(array).iterdir())


@pytest.fixture(scope="module")
def worker() -> Iterator[SeriesWorker]:
    with SeriesWorker() as started:
        yield started


def test_a_series_is_looked_at_and_taken(worker: SeriesWorker, files: list[Path], tmp_path: Path) -> None:
    look = worker.look(files)
    assert look["shape"] == [48, 40, 24]
    assert look["spacing"] == [4.0, 4.5, 5.0]
    assert look["range"] == [-300.0, -185.0]
    assert not look["is_resampled"]
    written = tmp_path / "ct.nii.gz"
    taken = worker.take(files, to=written)
    assert np.array_equal(read_volume(written).array, read_dicom(files[0].parent).volume.array)
    assert worker.take(files) == taken


def test_a_bad_series_is_refused_and_the_next_one_is_not(worker: SeriesWorker, files: list[Path]) -> None:
    with pytest.raises(InputError, match="missing slices: 1"):
        worker.look(files[:5] + files[6:])
    assert worker.look(files)["shape"] == [48, 40, 24]


def test_limits_hold_in_the_process_of_each_series(files: list[Path]) -> None:
    with (
        SeriesWorker(LookLimits(wall_seconds=0.001)) as hurried,
        pytest.raises(InputError, match=r"could not be looked at: it took more than 0\.001 s \[E_LIMITS\]"),
    ):
        hurried.look(files)
    with (
        SeriesWorker(LookLimits(memory_bytes=1)) as narrow,
        pytest.raises(InputError, match=r"out of memory|ended before its time"),
    ):
        narrow.look(files)


def test_a_child_that_is_lost_is_started_anew(worker: SeriesWorker, files: list[Path]) -> None:
    worker.look(files)
    process = worker._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(InputError, match="its process was lost"):
        worker.look(files)
    assert worker.look(files)["shape"] == [48, 40, 24]


def test_a_bug_of_ours_costs_one_series() -> None:
    assert _answer({"do": "look", "files": 7}) == {"error": ["unexpected TypeError", "E_BUG", "report it"]}
