"""Bytes to and from the disk: bounded reading, synced writing, and the machine's refusals in plain words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lymphct.core.errors import EnvironmentProblemError, OutputInUseError
from lymphct.core.system import move, sync
from lymphct.io.regular_file import open_regular

_REFUSALS = {
    errno.ENOSPC: ("no space left on the disk", "E_NO_SPACE", "free some space and run it again"),
    errno.EDQUOT: ("no space left in the quota", "E_NO_SPACE", "free some space and run it again"),
    errno.EFBIG: ("no space: the file is larger than allowed", "E_NO_SPACE", "raise the limit on file sizes"),
    errno.EACCES: ("no permission", "E_PERMISSION", "choose a folder you may write to"),
    errno.EPERM: ("no permission", "E_PERMISSION", "choose a folder you may write to"),
    errno.EROFS: ("no permission: the disk is read-only", "E_READ_ONLY", "choose a folder you may write to"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "E_PATH", "check the path"),
    errno.EEXIST: ("a part of the path is a file, not a folder", "E_PATH", "check the path"),
    errno.EISDIR: ("a folder stands where a file belongs", "E_PATH", "check the path"),
    errno.ENAMETOOLONG: ("the path is too long", "E_PATH", "choose a shorter path"),
    errno.EIO: ("the disk reports an error", "E_DISK", "check the disk"),
    errno.EMFILE: ("too many open files", "E_TOO_MANY_FILES", "use fewer jobs or raise the limit"),
    errno.ENFILE: ("too many open files", "E_TOO_MANY_FILES", "use fewer jobs or raise the limit"),
    errno.ENOLCK: ("the disk offers no locks", "E_NO_LOCKS", "choose a folder on another disk"),
    errno.EOPNOTSUPP: ("the disk offers no locks", "E_NO_LOCKS", "choose a folder on another disk"),
}
DISK_CODES: Final = frozenset({"E_NO_SPACE", "E_READ_ONLY"})
"""Refusals of a whole disk: whatever is written next meets them too."""

_NOWHERE_TEMPORARY = (
    "no folder for temporary files can be written to",
    "E_TEMPORARY",
    "set TMPDIR to one that can",
)
_OUT_OF_MEMORY = ("out of memory", "E_MEMORY", "use fewer jobs or a machine with more memory")


@contextmanager
def environment_errors() -> Iterator[None]:
    """Turn refusals of the machine (disk, permission, memory) into `EnvironmentProblemError`; pass all else.

    Raises:
        EnvironmentProblemError: no space, no permission, a read-only disk, no memory and the like.

    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        cause, code, cure = refusal
        place = error.filename if isinstance(error, OSError) and isinstance(error.filename, str) else ""
        raise EnvironmentProblemError(cause, code=code, cure=cure).at(file=Path(place).name) from error


def _refusal(error: Exception) -> tuple[str, str, str] | None:
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        return _NOWHERE_TEMPORARY  # of `tempfile`, which tried TMPDIR and the usual places
    if isinstance(error, OSError):
        return _OUT_OF_MEMORY if error.errno == errno.ENOMEM else _REFUSALS.get(error.errno or 0)
    # torch reports a lack of memory as a RuntimeError: a subclass on a GPU, its allocator's words on a CPU.
    lacks_memory = (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )
    return _OUT_OF_MEMORY if lacks_memory else None


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file of at most `max_bytes`; a pipe or a device never blocks.

    Raises:
        InputError: missing, not a regular file, empty, too large, or not readable.

    """
    with open_regular(path, limit=max_bytes) as (stream, _):
        return stream.read()


def write_synced(path: Path, *pieces: bytes | memoryview) -> None:
    """Write a file of one or more pieces and wait until the disk has it."""
    with path.open("wb") as stream:
        stream.writelines(pieces)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that readers and crashes see the old content or the new, never a part.

    Raises:
        EnvironmentProblemError: no space, no permission and the like; the old file is untouched.

    """
    # A fixed name: what a killed process leaves is overwritten by the next run instead of piling up.
    staging = path.with_name(f".{path.name}.writing")
    with environment_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_synced(staging, content)
            move(staging, path)
        except BaseException:
            with suppress(OSError):
                staging.unlink(missing_ok=True)
            raise
        sync(path.parent)


def check_writable_file(path: Path) -> None:
    """Refuse an output file that could not be written, before hours of work go into it.

    Raises:
        OutputInUseError: a folder, pipe or device stands there.
        EnvironmentProblemError: its folder cannot be written to.

    """
    if path.exists() and not path.is_file():
        msg = "not a file, so it is not overwritten"
        raise OutputInUseError(msg, cure="choose another name").at(file=path.name)
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        msg = "a part of the path is a file, not a folder"
        raise EnvironmentProblemError(msg, code="E_PATH", cure="check the path").at(file=folder.name)
    if not os.access(folder, os.W_OK | os.X_OK):
        msg = "no permission"
        cure = "choose a folder you may write to"
        raise EnvironmentProblemError(msg, code="E_PERMISSION", cure=cure).at(file=folder.name)
