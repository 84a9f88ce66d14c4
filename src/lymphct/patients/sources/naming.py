"""Sources of structures by name, in an order of trust: what a user writes, checked (decision 0043)."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lymphct.core.errors import InputError, UsageError
from lymphct.io.images.known_sources import known_sources
from lymphct.io.images.labels import FOREIGN, Scheme

PATIENT: Final = "{patient}"
"""Stands for the patient's id in a path."""
FILES: Final = "files"
MODEL: Final = "bundle"
_ALONE: Final = ("totalsegmentator", "bundle", "trace")
"""Sources that can do without a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSource:
    """One source of structures.

    Attributes:
        name: of `known_sources`.
        path: of its files or of its model, `{patient}` in it; empty where it needs none.
        scheme: how its files are numbered.

    """

    name: str
    path: str = ""
    scheme: Scheme = "auto"

    @property
    def is_read(self) -> bool:
        """Tell whether it is read from a file of each patient."""
        return bool(self.path) and (self.name == FILES or self.name in FOREIGN)

    @property
    def text(self) -> str:
        """Return what stands in a record of what was used."""
        return f"{self.name}:{self.path}" if self.path else self.name

    def file_of(self, patient_id: str) -> Path:
        """Return the file, or folder, of one patient.

        Raises:
            InputError: it is not there.

        """
        path = Path(self.path.replace(PATIENT, patient_id))
        if not path.exists():
            msg = f"the source {self.name} has no file of this patient"
            cure = "correct the path, or leave the patient out"
            raise InputError(msg, code="E_MISSING", cure=cure).at(patient=patient_id, file=str(path))
        return path


def named_sources(text: str, *, labels: Scheme = "auto") -> tuple[NamedSource, ...]:
    """Read sources separated by commas, the most trusted first.

    Args:
        text: such as `totalsegmentator:/masks/{patient}.nii.gz,trace`.
        labels: numbering of plain paths.

    Raises:
        UsageError: a name that is none of the table (the nearest one is suggested), one that needs a path, or
            one given twice.

    >>> [source.text for source in named_sources("totalsegmentator:a/{patient},trace")]
    ['totalsegmentator:a/{patient}', 'trace']
    """
    if text and Path(text).exists():
        return (NamedSource(name=FILES, path=text, scheme=labels),)
    sources = tuple(_source(part.strip(), labels) for part in text.split(",") if part.strip())
    for source in sources:
        if sources.count(source) > 1:
            msg = f"the source {source.text} is given twice"
            raise UsageError(msg, code="E_SOURCE", cure="leave one out")
    return sources


def _source(text: str, labels: Scheme) -> NamedSource:
    head, colon, path = text.partition(":")
    name = head.casefold()
    if name not in known_sources() or name == FILES:
        return _plain(text, head if colon else text, labels)
    if name == "trace" and path:
        msg = f"the source trace takes no path, got {path!r}"
        raise UsageError(msg, code="E_SOURCE", cure="write trace alone")
    if not path and name not in _ALONE:
        msg = f"the source {name} needs a path"
        raise UsageError(msg, code="E_SOURCE", cure=f"write {name}:PATH, see lymphct structures --list")
    scheme: Scheme = next((foreign for foreign in FOREIGN if foreign == name), "auto")
    return NamedSource(name=name, path=path, scheme=scheme)


def _plain(text: str, head: str, labels: Scheme) -> NamedSource:
    """Take a path as it is; a word that can be none, or a name before a colon, is a name mistyped."""
    is_drive = len(head) == 1
    looks_like_path = Path(text).exists() or any(mark in head for mark in "/\\.{")
    if looks_like_path or (is_drive and head != text):
        return NamedSource(name=FILES, path=text, scheme=labels)
    names = [name for name in known_sources() if name != FILES]
    near = difflib.get_close_matches(head.casefold(), names, n=1, cutoff=0.4)
    meant = f"; did you mean {near[0]}?" if near else ""
    msg = f"{head[:40]!r} is neither a source of structures nor a file{meant}"
    raise UsageError(msg, code="E_SOURCE", cure=f"one of {', '.join(names)}, or a path")


def require_patient_in_paths(sources: Sequence[NamedSource]) -> None:
    """Refuse a path that would give every patient of a cohort the same masks.

    Raises:
        UsageError: a path of files without `{patient}`.

    """
    for source in sources:
        if source.is_read and PATIENT not in source.path:
            msg = f"the path of {source.text} is the same for every patient of the cohort"
            raise UsageError(msg, code="E_SOURCE", cure=f"write {PATIENT} where the patient's id stands")
