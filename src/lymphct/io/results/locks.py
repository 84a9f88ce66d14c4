"""Locks between processes; the kernel lets go of them when the holder dies, however it dies."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lymphct.core.errors import EnvironmentProblemError, HeldError, InputError
from lymphct.core.system import PLAIN, read_at, remove_locked, try_lock
from lymphct.io.results.disk import environment_errors
from lymphct.io.results.jsonfile import parse_json

_PAUSE = 0.05
"""Seconds between two attempts."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an output folder for this process; the lock is the file `.<name>.lock` beside it.

    Raises:
        HeldError: another process holds it (after at most a second).
        EnvironmentProblemError: no permission, or a disk without locks.

    """
    folder = Path(os.path.realpath(folder))
    with exclusive_lock(folder.with_name(f".{folder.name}.lock")):
        yield


@contextmanager
def exclusive_lock(path: Path, *, wait: float = 1.0) -> Iterator[None]:
    """Hold the lock file `path`, waiting up to `wait` seconds; it is gone afterwards.

    Folders made for it are removed again where nothing came to stand in them.

    Raises:
        HeldError: another process holds it.
        EnvironmentProblemError: no permission, or a disk without locks.

    """
    made: list[Path] = []
    try:
        try:
            with environment_errors():
                made.extend(_make_folders(path.parent))
                descriptor = _acquire(path, wait)
        except EnvironmentProblemError as problem:
            raise problem.at(file=path.parent.name) from problem.__cause__
        try:
            yield
        finally:
            remove_locked(path, descriptor)
    finally:
        for folder in reversed(made):
            with suppress(OSError):  # not empty: something was written
                folder.rmdir()


def _make_folders(folder: Path) -> list[Path]:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _acquire(path: Path, wait: float) -> int:
    deadline = time.monotonic() + wait
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)  # a holder that just ended may have removed it
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | PLAIN, 0o666)
        try:
            is_taken = try_lock(descriptor)
            if is_taken and _still_there(path, descriptor):
                _name_holder(descriptor)
                return descriptor
            holder = "" if is_taken else _holder(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if holder and time.monotonic() >= deadline:
            msg = f"in use by {holder}"
            name = path.name.removeprefix(".").removesuffix(".lock").removesuffix(".staging")
            raise HeldError(msg, cure="wait for it or choose another folder").at(file=name)
        time.sleep(_PAUSE)


def _still_there(path: Path, descriptor: int) -> bool:
    """Return whether the file just locked is the one at `path`, not one its last holder removed."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _name_holder(descriptor: int) -> None:
    with suppress(OSError):  # the lock holds on a full disk too, only the message to others is poorer
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode("ascii"))


def _holder(descriptor: int) -> str:
    try:
        holder = parse_json(read_at(descriptor, 4096, 0))
    except InputError:  # between taking the lock and writing the name
        holder = None
    if not isinstance(holder, dict):
        return "another process"
    return f"pid {holder.get('pid')} on host {holder.get('host')}"


def holder_of(folder: Path) -> str:
    """Return which process holds an output folder by `locked`; empty when none does. Nothing is changed."""
    folder = Path(os.path.realpath(folder))
    try:
        descriptor = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR)
    except OSError:  # no lock file: nobody holds it; no permission: told by whoever writes
        return ""
    try:
        return "" if try_lock(descriptor) else _holder(descriptor)
    finally:
        os.close(descriptor)
