"""Where an image comes from: a file, a folder or archive of DICOM slices, and which of its series."""

from pathlib import Path
from typing import Final

MARK: Final = "#"
"""Between a folder and the series that is meant: `FOLDER#2`, or `FOLDER#` and a SeriesInstanceUID."""
ARCHIVE: Final = ".zip"


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
    """Tell whether a path names a folder or an archive of DICOM slices."""
    place, series = source_of(path)
    return bool(series) or place.is_dir() or place.name.casefold().endswith(ARCHIVE)


def same_source(one: Path, other: Path) -> bool:
    """Tell whether two paths name the same file, folder or series of a folder."""
    (place, series), (other_place, other_series) = source_of(one), source_of(other)
    there = exists(place) and exists(other_place)
    return there and series == other_series and place.samefile(other_place)
