"""Label maps of organs and vessels, whoever drew them, as numbers of `Structure`."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import yaml

from lymphct.core.errors import InputError, UsageError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import (
    STRUCTURES_BY_NAME,
    TOTALSEGMENTATOR_LABELS,
    TOTALSEGMENTATOR_LARGEST,
    Structure,
)
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import Source, name_of
from lymphct.io.images.label_names import LabelNames, label_names
from lymphct.io.images.masks import read_mask, read_numbered
from lymphct.io.images.single_file import image_stem
from lymphct.io.textfile import read_text

logger = logging.getLogger(__name__)

Scheme = Literal["auto", "lymphct", "totalsegmentator"] | Path
"""Whose numbers a label map uses: what it says itself, else ours (auto); ours; those of TotalSegmentator v2
`total`; or a YAML file `name: number`."""

_LARGEST_NUMBER: Final = 65_535
_LONGEST_NAMES: Final = 65_536

_TOTALSEGMENTATOR_NAMES: Final = {
    "kidney_right": Structure.RIGHT_KIDNEY,
    "kidney_left": Structure.LEFT_KIDNEY,
    "adrenal_gland_right": Structure.RIGHT_ADRENAL,
    "adrenal_gland_left": Structure.LEFT_ADRENAL,
    "portal_vein_and_splenic_vein": Structure.PORTAL_AND_SPLENIC_VEIN,
}
"""TotalSegmentator's file names that differ from ours."""


def label_scheme(text: str) -> Scheme:
    """Return the scheme a user names: `auto`, `lymphct`, `totalsegmentator`, or the path of a YAML file.

    >>> label_scheme("totalsegmentator")
    'totalsegmentator'
    """
    named: dict[str, Scheme] = {
        "auto": "auto",
        "lymphct": "lymphct",
        "totalsegmentator": "totalsegmentator",
    }
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
    if isinstance(path, Path) and path.is_dir():
        return _read_folder(path, scheme, grid)
    image = read_numbered(path, grid, name="structure mask")
    volume, present = image.volume, numbers_present(image.volume)
    try:
        known = _meaning(present, scheme, label_names(image, path))
    except InputError as error:
        raise error.at(file=error.file or name_of(path, "structures")) from error.__cause__
    table: npt.NDArray[np.uint8] = np.zeros(_LARGEST_NUMBER + 1, dtype=np.uint8)
    for number, structure in known.items():
        table[number] = structure
    return volume.with_array(table[volume.array])


def numbers_present(volume: Volume) -> list[int]:
    """Return the numbers in a map, slab by slab: the memory stays small."""
    largest = int(volume.array.max())
    if largest > _LARGEST_NUMBER:
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

    A list of the user's own may leave out what the file names, and may know names that we do not.
    """
    for number in sorted(set(present) & set(names.names)):
        said, meant = names.structure(number), known.get(number)
        if said == meant or (isinstance(scheme, Path) and (said is None or meant is None)):
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
    if scheme == "totalsegmentator":
        return TOTALSEGMENTATOR_LABELS, range(TOTALSEGMENTATOR_LARGEST + 1)
    if isinstance(scheme, Path):
        # The user named the numbers that count, so all others are other things.
        return read_label_names(scheme), range(_LARGEST_NUMBER + 1)
    msg = f"unknown labels {scheme!r}"
    raise UsageError(msg, cure="use auto, lymphct, totalsegmentator or a YAML file")


def _unknown_numbers(strangers: list[int], scheme: Scheme) -> InputError:
    shown = ", ".join(str(n) for n in strangers[:5]) + (" …" if len(strangers) > 5 else "")
    if scheme in {"auto", "lymphct"}:
        cause = f"label numbers {shown} are not among 0 to {max(Structure):d}"
        cure = "for TotalSegmentator masks say --labels totalsegmentator"
    else:
        cause = f"label numbers {shown} are not among 0 to {TOTALSEGMENTATOR_LARGEST} of TotalSegmentator v2"
        cure = "map them by name: --labels FILE.yaml"
    return InputError(cause, code="E_LABELS", cure=cure)


def read_label_names(path: Path) -> dict[int, Structure]:
    """Read a YAML file with lines `name: number`, such as `aorta: 52`.

    Raises:
        InputError: not such a file, an unknown name, a name or a number given twice.

    """
    text = read_text(path)
    if len(text) > _LONGEST_NAMES:  # the parser takes minutes for a hostile megabyte
        raise _bad_names("is too long").at(file=path.name)
    try:
        # compose, not load: the tree still shows a key that stands twice.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        raise _bad_names("is not valid YAML").at(file=path.name) from None
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise _bad_names("must hold lines `name: number`").at(file=path.name)
    numbers: dict[int, Structure] = {}
    for key, value in root.value:
        name, number = str(key.value), str(value.value)
        structure = STRUCTURES_BY_NAME.get(name)
        if structure is None:
            raise _bad_names(f"unknown structure {name[:40]!r}").at(file=path.name)
        if not (number.isascii() and number.isdigit() and 0 < int(number[:9]) <= _LARGEST_NUMBER):
            raise _bad_names(f"{name} needs a number from 1 to {_LARGEST_NUMBER}").at(file=path.name)
        if int(number) in numbers or structure in numbers.values():
            raise _bad_names(f"{name} or its number {int(number)} is given twice").at(file=path.name)
        numbers[int(number)] = structure
    return numbers


def _bad_names(cause: str) -> InputError:
    return InputError(cause, code="E_LABELS", cure="one line per structure, for example `aorta: 52`")


def _read_folder(folder: Path, scheme: Scheme, grid: Geometry | None) -> Volume:
    voxels: dict[Structure, npt.NDArray[np.intp]] = {}
    for structure, path in _structure_files(folder, scheme).items():
        mask = read_mask(path, grid, name=f"mask of the {structure.title}")
        grid = grid or mask.geometry
        voxels[structure] = np.flatnonzero(mask.array)
    labels: npt.NDArray[np.uint8] = np.zeros(mask.array.size, dtype=np.uint8)
    # Where two masks overlap the smaller one stays: a vessel inside an organ is not swallowed.
    for structure in sorted(voxels, key=lambda s: (-voxels[s].size, s)):
        labels[voxels[structure]] = structure
    shared = sum(inside.size for inside in voxels.values()) - int(np.count_nonzero(labels))
    if shared:
        logger.warning("%s: %d voxels lie in two masks; the smaller one keeps them", folder.name, shared)
    return mask.with_array(labels.reshape(mask.geometry.shape))


def _structure_files(folder: Path, scheme: Scheme) -> dict[Structure, Path]:
    if isinstance(scheme, Path):
        msg = "a YAML file of label numbers does not go with a folder of masks"
        raise UsageError(msg, cure="name the masks <structure>.nii.gz, or give one label map")
    names = dict(STRUCTURES_BY_NAME)
    if scheme == "totalsegmentator":
        names |= _TOTALSEGMENTATOR_NAMES
    found: dict[Structure, Path] = {}
    for path in sorted(folder.iterdir()):
        stem = image_stem(path.name)
        if path.name.startswith(".") or stem is None:
            continue
        structure = names.get(stem)
        if structure is None and scheme in {"auto", "lymphct"}:
            hint = " (a name of TotalSegmentator)" if stem in _TOTALSEGMENTATOR_NAMES else ""
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
