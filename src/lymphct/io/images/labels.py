"""Label maps of organs and vessels, whoever drew them, as numbers of `Structure`."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import BoolArray
from lymphct.core.errors import InputError, UsageError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import STRUCTURES_BY_NAME, Structure
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import Source, name_of
from lymphct.io.images.known_sources import known_sources
from lymphct.io.images.label_list import LARGEST_NUMBER, read_label_names
from lymphct.io.images.label_names import LabelNames, label_names
from lymphct.io.images.masks import read_numbered, read_partial_mask
from lymphct.io.images.single_file import image_stem

logger = logging.getLogger(__name__)

Foreign = Literal["totalsegmentator", "pants", "cads", "vista3d", "panorama"]
"""Tools and data sets with a numbering of their own, rows of `known_sources`."""
Scheme = Literal["auto", "lymphct"] | Foreign | Path
"""Whose numbers a label map uses: what it says itself, else ours (auto); ours; those of a tool or data set;
or a YAML file `name: number`."""

FOREIGN: Final[tuple[Foreign, ...]] = get_args(Foreign)


def label_scheme(text: str) -> Scheme:
    """Return the scheme a user names: `auto`, `lymphct`, one of `FOREIGN`, or the path of a YAML file.

    >>> label_scheme("totalsegmentator")
    'totalsegmentator'
    """
    named: dict[str, Scheme] = {"auto": "auto", "lymphct": "lymphct", **{name: name for name in FOREIGN}}
    return named.get(text) or Path(text)


def read_labels(path: Source, *, scheme: Scheme = "auto", grid: Geometry | None = None) -> Volume:
    """Read organs and vessels.

    A label map that names its numbers (`lymphct.io.images.label_names`) is read by its names.

    Args:
        path: a label map (NIfTI, NRRD, MetaImage, a segmentation of 3D Slicer), a folder of one mask per
            structure (`<name>.nii.gz`), or a map in memory.
        scheme: whose numbers or file names are used.
        grid: the grid it must lie on, whatever its axis order; None to keep the file's own.

    Returns:
        uint8, numbers of `Structure`, 0 elsewhere.

    Raises:
        InputError: a damaged file, values the scheme does not know, or names that contradict the scheme.
        GeometryMismatchError: another grid than `grid`.
        UsageError: a YAML scheme with a folder, which holds names already.

    """
    labels = read_partial_labels(path, scheme=scheme, grid=grid)
    if labels.unjudged is not None:
        msg = f"the label map has voxels that nobody looked at ({UNJUDGED}, or named ignore)"
        cure = "such a map can be in a manifest, to learn from; here give a whole one"
        raise InputError(msg, code="E_LABELS", cure=cure).at(file=name_of(path, "structures"))
    return labels.volume


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialLabels:
    """A label map that may be incomplete.

    Attributes:
        volume: uint8, numbers of `Structure`, 0 elsewhere.
        unjudged: where nobody looked, bool; None where it says of no voxel so.
        labelled: structures its author tells apart, by names, files or numbering; None for all.

    """

    volume: Volume
    unjudged: BoolArray | None
    labelled: tuple[Structure, ...] | None


def read_partial_labels(
    path: Source, *, scheme: Scheme = "auto", grid: Geometry | None = None
) -> PartialLabels:
    """Read organs and vessels as `read_labels` does, of a map that may be incomplete.

    Voxels of number 255, or of a number named `ignore` as nnU-Net has it, were looked at by nobody; 255 is a
    structure where a name or a list of the user's says so.

    Raises:
        InputError, GeometryMismatchError, UsageError: as `read_labels`.

    """
    if isinstance(path, Path) and path.is_dir():
        return _read_folder(path, scheme, grid)
    image = read_numbered(path, grid, name="structure mask")
    volume, present = image.volume, numbers_present(image.volume)
    try:
        names = label_names(image, path)
        unjudged = _unjudged_number(names, scheme)
        known = _meaning([n for n in present if n != unjudged], scheme, names)
        _require_something(present, unjudged)
    except InputError as error:
        raise error.at(file=error.file or name_of(path, "structures")) from error.__cause__
    table: npt.NDArray[np.uint8] = np.zeros(LARGEST_NUMBER + 1, dtype=np.uint8)
    for number, structure in known.items():
        table[number] = structure
    return PartialLabels(
        volume=volume.with_array(table[volume.array]),
        unjudged=volume.array == unjudged if unjudged in present else None,
        labelled=_told_apart(scheme, names),
    )


def _require_something(present: Collection[int], unjudged: int | None) -> None:
    if unjudged in present and set(present) <= {0, unjudged}:
        msg = f"the label map holds no number but {unjudged}, which means that nobody looked there"
        raise InputError(msg, code="E_LABELS", cure="leave it out, or number what was drawn")


def _unjudged_number(names: LabelNames, scheme: Scheme) -> int | None:
    """Return the number of voxels that nobody looked at; None where 255 means something else."""
    if scheme == "auto" and names.ignored is not None:
        return names.ignored
    return None if UNJUDGED in {*names.names, *_numbers(scheme)[0]} else UNJUDGED


def _told_apart(scheme: Scheme, names: LabelNames) -> tuple[Structure, ...] | None:
    if scheme == "auto" and names:
        found = {names.structure(number) for number in names.names} - {None}
    elif scheme in {"auto", "lymphct"}:
        return None
    else:
        found = set(_numbers(scheme)[0].values())
    return some_structures(structure for structure in found if structure is not None)


def some_structures(structures: Iterable[Structure]) -> tuple[Structure, ...] | None:
    """Return structures in the order of their numbers; None when they are all there are."""
    found = tuple(sorted(set(structures)))
    return None if len(found) == len(Structure) else found


def numbers_present(volume: Volume) -> list[int]:
    """Return the numbers in a map, slab by slab: the memory stays small."""
    largest = int(volume.array.max())
    if largest > LARGEST_NUMBER:
        return [largest]
    counts = np.zeros(largest + 1, dtype=np.int64)
    for slab in volume.array:
        counts += np.bincount(slab.reshape(-1), minlength=largest + 1)
    return [int(n) for n in np.flatnonzero(counts)]


def _meaning(present: Collection[int], scheme: Scheme, names: LabelNames) -> Mapping[int, Structure]:
    """Return which numbers mean a structure, by the names in the file or by the scheme."""
    if scheme == "auto" and names:
        return names.structures(present)
    known, ignored = _numbers(scheme)
    if names:
        _require_agreement(present, scheme, known, names)
    strangers = [n for n in present if n not in known and n not in ignored]
    if strangers:
        raise _unknown_numbers(strangers, scheme)
    return known


def _require_agreement(
    present: Collection[int], scheme: Scheme, known: Mapping[int, Structure], names: LabelNames
) -> None:
    """Refuse names that contradict the scheme.

    A list of the user's own may leave out what the file names, and may know names that we do not; so may the
    numbering of a tool that tells parts of a structure.
    """
    is_lenient = isinstance(scheme, Path) or scheme in set(FOREIGN) - {"totalsegmentator"}
    for number in sorted(set(present) & set(names.names)):
        said, meant = names.structure(number), known.get(number)
        if said == meant or (is_lenient and (said is None or meant is None)):
            continue
        what = "no structure of ours" if said is None else f"the {said.title}"
        other = "nothing" if meant is None else f"the {meant.title}"
        given = scheme.name if isinstance(scheme, Path) else scheme
        msg = f"by the names in its {names.source} number {number} is {what}, by --labels {given} {other}"
        cure = "leave --labels out to go by the names, or correct them"
        raise InputError(msg, code="E_LABELS", cure=cure)


def _numbers(scheme: Scheme) -> tuple[Mapping[int, Structure], range]:
    """Return the numbers that mean a structure, and the range of those that may be dropped."""
    if scheme in {"auto", "lymphct"}:
        return {int(structure): structure for structure in Structure}, range(1)
    if scheme in FOREIGN:
        known = known_sources()[str(scheme)]
        return known.numbers, range(known.largest + 1)
    if isinstance(scheme, Path):
        # The user named the numbers that count, so all others are other things.
        return read_label_names(scheme), range(LARGEST_NUMBER + 1)
    msg = f"unknown labels {scheme!r}"
    raise UsageError(msg, cure=f"use auto, lymphct, {', '.join(FOREIGN)} or a YAML file")


_TITLES: Final = {"totalsegmentator": "TotalSegmentator v2"}


def _unknown_numbers(strangers: list[int], scheme: Scheme) -> InputError:
    shown = ", ".join(str(n) for n in strangers[:5]) + (" …" if len(strangers) > 5 else "")
    if scheme in {"auto", "lymphct"}:
        cause = f"label numbers {shown} are not among 0 to {max(Structure):d}"
        cure = "for TotalSegmentator masks say --labels totalsegmentator"
    else:
        largest, title = known_sources()[str(scheme)].largest, _TITLES.get(str(scheme), str(scheme))
        cause = f"label numbers {shown} are not among 0 to {largest} of {title}"
        cure = "map them by name: --labels FILE.yaml"
    return InputError(cause, code="E_LABELS", cure=cure)


def _read_folder(folder: Path, scheme: Scheme, grid: Geometry | None) -> PartialLabels:
    voxels: dict[Structure, npt.NDArray[np.intp]] = {}
    unjudged: BoolArray | None = None
    for structure, path in _structure_files(folder, scheme).items():
        mask, unseen = read_partial_mask(path, grid, name=f"mask of the {structure.title}")
        grid = grid or mask.geometry
        voxels[structure] = np.flatnonzero(mask.array)
        if unseen is not None:
            unjudged = unseen if unjudged is None else unjudged | unseen
    labels: npt.NDArray[np.uint8] = np.zeros(mask.array.size, dtype=np.uint8)
    # Where two masks overlap the smaller one stays: a vessel inside an organ is not swallowed.
    for structure in sorted(voxels, key=lambda s: (-voxels[s].size, s)):
        labels[voxels[structure]] = structure
    shared = sum(inside.size for inside in voxels.values()) - int(np.count_nonzero(labels))
    if shared:
        logger.warning("%s: %d voxels lie in two masks; the smaller one keeps them", folder.name, shared)
    volume = mask.with_array(labels.reshape(mask.geometry.shape))
    return PartialLabels(
        volume=volume,
        # What one mask shows is known, whoever did not look for something else there.
        unjudged=None if unjudged is None else unjudged & (volume.array == 0),
        labelled=some_structures(voxels),
    )


def _structure_files(folder: Path, scheme: Scheme) -> dict[Structure, Path]:
    if isinstance(scheme, Path):
        msg = "a YAML file of label numbers does not go with a folder of masks"
        raise UsageError(msg, cure="name the masks <structure>.nii.gz, or give one label map")
    names = dict(STRUCTURES_BY_NAME)
    if scheme in FOREIGN:
        names |= known_sources()[str(scheme)].names
    found: dict[Structure, Path] = {}
    for path in sorted(folder.iterdir()):
        stem = image_stem(path.name)
        if path.name.startswith(".") or stem is None:
            continue
        structure = names.get(stem)
        if structure is None and scheme in {"auto", "lymphct"}:
            hint = (
                " (a name of TotalSegmentator)" if stem in known_sources()["totalsegmentator"].names else ""
            )
            msg = f"unknown structure {stem[:40]!r}{hint}"
            cure = "rename it, or say --labels totalsegmentator"
            raise InputError(msg, code="E_LABELS", cure=cure).at(file=folder.name)
        if structure in found:
            msg = f"two files for the {structure.title}"
            raise InputError(msg, code="E_LABELS", cure="keep one").at(file=folder.name)
        if structure is not None:
            found[structure] = path
    if not found:
        msg = "the folder holds no mask of a known structure"
        cure = "name the masks <structure>.nii.gz, for example aorta.nii.gz"
        raise InputError(msg, code="E_LABELS", cure=cure).at(file=folder.name)
    return found
