"""Exact changes of axis order and direction: voxels are moved, never interpolated."""

from dataclasses import dataclass

import numpy as np

from lymphct.core.arrays import Index3
from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume


@dataclass(frozen=True, slots=True)
class AxisOrder:
    """New axis a is old axis `axes[a]`, reversed where `flipped[a]`."""

    axes: Index3
    flipped: tuple[bool, bool, bool]

    def apply_to_grid(self, geometry: Geometry) -> Geometry:
        """Return the same voxels' grid with reordered axes."""
        first = [0, 0, 0]
        for axis, flip in zip(self.axes, self.flipped, strict=True):
            first[axis] = geometry.shape[axis] - 1 if flip else 0
        a, b, c = self.axes
        signs = np.where(self.flipped, -1.0, 1.0)
        x, y, z = (np.asarray(geometry.direction)[:, [a, b, c]] * signs).tolist()
        origin_x, origin_y, origin_z = geometry.world(first).tolist()
        return Geometry(
            shape=(geometry.shape[a], geometry.shape[b], geometry.shape[c]),
            spacing=(geometry.spacing[a], geometry.spacing[b], geometry.spacing[c]),
            origin=(origin_x, origin_y, origin_z),
            direction=((x[0], x[1], x[2]), (y[0], y[1], y[2]), (z[0], z[1], z[2])),
        )

    def apply(self, volume: Volume) -> Volume:
        """Return the same image with reordered axes."""
        extra = tuple(range(3, volume.array.ndim))
        array = volume.array.transpose(self.axes + extra)
        array = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]
        return Volume(array=np.ascontiguousarray(array), geometry=self.apply_to_grid(volume.geometry))


def order_towards(geometry: Geometry, target: Geometry) -> AxisOrder:
    """Find the reordering of `geometry` whose axes come closest to those of `target`."""
    cosines = np.asarray(target.direction).T @ np.asarray(geometry.direction)
    best: tuple[float, Index3] = (-np.inf, (0, 1, 2))
    for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        fit = float(sum(abs(cosines[new, old]) for new, old in enumerate(axes)))
        best = max(best, (fit, axes), key=lambda item: item[0])
    axes = best[1]
    flips = [bool(cosines[new, old] < 0) for new, old in enumerate(axes)]
    return AxisOrder(axes=axes, flipped=(flips[0], flips[1], flips[2]))


def to_working_axes(volume: Volume) -> Volume:
    """Reorder the axes so that i points left, j posterior, k cranial, as closely as the grid allows."""
    unit = Geometry(shape=(1, 1, 1), spacing=(1.0, 1.0, 1.0))
    return order_towards(volume.geometry, unit).apply(volume)


def reordered_like(volume: Volume, reference: Geometry, *, name: str, reference_name: str) -> Volume:
    """Bring `volume` into the axis order of `reference`, exactly.

    Raises:
        GeometryMismatchError: both do not share one voxel lattice (0.01 voxel); the message uses the names.

    """
    reordered = order_towards(volume.geometry, reference).apply(volume)
    blank = Volume(array=np.broadcast_to(np.uint8(0), reference.shape), geometry=reference)
    try:
        reordered.require_same_grid(blank, name=name, reference=reference_name)
    except GeometryMismatchError:
        # The grid as the user's file has it tells more than the reordered one.
        volume.require_same_grid(blank, name=name, reference=reference_name)
        raise
    return Volume(array=reordered.array, geometry=reference)
