"""What a reader drew, checked: lymph nodes with class and station, structures, the tumor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray
from lymphct.core.errors import InputError
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import SNOMED_CODES, STRUCTURES_BY_NAME, Structure, counted
from lymphct.core.volume import Volume
from lymphct.io.images.label_names import structure_named
from lymphct.io.segmentations.segments import STATUS, Segment, Segmentation
from lymphct.nodes.plausibility import flag_implausible
from lymphct.patients.annotation.naming import CURE, NEOPLASM, TUMOR, identified, said_of

LEAST_VOLUME: Final = 10.0
"""mm³ below which a drawn node is told of: a sphere of 2.7 mm."""
LARGEST_VOLUME: Final = 50_000.0
"""mm³ above which it is told of: a sphere of 46 mm."""

_OVERLAP_CURE: Final = (
    "in Segment Editor, Masking, set Modify other segments to Overwrite all and paint one of them again"
)
_CODES: Final = {code: structure for structure, code in SNOMED_CODES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedNodes:
    """Lymph nodes a reader left, and what must be known of them.

    Attributes:
        nodes: instance map and records; each has a class.
        notices: sentences, each about one node.

    """

    nodes: NodeMap
    notices: tuple[str, ...]


def corrected_nodes(
    drawn: Segmentation, venous: Volume, exported: Mapping[int, str], *, shows_station: bool
) -> CorrectedNodes:
    """Return the lymph nodes of a segmentation; each segment is one.

    A segment that was exported keeps its number, by what the viewer keeps of it or by its name; others get
    the next free ones. An empty segment is a node that was taken out.

    Args:
        drawn: on the grid of the CT.
        venous: HU.
        exported: station of each node that was handed out, by its number.
        shows_station: whether names were handed out with the station: then a name without one says that it
            is not known; otherwise the station stays.

    Raises:
        InputError: a name that says no class or cannot be understood, or two nodes that share voxels.

    """
    instances = np.zeros(drawn.geometry.shape, dtype=np.int32)
    nodes, notices = [], []
    for segment, number in zip(drawn.segments, _numbers(drawn.segments, exported), strict=True):
        inside = drawn.mask(segment)
        if not inside.any():
            notices.append(f"the segment {segment.name[:40]!r} is empty: no lymph node")
            continue
        said = said_of(segment)
        if said.node_class is None:
            msg = f"the segment {segment.name[:40]!r} does not say positive or negative"
            raise InputError(msg, code="E_SEGMENT", cure=CURE)
        _require_free(instances, inside, number)
        instances[inside] = number
        station = said.station or ("" if shows_station else exported.get(number, ""))
        node = Node(label=number, volume=0.0, center=(0.0, 0.0, 0.0), node_class=said.node_class)
        nodes.append(_measured(node, inside, venous, station))
        notices += _about(nodes[-1], segment, inside)
    found = NodeMap(
        instances=Volume(array=instances, geometry=drawn.geometry),
        nodes=tuple(sorted(nodes, key=lambda node: node.label)),
    )
    flagged = flag_implausible(found, venous)
    notices += [
        f"node {node.label} lies outside the body, in gas, or is as dense as no lymph node "
        f"({node.hu_venous:.0f} HU)"
        for node in flagged.nodes
        if not node.is_plausible
    ]
    return CorrectedNodes(nodes=found, notices=tuple(notices))


def _numbers(segments: Sequence[Segment], exported: Mapping[int, str]) -> list[int]:
    """Return the number of each segment: its own, that of its name, or the next free one."""
    numbers: list[int | None] = [identified(segment) for segment in segments]
    numbers = [number if number in exported else None for number in numbers]
    taken = {number for number in numbers if number is not None}
    for place, segment in enumerate(segments):
        named = _named_number(segment)
        own = numbers[place]
        if own is not None and named not in {None, own}:
            msg = f"the segment {segment.name[:40]!r} was node {own} when it was exported"
            raise InputError(msg, code="E_SEGMENT", cure=f"write node {own} in its name, or no number")
        if own is None and named is not None and named not in taken:
            numbers[place] = named
            taken.add(named)
    free = max([0, *exported, *taken])
    for place, number in enumerate(numbers):
        if number is None:
            free += 1
            numbers[place] = free
    return [number for number in numbers if number is not None]


def _named_number(segment: Segment) -> int | None:
    try:
        return said_of(segment).number
    except InputError:
        return None  # refused where its class is asked for, unless it is empty


def _require_free(instances: AnyArray, inside: BoolArray, number: int) -> None:
    others = instances[inside]
    if others.any():
        other, shared = int(others[others > 0][0]), int(np.count_nonzero(others))
        msg = f"node {other} and node {number} share {counted(shared, 'voxel')}"
        raise InputError(msg, code="E_OVERLAP", cure=_OVERLAP_CURE)


def _measured(node: Node, inside: BoolArray, venous: Volume, station: str) -> Node:
    voxels = np.argwhere(inside)
    x, y, z = venous.geometry.world(voxels.mean(axis=0)).tolist()
    return Node(
        label=node.label,
        volume=len(voxels) * venous.geometry.voxel_volume,
        center=(x, y, z),
        node_class=node.node_class,
        station=station,
        hu_venous=float(venous.array[inside].mean()),
    )


def _about(node: Node, segment: Segment, inside: BoolArray) -> list[str]:
    told = []
    if not LEAST_VOLUME <= node.volume <= LARGEST_VOLUME:
        told.append(
            f"node {node.label} has {node.volume:.3g} mm³, outside {LEAST_VOLUME:g} to {LARGEST_VOLUME:g}"
        )
    (box,) = ndimage.find_objects(inside.astype(np.uint8))
    _, parts = ndimage.label(inside[box], structure=np.ones((3, 3, 3)))
    if parts > 1:
        told.append(f"node {node.label} has {parts} parts that do not touch")
    if segment.tags.get(STATUS) == "flagged":
        told.append(f"node {node.label} is flagged by its reader")
    return told


def corrected_structures(drawn: Segmentation) -> Volume:
    """Return the label map of organs and vessels; each segment is one.

    Raises:
        InputError: a segment that is none of the nineteen, twice the same, or two that share voxels.

    """
    labels = np.zeros(drawn.geometry.shape, dtype=np.uint8)
    seen: set[Structure] = set()
    for segment in drawn.segments:
        inside = drawn.mask(segment)
        if not inside.any():
            continue
        which = structure_of(segment)
        if which is None or which in seen:
            how = "is none of the structures" if which is None else f"is the {which.title} a second time"
            msg = f"the segment {segment.name[:40]!r} {how}"
            cure = (
                "name it as `lymphct structures --list` does, once; tumor and nodes have files of their own"
            )
            raise InputError(msg, code="E_SEGMENT", cure=cure)
        seen.add(which)
        if labels[inside].any():
            other = Structure(int(labels[inside].max()))
            msg = f"{other.title} and {which.title} share voxels"
            raise InputError(msg, code="E_OVERLAP", cure=_OVERLAP_CURE)
        labels[inside] = which
    return Volume(array=labels, geometry=drawn.geometry)


def structure_of(segment: Segment) -> Structure | None:
    """Return the structure a segment is: by its name, what the viewer kept of it, or its code."""
    code = "" if segment.terminology is None else segment.terminology.kind[1]
    return structure_named(segment.name) or STRUCTURES_BY_NAME.get(segment.identifier) or _CODES.get(code)


def corrected_tumor(drawn: Segmentation) -> Volume:
    """Return the mask of the tumor, 0 or 1: all segments together."""
    mask = np.zeros(drawn.geometry.shape, dtype=np.bool_)
    for segment in drawn.segments:
        mask |= drawn.mask(segment)
    return Volume(array=mask.astype(np.uint8), geometry=drawn.geometry)


def shown_thing(drawn: Segmentation) -> str:
    """Return which mask a segmentation without a telling file name is: nodes, structures or tumor.

    Raises:
        InputError: some of its segments are one thing, some another.

    """
    kinds = {_kind(segment) for segment in drawn.segments}
    if len(kinds) > 1:
        msg = f"the file holds {' and '.join(sorted(kinds))}"
        raise InputError(msg, code="E_SEGMENT", cure="save each of them as a file of its own")
    return next(iter(kinds), "nodes")


def _kind(segment: Segment) -> str:
    code = "" if segment.terminology is None else segment.terminology.kind[1]
    if structure_named(segment.name) is not None or code in _CODES:
        return "structures"
    if code == NEOPLASM or segment.name.casefold() == TUMOR:
        return "tumor"
    return "nodes"
