"""Where an image comes from: a file, a folder or archive of DICOM slices, and which of its series."""

import sys
from pathlib import Path
from typing import Final

from lymphct.core.errors import InputError
from lymphct.io.regular_file import open_regular

MARK: Final = "#"
"""Between a folder and the series that is meant: `FOLDER#2`, or `FOLDER#` and a SeriesInstanceUID."""
ARCHIVE: Final = ".zip"
_PREAMBLE: Final = 128


def source_of(path: Path) -> tuple[Path, str]:
    """Return what a path names, and the series that is chosen from it; empty when none is.

    A file or folder whose name holds the mark is what it is.

    >>> source_of(Path("no-such-folder#2"))[1]
    '2'
    """
    name, mark, series = path.name.rpartition(MARK)
    if not mark or not name or not series or exists(path):
        return path, ""
    return path.with_name(name), series


def exists(path: Path) -> bool:
    """Tell whether something is there; a name that no system takes is not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Tell whether a path names a regular file or a folder, or a series of one."""
    place = source_of(path)[0]
    try:
        return place.is_file() or place.is_dir()
    except (OSError, ValueError):
        return False


def holds_series(path: Path) -> bool:
    """Tell whether a path names a folder or an archive of DICOM slices, or a DICOM file (of many)."""
    place, series = source_of(path)
    return bool(series) or place.is_dir() or place.name.casefold().endswith(ARCHIVE) or is_dicom(place)


def is_dicom(path: Path) -> bool:
    """Tell whether a path names a DICOM file, by its content."""
    try:
        with open_regular(path, limit=sys.maxsize) as (file, _):
            return file.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"
    except InputError:
        return False


def same_source(one: Path, other: Path) -> bool:
    """Tell whether two paths name the same file, folder or series of a folder."""
    (place, series), (other_place, other_series) = source_of(one), source_of(other)
    there = exists(place) and exists(other_place)
    return there and series == other_series and place.samefile(other_place)
