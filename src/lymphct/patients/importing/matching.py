"""Which files of a folder are what, by the patterns of a layout; what fits none is listed."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lymphct.core.errors import InputError
from lymphct.patients.importing.layout import FileRule, Layout

MOST_FILES: Final = 5_000_000

_TOKEN: Final = re.compile(r"\{([a-z]+)(?::([^{}]*))?\}|\*\*/|\*|\?|[^*?{]+|\{")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file, or a folder of slices, that a pattern means.

    Attributes:
        path: where it lies.
        kind, split: as its rule says.

    """

    path: Path
    kind: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPatient:
    """What a folder holds of one patient.

    Attributes:
        patient_id: as the patterns read it.
        image: the CT.
        arterial: the arterial phase; None where the data set has none.
        masks: column → name or reader → mask; the name is empty where there is one mask alone.
        missing: masks that the layout knows and that are not there.

    """

    patient_id: str
    image: FoundFile
    arterial: FoundFile | None = None
    masks: Mapping[str, Mapping[str, FoundFile]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What was found in a folder.

    Attributes:
        patients: in the order of their ids.
        unmatched: files that fit no pattern, relative to the folder.
        without_image: ids that have masks and no CT.
        unseen_names: names of masks that the layout knows and no file has, with the nearest that one has.

    """

    patients: tuple[FoundPatient, ...]
    unmatched: tuple[str, ...]
    without_image: tuple[str, ...]
    unseen_names: Mapping[str, str]


@dataclass(slots=True)
class _Kind:
    """One kind of file: its rules in their order of trust, and what they found: id → word → file."""

    rules: Sequence[FileRule]
    found: dict[str, dict[str, FoundFile]] = field(default_factory=dict)


def compiled(pattern: str) -> re.Pattern[str]:
    """Return the expression of a pattern.

    >>> compiled("{patient}/masks/{name}.nii.gz").fullmatch("s1/masks/aorta.nii.gz").groupdict()
    {'patient': 's1', 'name': 'aorta'}
    >>> compiled("{patient:ABD_*}/*/").fullmatch("MED_1/2/") is None
    True
    """
    parts, seen = [], set()
    for token in _TOKEN.finditer(pattern):
        text, (word, look) = token.group(), token.groups()
        if word is not None and word in seen:
            parts.append(f"(?P={word})")
        elif word is not None:
            seen.add(word)
            like = "[^/]+" if look is None else "".join("[^/]*" if c == "*" else re.escape(c) for c in look)
            parts.append(f"(?P<{word}>{like})")
        else:
            parts.append({"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}.get(text) or re.escape(text))
    return re.compile("".join(parts))


def match_files(folder: Path, layout: Layout) -> Matched:
    """Find the files of every patient.

    Raises:
        InputError: no such folder, too many files, or no CT where the layout says it lies.

    """
    files, folders = _listed(folder)
    kinds = {"image": _Kind(layout.images), "arterial": _Kind(layout.arterial)}
    kinds |= {name: _Kind(rule.files) for name, rule in layout.masks.items()}
    used: set[str] = set()
    for kind in kinds.values():
        for rule in reversed(kind.rules):  # the first of them is written last and stays
            _search(folder, rule, folders if rule.files.endswith("/") else files, (kind, used))
    images = kinds["image"].found
    if not images:
        near = ", ".join(files[:2]) or "nothing"
        msg = f"no CT lies where the layout says ({layout.images[0].files}); there is {near}"
        raise InputError(msg, code="E_LAYOUT", cure="give the folder in which the data set was unpacked")
    masks = {name: kinds[name].found for name in layout.masks}
    ignored = [compiled(pattern) for pattern in layout.ignore]
    known = set() if layout.table is None else {layout.table.file}
    slices = tuple(path for path in used if path.endswith("/"))
    unmatched = [
        path
        for path in files
        if path not in used
        and path not in known
        and not path.startswith(slices)
        and not any(pattern.fullmatch(path) for pattern in ignored)
    ]
    return Matched(
        patients=tuple(_patients(layout, kinds)),
        unmatched=tuple(unmatched),
        without_image=tuple(sorted({id_ for found in masks.values() for id_ in found} - set(images))),
        unseen_names={
            name: near
            for mask, rule in layout.masks.items()
            for name, near in _unseen(getattr(rule, "names", ()), masks[mask]).items()
        },
    )


def _unseen(wanted: Iterable[str], found: Mapping[str, Mapping[str, FoundFile]]) -> dict[str, str]:
    seen = {name for files_of in found.values() for name in files_of}
    return {
        name: next(iter(difflib.get_close_matches(name, seen, n=1, cutoff=0.6)), "")
        for name in wanted
        if found and name not in seen
    }


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """Return files and the folders that hold files, relative, sorted; hidden ones are left out."""
    if not folder.is_dir():
        msg = "no such folder"
        raise InputError(msg, code="E_MISSING", cure="check the path").at(file=str(folder))
    files, folders = [], []
    for place, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        below = Path(place).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        shown = [f"{prefix}{name}" for name in names if not name.startswith(".")]
        files += shown
        if shown and prefix:
            folders.append(prefix)
        if len(files) > MOST_FILES:
            msg = f"the folder holds more than {MOST_FILES} files"
            raise InputError(msg, code="E_LAYOUT", cure="give the folder of the one data set")
    return sorted(files), sorted(folders)


def _search(folder: Path, rule: FileRule, paths: Sequence[str], into: tuple[_Kind, set[str]]) -> None:
    kind, used = into
    pattern = compiled(rule.files)
    for path in reversed(paths):  # of several the first stays
        match = pattern.fullmatch(path)
        if match is None:
            continue
        found = match.groupdict()
        word = found.get("name") or found.get("reader") or ""
        file = FoundFile(path=folder / path, kind=rule.kind, split=rule.split)
        kind.found.setdefault(found["patient"], {})[word] = file
        used.add(path)


def _patients(layout: Layout, kinds: Mapping[str, _Kind]) -> Iterator[FoundPatient]:
    for patient_id in sorted(kinds["image"].found):
        masks = {
            name: _named(rule, kinds[name].found.get(patient_id, {})) for name, rule in layout.masks.items()
        }
        missing = [name for name, found in masks.items() if not found]
        if layout.structures is not None and masks["structures"]:
            missing += [
                f"structures/{name}" for name in layout.structures.names if name not in masks["structures"]
            ]
        arterial = kinds["arterial"].found.get(patient_id, {})
        if layout.arterial and not arterial:
            missing.append("arterial")
        yield FoundPatient(
            patient_id=patient_id,
            image=next(iter(kinds["image"].found[patient_id].values())),
            arterial=next(iter(arterial.values()), None),
            masks={name: found for name, found in masks.items() if found},
            missing=tuple(missing),
        )


def _named(rule: object, found: Mapping[str, FoundFile]) -> Mapping[str, FoundFile]:
    """Leave out the masks of names that the layout does not use."""
    names = getattr(rule, "names", ())
    return {name: file for name, file in found.items() if name in names} if names else found
