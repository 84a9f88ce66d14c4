"""Where Linux, macOS and Windows differ: locks, memory, open files, renames. Everything else is the same.

What a system has decides, not its name: without `fcntl` it is taken for Windows. The branch for Linux runs in
every test, the other one with the modules of POSIX blocked and a stand-in for `msvcrt` (decision 0029).
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, Final

AnyPath = str | os.PathLike[str]


def _module(name: str) -> Any:  # noqa: ANN401 - a module, or None where the system has none
    try:
        return import_module(name)
    except ImportError:
        return None


_fcntl, _msvcrt, _resource = _module("fcntl"), _module("msvcrt"), _module("resource")
_IS_POSIX: Final = _fcntl is not None
_LOCKED_BYTE: Final = 1 << 30
"""Place of the byte that is locked on Windows, where nobody may read what is locked: far behind the end."""


def _flags(*names: str) -> int:
    """Return the flags of `os.open` that this system has."""
    return sum(int(getattr(os, name, 0)) for name in names)


PLAIN: Final = _flags("O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
"""Flags of every file: bytes as they are, closed in child processes."""
READING: Final = os.O_RDONLY | PLAIN | _flags("O_NONBLOCK")
"""Flags to read a file; opening a pipe nobody writes to does not hang."""


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file; False if another holds it. It ends with the file or its process.

    Raises:
        OSError: the disk has no locks.

    """
    if _IS_POSIX:
        try:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
    try:
        _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    return True


def remove_locked(path: AnyPath, descriptor: int) -> None:
    """Remove a lock file this process holds, and let go of it."""
    if _IS_POSIX:
        # Removed while still held, so nobody can be holding the file that disappears.
        with suppress(OSError):
            os.unlink(path)
        os.close(descriptor)
        return
    os.close(descriptor)  # Windows removes no open file; whoever holds it by then keeps it
    with suppress(OSError):
        os.unlink(path)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Return up to `size` bytes of an open file from `offset` on; its position moves."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)


def sync(path: AnyPath) -> None:
    """Wait until the disk has a file, or the entries of a folder (Windows opens none, nor needs to)."""
    if _IS_POSIX:
        descriptor = os.open(path, os.O_RDONLY)
    elif os.path.isdir(path):
        return
    else:
        descriptor = os.open(path, os.O_RDWR | PLAIN)  # without the right to write it refuses to sync
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(source: AnyPath, target: AnyPath) -> None:
    """Rename a file over another, or a folder over an empty one; on Windows the empty one goes first."""
    if _IS_POSIX:
        os.rename(source, target)
        return
    with suppress(OSError):
        os.rmdir(target)
    os.replace(source, target)


def kill_group(leader: int) -> None:
    """Kill a process and all it started, where it leads a group of its own; on Windows the process alone."""
    with suppress(ProcessLookupError, PermissionError):
        if _IS_POSIX:
            os.killpg(leader, signal.SIGKILL)
        else:
            os.kill(leader, signal.SIGTERM)


def peak_memory() -> int | None:
    """Return the largest resident memory of this process so far, bytes; None on Windows."""
    if _resource is None:
        return None
    peak = int(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else peak * 1024


def worked_apart(work: Callable[[], bytes], *, memory: int, processor: int, wall: float) -> tuple[bytes, str]:
    """Do some work in a process of its own, forked for it, within limits; on Windows in this one without any.

    To be called where nothing else goes on: a fork takes one thread along.

    Args:
        work: returns what is to come back.
        memory: bytes of its address space; beyond, it is refused more.
        processor: seconds of computing; beyond, it is killed.
        wall: seconds by the clock; likewise.

    Returns:
        What the work returned, and nothing; or nothing, and what ended it.

    """
    if not hasattr(os, "fork"):
        return work(), ""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _limit_process(memory, processor, wall)
            with os.fdopen(writing, "wb") as stream:
                stream.write(work())
            code = 0
        finally:
            os._exit(code)  # whatever happened: the caller goes on in the other process alone
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        content = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        return content, ""
    if -code == signal.SIGXCPU:
        return b"", f"it took more than {processor} s of computing"
    if -code == signal.SIGALRM:
        return b"", f"it took more than {wall:g} s"
    return b"", "its process ended before its time"


def _limit_process(memory: int, processor: int, wall: float) -> None:
    for kind, size in ((_resource.RLIMIT_AS, memory), (_resource.RLIMIT_CPU, processor)):
        hard = _resource.getrlimit(kind)[1]
        allowed = size if hard == _resource.RLIM_INFINITY else min(size, hard)
        with suppress(ValueError, OSError):  # macOS refuses limits below what is mapped already
            _resource.setrlimit(kind, (allowed, hard))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, wall)


@contextmanager
def limited_memory(size: int) -> Iterator[None]:
    """Limit the address space of this process to `size` bytes for a while; without effect on Windows."""
    if _resource is None:
        yield
        return
    before = _resource.getrlimit(_resource.RLIMIT_AS)
    allowed = [limit for limit in (size, *before) if limit != _resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):  # macOS refuses limits below what is mapped already
        _resource.setrlimit(_resource.RLIMIT_AS, (min(allowed), before[1]))
    try:
        yield
    finally:
        _resource.setrlimit(_resource.RLIMIT_AS, before)
