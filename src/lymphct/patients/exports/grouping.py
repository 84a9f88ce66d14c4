"""Files sorted into series by their tags and their geometry, and which of them can be a phase at all."""

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.terms import counted
from lymphct.io.images.dicom.file_head import FileHead, SeriesTags
from lymphct.io.images.dicom.files import SYNTAXES
from lymphct.io.images.limits import AnatomicalLimits, DicomLimits
from lymphct.io.pseudonyms import Pseudonyms
from lymphct.io.results.fingerprints import digest_file
from lymphct.patients.exports.multiframe import taken_apart

_OBJECTS: Final = {
    "SR": "a report (SR)",
    "MR": "MR, no CT",
    "PT": "PET, no CT",
    "US": "ultrasound, no CT",
    "SEG": "a segmentation",
    "RTSTRUCT": "contours",
    "PR": "a presentation state",
    "OT": "a secondary capture",
    "SC": "a secondary capture",
    "DOC": "a document",
    "KO": "a list of key images",
}
_PROJECTION: Final = re.compile(
    r"\bMIP\b|MINIP|\bVRT?\b|PROJECTION IMAGE|AVERAGE|\bMAX_IP\b|\bMIN_IP\b|\bMAXIMUM\b|\bMINIMUM\b",
    re.IGNORECASE,
)
_COMPUTED: Final = re.compile(
    r"\bVNC\b|virtual|iodine|\bioden?\b|z[ _-]?eff|perfusion|\d+ ?keV|rho", re.IGNORECASE
)
_SHARP_NUMBER: Final = 50
_SHARP_WORDS: Final = re.compile(r"LUNG|BONE|EDGE|SHARP|\bY[A-D]\b|FC5\d|FC8\d", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Files that are slices of one stack, or of which it is known why they are none.

    Attributes:
        key: its name in every table; pseudonymous, "s" and ten hexadecimal digits.
        tags: what the files share.
        heads: the files, copies left out.
        copies: how many files were copies of others.
        reason: why it can be no phase; empty when it can.
        is_lost: whether it might be one, if it could be read.
        doubts: what a user should know before it is used.

    """

    key: str
    tags: SeriesTags
    heads: tuple[FileHead, ...]
    copies: int = 0
    reason: str = ""
    is_lost: bool = False
    doubts: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """Return the paths of its slices."""
        return [head.path for head in self.heads]

    @property
    def slices(self) -> int:
        """Return how many slices its files hold for it."""
        return sum(head.slices for head in self.heads)

    @property
    def time(self) -> float:
        """Return when it began, seconds; NaN when unknown."""
        times = [head.time for head in self.heads if math.isfinite(head.time)]
        return min(times) if times else math.nan

    @property
    def delay(self) -> float:
        """Return the seconds from the beginning of the injection; NaN when unknown."""
        return self.time % 86_400 - self.tags.bolus

    @property
    def stamp(self) -> str:
        """Return a digest of which files it has and when they were last changed."""
        lines = sorted(f"{head.instance} {head.stamp[0]} {head.stamp[1]}" for head in self.heads)
        if self.tags.stack:
            lines.append(self.tags.stack)
        return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()

    @property
    def is_sharp(self) -> bool:
        """Tell whether it was reconstructed for lung or bone: noise hides what is soft."""
        number = re.search(r"\d\d", self.tags.kernel)
        is_high = number is not None and int(number[0]) >= _SHARP_NUMBER and "FC" not in self.tags.kernel
        text = f"{self.tags.kernel} {self.tags.description}"
        return is_high or _SHARP_WORDS.search(text) is not None

    @property
    def is_derived(self) -> bool:
        """Tell whether it was computed from other images."""
        return "DERIVED" in self.tags.image_type or "SECONDARY" in self.tags.image_type


def series_of_heads(
    heads: Sequence[FileHead], pseudonyms: Pseudonyms, damaged: frozenset[Path] = frozenset()
) -> list[Series]:
    """Sort files into series; a series that holds two stacks becomes two where its tags tell them apart.

    Args:
        heads: of all files.
        pseudonyms: for the keys of the series.
        damaged: folders with files that may be lost slices.

    Returns:
        In the order of patients, studies and times.

    """
    groups: dict[tuple[object, ...], list[FileHead]] = defaultdict(list)
    for head in taken_apart(heads):
        if head.tags is not None:
            groups[_identity(head.tags)].append(head)
    found = []
    for identity, members in groups.items():
        kept, copies = _without_copies(members)
        parts = _stacks(kept)
        for number, part in enumerate(parts):
            tags = part[0].tags
            if tags is None:
                continue
            key = "s" + pseudonyms.hashed("stack", *map(str, identity), str(number))[:10]
            series = Series(key=key, tags=tags, heads=tuple(part), copies=copies if number == 0 else 0)
            reason, is_lost = _judged(series)
            doubts = _doubts(series, damaged)
            found.append(replace(series, reason=reason, is_lost=is_lost, doubts=doubts))
    return sorted(found, key=lambda s: (s.tags.person, _known(s.time), s.tags.number, s.key))


def _identity(tags: SeriesTags) -> tuple[object, ...]:
    """Return what tells two stacks apart: whose they are, their series, and their geometry."""
    return (
        tags.person,
        tags.study,
        tags.series,
        tags.modality,
        tags.sop_class,
        tags.is_localizer,
        *((tags.object_key, tags.stack) if tags.object_key else ()),
        tags.shape,
        tuple(round(value, 3) for value in (*tags.spacing, *tags.orientation)),
    )


def _known(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _without_copies(heads: Sequence[FileHead]) -> tuple[list[FileHead], int]:
    """Leave out files that are another one again; equal ids with other content stay, to be refused."""
    counts = Counter(head.instance for head in heads)
    kept: list[FileHead] = []
    seen: dict[str, set[str]] = {}
    for head in heads:
        if head.instance and counts[head.instance] > 1:
            digest = _content(head.path)
            if digest in seen.setdefault(head.instance, set()):
                continue
            seen[head.instance].add(digest)
        kept.append(head)
    return kept, len(heads) - len(kept)


def _content(path: Path) -> str:
    try:
        return digest_file(path)
    except InputError:
        return str(path)  # it cannot be read any more, and is refused where it is looked at


def _stacks(heads: list[FileHead]) -> list[list[FileHead]]:
    """Split files that lie on top of one another by the number of their acquisition, if that parts them."""
    if not _overlap(heads):
        return [heads]
    by_acquisition: dict[int, list[FileHead]] = defaultdict(list)
    for head in heads:
        by_acquisition[head.acquisition].append(head)
    parts = [by_acquisition[number] for number in sorted(by_acquisition)]
    return [heads] if any(_overlap(part) for part in parts) else parts


def _overlap(heads: Iterable[FileHead]) -> bool:
    places = [head.position for head in heads if head.position]
    return len({tuple(round(value, 2) for value in place) for place in places}) < len(places)


def _judged(series: Series) -> tuple[str, bool]:
    """Say why a series can be no phase, and whether it might be one; nothing when it can."""
    reason = _wrong_kind(series.tags) or _wrong_stack(series)
    return (reason, False) if reason else (unread := _unreadable(series), bool(unread))


def _wrong_kind(tags: SeriesTags) -> str:
    if tags.modality != "CT":
        return _OBJECTS.get(tags.modality, f"{tags.modality or 'unknown modality'}, no CT")
    if not tags.is_ct_image:
        return "no CT image (secondary capture, dose report or the like)"
    if tags.is_localizer:
        return "a localizer"
    text = f"{' '.join(tags.image_type)} {tags.description}"
    if _PROJECTION.search(text):
        return "a projection (MIP, VRT or average)"
    return "a computed contrast (dual energy or perfusion)" if _COMPUTED.search(text) else ""


def _wrong_stack(series: Series) -> str:
    tags = series.tags
    if tags.is_enhanced and any(head.problem for head in series.heads):
        return ""  # where its frames lie is not known, or not of all
    if not tags.orientation:
        return "the slices have no orientation"
    row, column = np.reshape(tags.orientation, (2, 3))
    cosine = abs(float(np.cross(row, column)[2]))
    if cosine < DicomLimits().axial_cosine:
        return f"not axial (cosine {cosine:.2f} to the body axis)"
    least = AnatomicalLimits().slices.low
    if series.slices < least:
        return f"{counted(series.slices, 'slice')}, {least:g} are needed"
    return ""


def _unreadable(series: Series) -> str:
    if series.tags.frames > 1 and not series.tags.is_enhanced:
        return "several frames in a file of single-frame CT"
    if series.tags.syntax not in SYNTAXES:
        return "the compression of its pixels (transfer syntax) is not supported"
    cut = [head for head in series.heads if head.problem]
    return f"{counted(len(cut), 'damaged file')}: {cut[0].problem}" if cut else ""


def _doubts(series: Series, damaged: frozenset[Path]) -> tuple[str, ...]:
    if any(head.path.parent in damaged for head in series.heads):
        return ("a damaged file lies beside its slices and may be one of them",)
    return ()


def own_folders(heads: Sequence[FileHead], series: Sequence[Series]) -> Mapping[str, Path]:
    """Return the folder of each series that has one of its own: no other slices, no names of people.

    A manifest may then name the folder itself; the reader finds that series there and no other.
    """
    whose: dict[Path, set[str]] = defaultdict(set)
    counts: Counter[Path] = Counter()
    slices = [(head, s.key) for s in series for head in s.heads if _is_slice(s.tags)]
    below = {head.path: key for head, key in slices if not head.is_shared}
    same = {head.instance: key for head, key in slices if head.instance}  # a copy counts as what it copies
    folders: dict[Path, tuple[Path, ...]] = {}
    for head in heads:
        parent = head.path.parent
        if parent not in folders:
            folders[parent] = (parent, *parent.parents)
        is_lost = head.tags is None and head.problem not in {"no DICOM", "empty"}
        other = same.get(head.instance, "") if head.tags is not None else "damaged" if is_lost else ""
        owner = below.get(head.path, other)
        for folder in folders[parent]:
            counts[folder] += 1
            if owner:
                whose[folder].add(owner)
    found = {}
    for one in series:
        if one.reason or any(head.is_named or head.is_shared for head in one.heads):
            continue
        parents = [folders[head.path.parent] for head in one.heads]
        folder = next(place for place in parents[0] if all(place in others for others in parents))
        if whose[folder] == {one.key} and counts[folder] <= DicomLimits().files:
            found[one.key] = folder
    return found


def _is_slice(tags: SeriesTags) -> bool:
    return tags.is_ct_image and not tags.is_localizer
