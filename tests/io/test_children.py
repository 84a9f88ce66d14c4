"""A program of the user's runs to its end or its limit, and takes with it what it started."""

import logging
import os
import sys
import time
from pathlib import Path

import pytest

from lymphct.io.children import Child, Ended, run_child

logger = logging.getLogger("lymphct.test")


def ran(code: str, folder: Path, *, seconds: float = 30.0, memory: int | None = None) -> Ended:
    child = Child(
        name="tool",
        log=logger,
        folder=folder,
        seconds=seconds,
        memory=memory,
        environment={"COLOUR": "green"},
    )
    return run_child([sys.executable, "-c", code], child)


def test_bars_are_told_in_tens_and_the_last_line_without_folders(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = (
        "import os\n"
        "for n in (3, 12, 14, 25, 100): print(f'{n}%|###', end='\\r')\n"
        "print('\\nin', os.getcwd(), os.environ['COLOUR']); print('wrote /a/b/c.txt')"
    )
    with caplog.at_level(logging.DEBUG, "lymphct.test"):
        ended = ran(code, tmp_path)
    assert ended == Ended(code=0, last="wrote c.txt", is_stopped=False)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert told == ["tool: 10 %", "tool: 20 %", "tool: 100 %"]
    assert f"tool: in {tmp_path} green" in caplog.text


def test_its_code_comes_back_and_what_does_not_start_is_an_error(tmp_path: Path) -> None:
    assert ran("raise SystemExit(3)", tmp_path) == Ended(code=3, last="", is_stopped=False)
    with pytest.raises(OSError, match="No such file"):
        run_child([str(tmp_path / "nothing")], Child(name="x", log=logger, folder=tmp_path, seconds=1))


def test_memory_is_limited(tmp_path: Path) -> None:
    ended = ran("x = bytearray(2_000_000_000)", tmp_path, memory=1_000_000_000)
    assert (ended.code, ended.last) == (1, "MemoryError")


def test_after_its_time_it_is_killed_with_all_it_started(tmp_path: Path) -> None:
    trace = tmp_path / "alive"
    later = f"import time; time.sleep(2); open({str(trace)!r}, 'w')"
    code = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {later!r}]); time.sleep(60)"
    )
    begun = time.perf_counter()
    assert ran(code, tmp_path, seconds=1.0).is_stopped
    assert time.perf_counter() - begun < 30
    time.sleep(2.2)
    assert not trace.exists()
    assert "COLOUR" not in os.environ
