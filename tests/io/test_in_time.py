"""Who hangs is killed at the limit with all it started; who is killed costs itself; the others go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lymphct.core.errors import EnvironmentProblemError
from lymphct.io.processes import map_patients


def hanging(folder: Path) -> Callable[[str], str]:
    """Return work that hangs, dies or ends; made inside a function, it travels to the processes by value."""

    def work(item: str) -> str:
        if item == "hangs":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (folder / "child").write_text(str(child.pid))
            time.sleep(600)
        if item == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{item} {os.environ['OMP_NUM_THREADS']}"

    return work


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("jobs", [1, 2])
def test_who_hangs_is_killed_with_all_it_started_and_the_others_go_on(tmp_path: Path, jobs: int) -> None:
    items = ["a", "hangs", "b", "killed", "c"]
    began = time.monotonic()
    outcomes = list(map_patients(hanging(tmp_path), items, jobs=jobs, seconds=1.5))
    assert time.monotonic() - began < 60
    assert [outcome.item for outcome in outcomes] == items
    assert [outcome.value for outcome in outcomes] == ["a 1", None, "b 1", None, "c 1"]
    late, killed = outcomes[1].error, outcomes[3].error
    assert isinstance(late, EnvironmentProblemError)
    assert str(late).startswith("stopped after 1.5 s, the limit of one patient [E_TIMEOUT] - ")
    assert isinstance(killed, EnvironmentProblemError)
    assert killed.code == "E_MEMORY"
    assert not is_alive(int((tmp_path / "child").read_text()))


def test_whoever_leaves_early_leaves_no_process_behind() -> None:
    def number(_: int) -> int:
        return os.getpid()

    outcomes = map_patients(number, [1, 2, 3], jobs=1, seconds=60.0)
    process = next(outcomes).result()
    assert is_alive(process)
    assert process != os.getpid()
    outcomes.close()  # type: ignore[attr-defined] # a generator
    assert not is_alive(process)


def test_memory_is_limited_beside_the_time() -> None:
    def large(size: int) -> int:
        return len(bytearray(size))

    small, much = map_patients(large, [10, 2**34], memory=2**33, seconds=60.0)
    assert small.result() == 10
    assert much.error is not None
    assert much.error.code == "E_MEMORY"


def test_without_patients_no_process_is_started(tmp_path: Path) -> None:
    assert list(map_patients(hanging(tmp_path), [], seconds=1.0)) == []
