"""Locks between processes."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lymphct.core.errors import EnvironmentProblemError, OutputInUseError
from lymphct.io.results.locks import exclusive_lock, locked

HOLDER = """
import sys, time
from pathlib import Path
from lymphct.io.results.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_second_process_is_told_who_holds_the_folder_and_a_killed_holder_lets_go(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        started = time.monotonic()
        with (
            pytest.raises(
                OutputInUseError, match=f"run: in use by pid {holder.pid} on host {socket.gethostname()}"
            ) as caught,
            locked(folder),
        ):
            pass
        assert time.monotonic() - started < 2.0
        assert caught.value.exit_code == 5
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / ".run.lock").exists()
    started = time.monotonic()
    with locked(folder):
        assert time.monotonic() - started < 0.5
    assert names(tmp_path) == []


def test_a_lock_leaves_nothing_behind_but_keeps_what_was_made_meanwhile(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b" / "run"):
        pass
    assert names(tmp_path) == []
    with locked(tmp_path / "a" / "b" / "run"):
        (tmp_path / "a" / "kept").touch()
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["kept"]


def test_the_same_folder_under_another_name_is_locked_too(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    with locked(tmp_path / "run"), pytest.raises(OutputInUseError, match="in use"), locked(tmp_path / "link"):
        pass


def test_a_waiting_process_gets_the_lock_when_the_holder_ends(tmp_path: Path) -> None:
    path = tmp_path / ".run.lock"
    with exclusive_lock(path):
        child = os.fork()
        if child == 0:
            try:
                with exclusive_lock(path, wait=10.0):
                    os._exit(0)
            finally:
                os._exit(1)
        time.sleep(0.2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with exclusive_lock(path, wait=0.0):
        assert path.exists()


def test_a_lock_file_that_its_last_holder_removed_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".run.lock"
    flock, calls = fcntl.flock, []

    def remove_once(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_once)
    with exclusive_lock(path):
        assert path.exists()
        assert len(calls) == 2


def test_a_holder_that_has_not_named_itself_yet_is_another_process(tmp_path: Path) -> None:
    path = tmp_path / ".run.lock"
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with (
            pytest.raises(OutputInUseError, match="run: in use by another process"),
            exclusive_lock(path, wait=0.0),
        ):
            pass


@pytest.mark.parametrize(("number", "words"), [(errno.ENOLCK, "no locks"), (errno.EACCES, "no permission")])
def test_a_disk_that_refuses_the_lock_is_exit_code_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(EnvironmentProblemError, match=f"{tmp_path.name}: .*{words}"),
        locked(tmp_path / "run"),
    ):
        pass
