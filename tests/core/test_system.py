"""What systems differ in, on the one the tests run on; the other branch is in tests/test_systems.py."""

import ast
import os
from pathlib import Path

import pytest

import lymphct
from lymphct.core.system import (
    PLAIN,
    READING,
    limited_memory,
    move,
    peak_memory,
    read_at,
    remove_locked,
    sync,
    try_lock,
)

PACKAGE = Path(lymphct.__file__).parent
POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "msvcrt", "posix"}
POSIX_NAMES = {
    "O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "pread", "pwrite", "fork", "getuid", "geteuid",
    "killpg", "setsid", "statvfs", "sched_getaffinity", "mkfifo", "rename", "SIGKILL", "SIGHUP", "is_mount",
}  # fmt: skip
"""Names of os, signal and pathlib that Windows lacks, or where it does something else."""


def names_in(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & POSIX_MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module)} & POSIX_MODULES
        elif isinstance(node, ast.Attribute):
            found |= {node.attr} & POSIX_NAMES
    return found


def test_what_windows_lacks_stands_in_one_module_alone() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): names_in(path) for path in PACKAGE.rglob("*.py")}
    used = {name: names for name, names in found.items() if names}
    # A program of its own, started in a locked-in child that imports nothing of ours.
    assert used.pop("io/nnunet/unpickling.py") == {"resource"}
    assert set(used) == {"core/system.py"}
    assert used["core/system.py"] == {"fork", "rename", "killpg", "SIGKILL"}


def test_a_lock_is_held_once_and_ends_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT | PLAIN) for _ in range(2))
    assert try_lock(first)
    assert not try_lock(second)
    os.close(first)
    assert try_lock(second)
    remove_locked(path, second)
    assert not path.exists()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(second)


def test_bytes_are_read_from_a_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one\r\ntwo")
    descriptor = os.open(path, READING)
    assert read_at(descriptor, 3, 5) == b"two"
    assert read_at(descriptor, 100, 0) == b"one\r\ntwo"
    os.close(descriptor)


def test_a_file_moves_over_another_and_a_folder_over_an_empty_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text(name, encoding="ascii")
    move(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text(encoding="ascii") == "new"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "empty").mkdir()
    move(tmp_path / "full", tmp_path / "empty")
    assert (tmp_path / "empty" / "file").exists()
    sync(tmp_path / "empty")
    sync(tmp_path / "empty" / "file")
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "full")


def test_the_peak_of_memory_grows_with_what_is_used() -> None:
    before = peak_memory()
    assert before is not None
    block = bytearray(before + 64_000_000)
    block[::4096] = b"\1" * len(block[::4096])
    after = peak_memory()
    assert after is not None
    assert after > before + 32_000_000


def test_memory_is_limited_for_a_while() -> None:
    with limited_memory(2**33), pytest.raises(MemoryError):
        bytearray(2**34)
    assert len(bytearray(2**20)) == 2**20
