"""The masks of a data set on the voxels of its CT, in our numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import to_working_axes
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import STRUCTURES_BY_NAME, Structure, counted
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.masks import read_whole_numbers
from lymphct.io.images.numpy_file import is_numpy_file, read_numpy_volume
from lymphct.io.images.single_file import read_single_file
from lymphct.patients.importing.layout import NodeRule, StructureRule, TumorRule
from lymphct.patients.importing.matching import FoundFile

if TYPE_CHECKING:
    from lymphct.core.arrays import BoolArray

LARGEST_NUMBER: Final = 65_535
MOST_NODES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnStructures:
    """Organs and vessels of a patient.

    Attributes:
        volume: uint8, numbers of `Structure`.
        labelled: those that were drawn.

    """

    volume: Volume
    labelled: tuple[Structure, ...]


@dataclass(slots=True)
class Told:
    """What a reader of the cohort must know of a patient's masks: collected on the way."""

    notices: list[str] = field(default_factory=list)


def on_grid(path: Path, grid: Geometry, *, name: str, told: Told) -> Volume:
    """Read a mask of whole numbers on the voxels of the CT; of another grid the nearest voxel counts.

    Raises:
        InputError: a damaged file, values that are not whole.
        GeometryMismatchError: the mask does not overlap the CT.

    """
    if is_numpy_file(path):
        volume = read_numpy_volume(path, grid)
        if not np.array_equal(volume.array, np.rint(volume.array)) or volume.array.min() < 0:
            msg = f"the {name} holds values that are not whole numbers from 0 on"
            raise InputError(msg, code="E_LABELS", cure="leave the patient out").at(file=path.name)
        volume = volume.with_array(volume.array.astype(np.int32))
        return volume if volume.geometry.matches(grid) else _resampled(volume, grid, name, told)
    try:
        return read_whole_numbers(path, grid, name=name)
    except GeometryMismatchError:
        return _resampled(read_whole_numbers(path, None, name=name), grid, name, told)


def _resampled(volume: Volume, grid: Geometry, name: str, told: Told) -> Volume:
    drawn = int(np.count_nonzero(volume.array))
    moved = resample_labels(volume, grid)
    if drawn and not moved.array.any():
        msg = f"the {name} lies beside the CT: none of its {drawn} voxels is on the CT's grid"
        raise GeometryMismatchError(msg, cure="check that mask and CT belong together")
    told.notices.append(f"the {name} lay on another grid and was resampled to the CT's")
    return moved


def drawn_structures(
    rule: StructureRule, files: Mapping[str, FoundFile], grid: Geometry, told: Told
) -> DrawnStructures:
    """Return organs and vessels as the layout says they are drawn.

    Raises:
        InputError, GeometryMismatchError: as `on_grid`.

    """
    if rule.numbers:
        file = next(iter(files.values()))
        drawn = on_grid(file.path, grid, name="structure mask", told=told)
        if int(drawn.array.max()) > LARGEST_NUMBER:
            msg = f"the structure mask holds {int(drawn.array.max())} (limit {LARGEST_NUMBER})"
            raise InputError(msg, code="E_LABELS", cure="leave the patient out").at(file=file.path.name)
        table: npt.NDArray[np.uint8] = np.zeros(LARGEST_NUMBER + 1, dtype=np.uint8)
        for number, name in rule.numbers.items():
            table[number] = STRUCTURES_BY_NAME[name]
        return DrawnStructures(volume=drawn.with_array(table[drawn.array]), labelled=rule.structures)
    inside: dict[Structure, BoolArray] = {}
    for name, file in files.items():
        structure = STRUCTURES_BY_NAME[rule.names[name]]
        mask = on_grid(file.path, grid, name=f"mask {name}", told=told).array > 0
        inside[structure] = mask if structure not in inside else inside[structure] | mask
    labels: npt.NDArray[np.uint8] = np.zeros(grid.shape, dtype=np.uint8)
    sizes = {structure: int(np.count_nonzero(mask)) for structure, mask in inside.items()}
    # Where two masks overlap the smaller one stays: a vessel inside an organ is not swallowed.
    for structure in sorted(inside, key=lambda s: (-sizes[s], s)):
        labels[inside[structure]] = structure
    return DrawnStructures(volume=Volume(array=labels, geometry=grid), labelled=tuple(sorted(inside)))


def drawn_tumor(rule: TumorRule, files: Mapping[str, FoundFile], grid: Geometry, told: Told) -> Volume:
    """Return the tumor, 0 or 1, by numbers, by names or by the vote of the readers.

    Raises:
        InputError, GeometryMismatchError: as `on_grid`.

    """
    votes: npt.NDArray[np.int16] = np.zeros(grid.shape, dtype=np.int16)
    for file in files.values():
        drawn = on_grid(file.path, grid, name="tumor mask", told=told).array
        votes += drawn > 0 if rule.names else np.isin(drawn, rule.numbers)
    if not rule.vote:
        return Volume(array=(votes > 0).astype(np.uint8), geometry=grid)
    agreed = 2 * votes > len(files)
    anybody = int(np.count_nonzero(votes))
    share = np.count_nonzero(agreed) / anybody if anybody else 1.0
    told.notices.append(
        f"the tumor is what more than half of {counted(len(files), 'reader')} drew: {100 * share:.0f} % of "
        "what any of them did"
    )
    return Volume(array=agreed.astype(np.uint8), geometry=grid)


def drawn_nodes(rule: NodeRule, file: FoundFile, ct: Volume, told: Told) -> NodeMap:
    """Return the lymph nodes of an instance map, without classes.

    Raises:
        InputError: as `on_grid`, too many nodes, or, with `place: ct`, nodes that do not lie in soft tissue.
        GeometryMismatchError: another number of voxels than the CT, likewise.

    """
    if rule.place == "ct":
        instances = _placed_by_ct(rule, file.path, ct, told)
    else:
        instances = on_grid(file.path, ct.geometry, name="node mask", told=told)
    numbers = [int(n) for n in np.unique(instances.array) if n]
    if len(numbers) > MOST_NODES:
        msg = f"the node mask holds {len(numbers)} numbers (limit {MOST_NODES})"
        raise InputError(msg, code="E_NODES", cure="is this an instance map?").at(file=file.path.name)
    table = np.zeros((numbers[-1] if numbers else 0) + 1, dtype=np.int32)
    table[numbers] = np.arange(1, len(numbers) + 1)
    return NodeMap(
        instances=instances.with_array(table[instances.array]),
        nodes=tuple(
            Node(label=n, volume=0.0, center=(0.0, 0.0, 0.0)) for n in range(1, len(numbers) + 1)
        ),  # their measures are taken again by whoever reads the map
    )


def _placed_by_ct(rule: NodeRule, path: Path, ct: Volume, told: Told) -> Volume:
    """Lay the voxels of a mask, axes to the left, back and top, on those of the CT, and see what they hit."""
    there = to_working_axes(ct)
    mask = read_single_file(path).volume.array
    if mask.shape != there.geometry.shape:
        msg = f"the node mask has {mask.shape} voxels, the CT {there.geometry.shape}"
        raise GeometryMismatchError(msg, cure="leave the patient out").at(file=path.name)
    instances = np.rint(mask).astype(np.int32)
    if instances.min() < 0 or not np.array_equal(instances, mask):
        msg = "the node mask holds values that are not whole numbers from 0 on"
        raise InputError(msg, code="E_LABELS", cure="leave the patient out").at(file=path.name)
    values = there.array[instances > 0]
    low, high = rule.soft_tissue
    share = float(np.mean((values >= low) & (values <= high))) if values.size else 1.0
    if share < rule.share:
        msg = (
            f"{100 * share:.0f} % of the voxels of the nodes lie in soft tissue ({low:g} to {high:g} HU), "
            f"less than {100 * rule.share:.0f} %: the mask does not lie on this CT"
        )
        raise InputError(msg, code="E_PLACE", cure="leave the patient out").at(file=path.name)
    told.notices.append(f"node mask placed by its CT: {100 * share:.0f} % of it is soft tissue")
    return Volume(array=instances, geometry=there.geometry)
