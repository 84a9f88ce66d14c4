"""Slices as radiologists look at them: patient right on the picture's left, anterior or cranial up.

A picture has millimetres as coordinates: x to the right and y down from the outer corner of the slice's first
pixel. Voxels keep their own size, so an anisotropic grid shows true proportions.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, Index3, Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder, order_towards
from lymphct.core.volume import Volume

_WORKING_AXES: Final = Geometry(shape=(1, 1, 1), spacing=(1.0, 1.0, 1.0))
_LETTERS: Final = (("L", "R"), ("P", "A"), ("H", "F"))
"""Ends of the axes x, y, z of the patient's space (LPS+): positive, negative."""
OBLIQUE: Final = math.sin(math.radians(20.0))
"""An axis that leans at least this far towards another one gets both letters."""


class Plane(Enum):
    """The three planes of a working grid; `across` and `down` are the axes of the picture."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def normal(self) -> int:
        """Return the axis along which slices are counted."""
        return {Plane.AXIAL: 2, Plane.CORONAL: 1, Plane.SAGITTAL: 0}[self]

    @property
    def across(self) -> int:
        """Return the axis from the picture's left to its right."""
        return 1 if self is Plane.SAGITTAL else 0

    @property
    def down(self) -> int:
        """Return the axis along the picture's height."""
        return 1 if self is Plane.AXIAL else 2

    @property
    def is_upward(self) -> bool:
        """Return whether that axis runs from the bottom to the top: cranial is up."""
        return self is not Plane.AXIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What lies beyond each edge of a picture: L, R, A, P, H (head), F (feet); two letters if oblique."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The part of a slice that a picture shows.

    Attributes:
        plane: direction of the slice.
        index: number of the slice along the plane's normal.
        left: mm from the slice's edge; negative when the frame begins outside the image.
        top: mm likewise.
        width: mm.
        height: mm.

    """

    plane: Plane
    index: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Patch:
    """The pixels of a frame: rows and columns of the picture-oriented slice, whole pixels, cut at its edge.

    Attributes:
        rows: first one and the one after the last.
        columns: likewise.
        spacing: height and width of a pixel, mm.

    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    spacing: tuple[float, float]

    @property
    def corner(self) -> tuple[float, float]:
        """Return the place of its upper left corner, mm."""
        return (self.columns[0] * self.spacing[1], self.rows[0] * self.spacing[0])

    @property
    def is_empty(self) -> bool:
        """Return whether it holds no pixel."""
        return self.rows[0] == self.rows[1] or self.columns[0] == self.columns[1]


def as_displayed(volume: Volume) -> Volume:
    """Return the image with working axes (i left, j posterior, k cranial) as a view: nothing is copied."""
    order = display_order(volume.geometry)
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in order.flipped)
    array = volume.array.transpose(order.axes)[flips]
    return Volume(array=array, geometry=order.apply_to_grid(volume.geometry))


def display_order(geometry: Geometry) -> AxisOrder:
    """Return how the axes of a file become those of its pictures."""
    return order_towards(geometry, _WORKING_AXES)


def slice_number(order: AxisOrder, geometry: Geometry, plane: Plane, index: int) -> int:
    """Return the number, from 1, that a displayed slice has in the file along the file's own axis.

    Args:
        order: from the file to the displayed grid.
        geometry: the displayed grid.
        plane: direction of the slice.
        index: of the slice in the displayed grid.

    """
    return geometry.shape[plane.normal] - index if order.flipped[plane.normal] else index + 1


def slice_picture(array: AnyArray, plane: Plane, index: int) -> AnyArray:
    """Return a slice of an array with working axes, oriented as on the screen: (rows, columns)."""
    rows: AnyArray = np.moveaxis(array, plane.normal, 0)[index].T
    return rows[::-1] if plane.is_upward else rows


def whole_slice(geometry: Geometry, plane: Plane, index: int) -> Frame:
    """Return the frame that shows all of a slice."""
    size = geometry.size
    return Frame(
        plane=plane, index=index, left=0.0, top=0.0, width=size[plane.across], height=size[plane.down]
    )


def frame_around(geometry: Geometry, plane: Plane, center: Index3, side: float) -> Frame:
    """Return a square frame of `side` mm with voxel `center` in its middle."""
    x, y = picture_position(geometry, plane, (float(center[0]), float(center[1]), float(center[2])))
    return Frame(
        plane=plane,
        index=center[plane.normal],
        left=x - side / 2,
        top=y - side / 2,
        width=side,
        height=side,
    )


def picture_position(geometry: Geometry, plane: Plane, index: Vector3) -> tuple[float, float]:
    """Return where the centre of a voxel (fractional index) lies in pictures of a plane: x, y, mm."""
    x = (index[plane.across] + 0.5) * geometry.spacing[plane.across]
    y = (index[plane.down] + 0.5) * geometry.spacing[plane.down]
    return x, geometry.size[plane.down] - y if plane.is_upward else y


def patch_of(geometry: Geometry, frame: Frame, *, margin: int = 1) -> Patch:
    """Return the pixels that a frame touches, and `margin` more on each side: outlines end out of sight.

    The patch is empty where the frame lies outside the image.
    """
    plane = frame.plane
    wide, high = geometry.spacing[plane.across], geometry.spacing[plane.down]
    columns = _touched(frame.left / wide, frame.width / wide, geometry.shape[plane.across], margin)
    rows = _touched(frame.top / high, frame.height / high, geometry.shape[plane.down], margin)
    return Patch(rows=rows, columns=columns, spacing=(high, wide))


def _touched(start: float, length: float, size: int, margin: int) -> tuple[int, int]:
    first = min(max(math.floor(start) - margin, 0), size)
    return first, max(min(math.ceil(start + length) + margin, size), first)


def edge_marks(geometry: Geometry, plane: Plane) -> Marks:
    """Say what lies beyond each edge, from the directions of a grid with working axes."""
    direction = np.asarray(geometry.direction)
    right = direction[:, plane.across]
    down = direction[:, plane.down] * (-1.0 if plane.is_upward else 1.0)
    return Marks(left=_letters(-right), right=_letters(right), top=_letters(-down), bottom=_letters(down))


def _letters(direction: AnyArray) -> str:
    strongest = sorted(range(3), key=lambda axis: -abs(direction[axis]))
    return "".join(
        _LETTERS[axis][0 if direction[axis] > 0 else 1]
        for axis in strongest
        if abs(direction[axis]) >= OBLIQUE
    )
