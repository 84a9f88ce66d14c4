"""Images made small enough to travel inside a page: a box of the body, larger voxels, fewer grey levels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray, Index3, Vector3
from lymphct.core.geometry import Geometry

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of a grid: its first voxel, and the one after its last, along i, j, k."""

    start: Index3
    stop: Index3

    @property
    def shape(self) -> Index3:
        """Return its voxels along i, j, k."""
        i, j, k = (stop - start for start, stop in zip(self.start, self.stop, strict=True))
        return (i, j, k)

    def of(self, array: AnyArray) -> AnyArray:
        """Return this part of an array, as a view."""
        return array[tuple(slice(*ends) for ends in zip(self.start, self.stop, strict=True))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A box cut into equal cells, which become the voxels of a coarser grid over the same box.

    Attributes:
        box: of the original grid.
        counts: cells along i, j, k; never more than the box has voxels.

    """

    box: Box
    counts: Index3

    @classmethod
    def of(cls, box: Box, spacing: Vector3, least: float) -> "Cells":
        """Cut a box of voxels of `spacing` (mm) into cells of about `least` mm, never finer than the voxels.

        >>> Cells.of(Box(start=(0, 0, 0), stop=(100, 100, 40)), (0.7, 0.7, 2.5), 1.4).counts
        (50, 50, 40)
        """
        i, j, k = (
            max(1, min(size, round(size * step / least))) if least > 0 else size
            for size, step in zip(box.shape, spacing, strict=True)
        )
        return cls(box=box, counts=(i, j, k))

    @property
    def steps(self) -> Vector3:
        """Return the edges of a cell in voxels of the original grid, each at least 1."""
        i, j, k = (size / count for size, count in zip(self.box.shape, self.counts, strict=True))
        return (i, j, k)

    def grid(self, geometry: Geometry) -> Geometry:
        """Return where the cells lie: the outer faces of the box stay where they are."""
        steps = np.asarray(self.steps)
        x, y, z = geometry.world(np.asarray(self.box.start) + (steps - 1) / 2).tolist()
        i, j, k = (steps * geometry.spacing).tolist()
        return Geometry(shape=self.counts, spacing=(i, j, k), origin=(x, y, z), direction=geometry.direction)

    def averaged(self, array: AnyArray) -> Floats:
        """Return the mean of each cell; voxels that lie in two cells count in both by their share."""
        part = self.box.of(array)
        # The axis that shrinks most goes first: what follows has less to add up.
        for axis in sorted(range(3), key=lambda axis: -self.steps[axis]):
            part = _averaged_along(part, axis, self.counts[axis])
        return np.ascontiguousarray(part, dtype=np.float32)

    def sampled(self, labels: AnyArray) -> AnyArray:
        """Return the label in the middle of each cell."""
        part = self.box.of(labels)
        places = [
            np.minimum(((np.arange(count) + 0.5) * step).astype(np.intp), size - 1)
            for count, step, size in zip(self.counts, self.steps, part.shape, strict=True)
        ]
        return part[np.ix_(*places)]

    def cell_of(self, index: Vector3) -> Index3:
        """Return the cell that holds a voxel of the original grid, the nearest one for places outside."""
        i, j, k = (
            min(max(int((place + 0.5 - start) / step), 0), count - 1)
            for place, start, step, count in zip(index, self.box.start, self.steps, self.counts, strict=True)
        )
        return (i, j, k)


def box_around(mask: AnyArray, margin: Index3) -> Box | None:
    """Return the box of everything marked, with a margin in voxels inside the image; None where nothing is.

    >>> box_around(np.eye(4, dtype=bool)[:, :, None], (1, 0, 0))
    Box(start=(0, 0, 0), stop=(4, 4, 1))
    """
    ends = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        held = np.flatnonzero(mask.any(axis=others))
        if not held.size:
            return None
        first, last = int(held[0]) - margin[axis], int(held[-1]) + 1 + margin[axis]
        ends.append((max(first, 0), min(last, mask.shape[axis])))
    (i, i1), (j, j1), (k, k1) = ends
    return Box(start=(i, j, k), stop=(i1, j1, k1))


def levels(values: Floats, low: float, step: float, count: int) -> Bytes:
    """Round values to `count` levels, `step` apart from `low` upwards; what lies beyond is cut off.

    >>> levels(np.float32([-999, -200, -197, 40, 9999]), -200.0, 4.0, 176).tolist()
    [0, 0, 1, 60, 175]
    """
    scaled = np.rint((values - np.float32(low)) / np.float32(step))
    rounded: Bytes = np.clip(scaled, 0, count - 1).astype(np.uint8)
    return rounded


def _averaged_along(array: AnyArray, axis: int, count: int) -> AnyArray:
    """Average along one axis: sums up to each face of a cell, interpolated within voxels, and their steps."""
    size = array.shape[axis]
    if count == size:
        return array
    moved = np.moveaxis(array, axis, 0)
    sums = np.zeros((size + 1, *moved.shape[1:]), dtype=np.float32)
    np.cumsum(moved, axis=0, dtype=np.float32, out=sums[1:])
    faces = np.linspace(0.0, size, count + 1)
    whole = np.minimum(faces.astype(np.intp), size - 1)
    share = (faces - whole).astype(np.float32).reshape(-1, *[1] * (moved.ndim - 1))
    reached = sums[whole] + share * moved[whole]
    means: AnyArray = np.diff(reached, axis=0) * np.float32(count / size)
    return np.moveaxis(means, 0, axis)
