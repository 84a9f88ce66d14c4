"""Open what a user named: only a regular, readable file of bearable size, never a pipe that hangs."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lymphct.core.errors import InputError
from lymphct.core.system import READING


@contextmanager
def open_regular(path: Path, *, limit: int) -> Iterator[tuple[BinaryIO, int]]:
    """Yield the open file and its size in bytes.

    Raises:
        InputError: missing, unreadable, not a regular file, empty, or larger than `limit` bytes.

    """
    try:
        descriptor = os.open(path, READING)  # a FIFO without a writer does not hang
    except FileNotFoundError:
        raise _error(path, "no such file", "E_MISSING", "check the path") from None
    except PermissionError:
        raise _error(path, "the file may not be read", "E_UNREADABLE", "change its permissions") from None
    except (OSError, ValueError) as problem:
        cause = f"cannot be opened ({getattr(problem, 'strerror', None) or 'not a valid path'})"
        raise _error(path, cause, "E_UNREADABLE", "check the path") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise _error(path, f"is {kind}, not a regular file", "E_NOT_A_FILE", "give a file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size == 0:
            cause = "incomplete or damaged file: it is empty (0 bytes)"
            raise _error(path, cause, "E_EMPTY", "copy the file again")
        if status.st_size > limit:
            cause = f"the file is too large ({status.st_size} bytes, limit {limit})"
            raise _error(path, cause, "E_TOO_LARGE", "check that this is the right file")
        yield file, status.st_size


def combined_digest(digests: list[str]) -> str:
    """Return one sha256 for a set of files, whatever their names and order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode("ascii")).hexdigest()


def _error(path: Path, cause: str, code: str, cure: str) -> InputError:
    return InputError(cause, code=code, cure=cure).at(file=path.name)
