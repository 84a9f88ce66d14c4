"""Which slices the patient's page shows: overviews through the tumor, and every node in three planes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray, Index3
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Structure
from lymphct.imaging.body import body_mask
from lymphct.report.figures import Overlays, Picture, Scene, draw, visible_structures
from lymphct.report.planes import Frame, Plane, frame_around, slice_number, slice_picture

CROP_SIDE: Final = 60.0
"""mm; a node and what lies around it."""
LARGEST_CROP: Final = 150.0
"""mm; pictures of huge nodes grow no further."""
BODY_MARGIN: Final = 4.0
"""mm of air around the body in overviews."""
MOST_NODES: Final = 40
"""Nodes with pictures; more make the page too large to send around."""

_LAST_GUIDE: Final = int(GUIDING_STRUCTURES[-1])
_TARGETS: Final[tuple[tuple[str, Callable[[Scene], BoolArray]], ...]] = (
    ("the tumor", lambda scene: scene.tumor.array > 0),
    ("the pancreas (no tumor was found)", lambda scene: scene.structures.array == Structure.PANCREAS),
    ("the lymph nodes (neither tumor nor pancreas was found)", lambda scene: scene.instances.array > 0),
    (
        "the guiding structures (neither tumor nor pancreas was found)",
        lambda scene: (scene.structures.array > 0) & (scene.structures.array <= _LAST_GUIDE),
    ),
)
"""What the overviews go through, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Slices of the whole body.

    Attributes:
        target: what they go through.
        rows: axial and coronal slice, each with structures and with attention, both of one frame.
        structures: those to be seen, by number.

    """

    target: str
    rows: tuple[tuple[Picture, Picture], ...]
    structures: tuple[Structure, ...]


def ranked(nodes: tuple[Node, ...]) -> list[Node]:
    """Order nodes for readers: predicted positive first, then by probability, then by number."""
    return sorted(
        nodes,
        key=lambda node: (node.node_class is not NodeClass.POSITIVE, -(node.probability or 0.0), node.label),
    )


def overview(scene: Scene) -> Overview:
    """Draw the axial and the coronal slice with most tumor, or without one with most of what there is."""
    target, slices = _fullest_slices(scene)
    rows: list[tuple[Picture, Picture]] = []
    seen: set[Structure] = set()
    for plane, index in slices.items():
        frame = body_frame(scene, plane, index)
        title = slice_title(scene, plane, index)
        anatomy = draw(scene, frame, Overlays(structures=True), f"{title}: structures")
        heat = draw(scene, frame, Overlays(attention=True), f"{title}: attention")
        rows.append((anatomy, heat))
        seen |= visible_structures(scene, frame)
    return Overview(target=target, rows=tuple(rows), structures=tuple(sorted(seen)))


def body_frame(scene: Scene, plane: Plane, index: int) -> Frame:
    """Frame the body and everything that is outlined in a slice; air, table and arms apart stay outside."""
    geometry = scene.venous.geometry
    shown = body_mask(slice_picture(scene.venous.array, plane, index))
    for marked in (scene.structures, scene.tumor, scene.instances):
        shown = shown | (slice_picture(marked.array, plane, index) > 0)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    top, bottom = _held(rows, geometry.spacing[plane.down], geometry.size[plane.down])
    left, right = _held(columns, geometry.spacing[plane.across], geometry.size[plane.across])
    return Frame(plane=plane, index=index, left=left, top=top, width=right - left, height=bottom - top)


def _held(pixels: AnyArray, step: float, size: float) -> tuple[float, float]:
    """Return where pixels of a slice begin and end, mm, with a margin inside the slice."""
    first, last = float(pixels[0]) * step, float(pixels[-1] + 1) * step
    return max(first - BODY_MARGIN, 0.0), min(last + BODY_MARGIN, size)


def node_pictures(scene: Scene, node: Node) -> list[Picture]:
    """Draw a node: the axial slice plain in each phase and with outlines and attention, then two planes more.

    Coronal and sagittal slices carry outlines alone, so that no tint hides the grey values.
    """
    geometry = scene.venous.geometry
    side = crop_side(node)
    center = _nearest_voxel(geometry, node)
    slices = _slices_through(scene, node.label, center, side)
    pictures = []
    for plane, index in slices.items():
        place = (*center[: plane.normal], index, *center[plane.normal + 1 :])
        frame = frame_around(geometry, plane, (place[0], place[1], place[2]), side)
        title = slice_title(scene, plane, index)
        for overlays, shown in _node_overlays(plane, node.label, has_arterial=scene.arterial is not None):
            pictures.append(draw(scene, frame, overlays, f"{title}: {shown}"))
    return pictures


def _node_overlays(plane: Plane, focus: int, *, has_arterial: bool) -> list[tuple[Overlays, str]]:
    """Return what the pictures of a node in one plane show, and what they are called."""
    if plane is not Plane.AXIAL:
        return [(Overlays(focus=focus), "venous phase")]
    plain = [(Overlays(findings=False, focus=focus), "venous phase")]
    if has_arterial:
        plain.append((Overlays(findings=False, arterial=True, focus=focus), "arterial phase"))
    return [*plain, (Overlays(structures=True, attention=True, focus=focus), "structures and attention")]


def crop_side(node: Node) -> float:
    """Return the side of a node's pictures, mm: `CROP_SIDE`, or twice the diameter of a large node."""
    diameter = 2 * math.cbrt(3 * max(node.volume, 0.0) / (4 * math.pi))
    return min(max(CROP_SIDE, 2 * diameter), LARGEST_CROP)


def _fullest_slices(scene: Scene) -> tuple[str, dict[Plane, int]]:
    """Return what the overviews go through and the slices that hold most of it."""
    for name, find in _TARGETS:
        mask = find(scene)
        if mask.any():
            return name, {
                plane: int(np.argmax(_counts(mask, plane))) for plane in (Plane.AXIAL, Plane.CORONAL)
            }
    shape = scene.venous.geometry.shape
    middle = {plane: shape[plane.normal] // 2 for plane in (Plane.AXIAL, Plane.CORONAL)}
    return "the middle of the image (no structure was found)", middle


def _counts(mask: BoolArray, plane: Plane) -> AnyArray:
    """Count the voxels of each slice."""
    others = tuple(axis for axis in range(3) if axis != plane.normal)
    counts: AnyArray = np.count_nonzero(mask, axis=others)
    return counts


def _nearest_voxel(geometry: Geometry, node: Node) -> Index3:
    last = np.asarray(geometry.shape) - 1
    i, j, k = np.clip(np.round(geometry.index(node.center)), 0, last).astype(int).tolist()
    return (i, j, k)


def _slices_through(scene: Scene, label: int, center: Index3, side: float) -> dict[Plane, int]:
    """Return the slices closest to the center that hold voxels of a node.

    A bent node may miss its own center; a record without voxels gets the slices through its center.
    """
    reach = [math.ceil(side / 2 / step) for step in scene.instances.geometry.spacing]
    box = tuple(slice(max(c - r, 0), c + r + 1) for c, r in zip(center, reach, strict=True))
    mask = scene.instances.array[box] == label
    slices = {}
    for plane in Plane:
        held = np.flatnonzero(_counts(mask, plane)) + box[plane.normal].start
        middle = center[plane.normal]
        slices[plane] = int(held[np.argmin(np.abs(held - middle))]) if held.size else middle
    return slices


def slice_title(scene: Scene, plane: Plane, index: int) -> str:
    """Name a slice: plane, number in the file, and the LPS+ coordinate of its middle along its normal."""
    geometry = scene.venous.geometry
    middle = [(size - 1) / 2 for size in geometry.shape]
    middle[plane.normal] = index
    axis = int(np.argmax(np.abs(np.asarray(geometry.direction)[:, plane.normal])))
    position = round(float(geometry.world(middle)[axis]))
    sign = "−" if position < 0 else ""
    number = slice_number(scene.order, geometry, plane, index)
    slices = geometry.shape[plane.normal]
    return f"{plane.value.capitalize()}, slice {number} of {slices}, {'xyz'[axis]} = {sign}{abs(position)} mm"
