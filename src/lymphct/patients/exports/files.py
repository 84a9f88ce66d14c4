"""Every file of an export, and what it says of itself."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from lymphct.core.errors import EnvironmentProblemError, InputError
from lymphct.io.images.dicom.file_head import FileHead
from lymphct.io.images.dicom.heads import read_head
from lymphct.io.images.dicom.index import INDEX_FILE
from lymphct.io.images.limits import DicomLimits
from lymphct.io.processes import map_patients
from lymphct.io.pseudonyms import Pseudonyms

MOST_FILES: Final = 5_000_000
_CLUTTER: Final = frozenset({INDEX_FILE, "Thumbs.db", "desktop.ini"})
_TOGETHER: Final = 500
"""Files that a process reads at a time."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the heads of some files; travels to other processes."""

    pseudonyms: Pseudonyms
    limits: DicomLimits

    def __call__(self, paths: Sequence[str]) -> list[FileHead]:
        return [read_head(Path(path), self.pseudonyms, self.limits) for path in paths]


def files_below(folder: Path) -> list[str]:
    """List the files below a folder by name; links to folders are not followed, indexes are left out.

    Raises:
        InputError: there are none, too many, or a folder cannot be listed.

    """
    paths: list[str] = []

    def refuse(error: OSError) -> None:
        msg = f"a folder cannot be listed ({error.strerror})"
        raise InputError(msg, code="E_UNREADABLE", cure="change its permissions")

    for parent, _, names in os.walk(folder, onerror=refuse):
        paths += [
            os.path.join(parent, name)  # noqa: PTH118 - a Path for each of a million files takes seconds
            for name in names
            if not name.startswith(".") and name not in _CLUTTER
        ]
        if len(paths) > MOST_FILES:
            msg = f"the folder holds more than {MOST_FILES} files"
            raise InputError(msg, code="E_TOO_LARGE", cure="import it in parts")
    if not paths:
        msg = "the folder holds no files"
        raise InputError(msg, code="E_NO_SLICES", cure="give the folder of the export").at(file=folder.name)
    return sorted(paths)


def read_heads(
    paths: Sequence[str],
    pseudonyms: Pseudonyms,
    *,
    jobs: int = 1,
    limits: DicomLimits | None = None,
    watched: Callable[[int], object] | None = None,
) -> list[FileHead]:
    """Read what files say of themselves, in their order; one that cannot be read is told of.

    Args:
        paths: the files.
        pseudonyms: hashes what names a patient.
        jobs: processes side by side.
        limits: of a file; None for the defaults.
        watched: called with the number of files that were read since.

    """
    reader = _Reader(pseudonyms, limits or DicomLimits())
    parts = [paths[start : start + _TOGETHER] for start in range(0, len(paths), _TOGETHER)]
    found: list[list[FileHead]] = []
    for outcome in map_patients(reader, parts, jobs=jobs if len(parts) > 1 else 1):
        if isinstance(outcome.error, EnvironmentProblemError):
            raise outcome.error
        found.append(outcome.result())
        if watched is not None:
            watched(len(outcome.item))
    return list(chain.from_iterable(found))


def problems_of(heads: Iterable[FileHead]) -> dict[str, int]:
    """Count the files that belong to no series, by what is wrong with them."""
    counts = Counter(head.problem for head in heads if head.tags is None)
    return dict(sorted(counts.items()))


def damaged_folders(heads: Iterable[FileHead]) -> frozenset[Path]:
    """Return the folders that hold a file which may be a lost slice: empty, or DICOM that cannot be read."""
    return frozenset(
        head.path.parent for head in heads if head.tags is None and head.problem not in {"", "no DICOM"}
    )
