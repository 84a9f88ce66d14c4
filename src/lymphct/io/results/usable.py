"""Could results be written here? Asked before any work; nothing is made or changed."""

import os
import shutil
from pathlib import Path

from lymphct.core.errors import EnvironmentProblemError, OutputInUseError
from lymphct.io.results.locks import holder_of
from lymphct.io.results.store import require_result_place


def require_usable(folder: Path) -> None:
    """Refuse an output folder that could not be written to, or that another process works in.

    Raises:
        OutputInUseError: a file stands there, or another process holds the folder.
        EnvironmentProblemError: it, or the folder it would be made in, cannot be written to.

    """
    if folder.exists() and not folder.is_dir():
        msg = f"a file stands where the output folder belongs: {folder}"
        raise OutputInUseError(msg, cure="choose another folder").at(file=folder.name)
    above = existing_folder(folder)
    if not above.is_dir():
        msg = f"a part of the path is a file, not a folder: {folder}"
        raise EnvironmentProblemError(msg, code="E_PATH", cure="check the path").at(file=above.name)
    # The lock stands beside the folder, so that one must be writable as well.
    for place in dict.fromkeys((above, existing_folder(folder.absolute().parent))):
        if not os.access(place, os.W_OK | os.X_OK):
            msg = f"no permission to write to {place}"
            cure = "choose a folder you may write to"
            raise EnvironmentProblemError(msg, code="E_PERMISSION", cure=cure).at(file=folder.name)
    holder = holder_of(folder)
    if holder:
        msg = f"in use by {holder}"
        raise OutputInUseError(msg, cure="wait for it or choose another folder").at(file=folder.name)


def require_usable_result(folder: Path) -> None:
    """Refuse the folder of one result as `require_usable` does, and when it holds something that is not ours.

    Raises:
        OutputInUseError, UsageError: it cannot be replaced as a whole.
        EnvironmentProblemError: as `require_usable`.

    """
    require_usable(folder)
    require_result_place(folder)


def existing_folder(path: Path) -> Path:
    """Return the path, or the nearest one above it that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def free_space(folder: Path) -> int:
    """Return the free bytes of the disk a folder lies on, or would lie on."""
    return shutil.disk_usage(existing_folder(folder)).free
