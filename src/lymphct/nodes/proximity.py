"""How far a few points lie from each guiding structure, and where the structures lie, in one pass.

The distances are those of the attention maps (decision 0001: centre to nearest opposite voxel centre,
negative inside, image border not background), computed for points only instead of whole volumes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np

from lymphct.core.arrays import AnyArray, DoubleArray, Vector3
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where a structure lies, LPS+ mm: centroid and the smallest and largest x, y, z of its voxel centres."""

    center: Vector3
    low: Vector3
    high: Vector3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surroundings:
    """Guiding structures around points.

    Attributes:
        distances: (points, 10) signed distance to each of `GUIDING_STRUCTURES`, mm; +inf where it is absent.
        extents: the structures that are present.

    """

    distances: DoubleArray
    extents: Mapping[Structure, Extent]


def find_surroundings(structures: Volume, points: DoubleArray) -> Surroundings:
    """Measure the guiding structures of a label map around `points`, LPS+ mm (n, 3).

    A point counts as the voxel that contains it (the nearest one, outside the image).
    """
    geometry = structures.geometry
    indices = np.rint(geometry.index(points.reshape(-1, 3))).astype(np.int64)
    voxels = np.clip(indices, 0, np.asarray(geometry.shape) - 1)
    spacing = np.asarray(geometry.spacing)
    n_structures = len(GUIDING_STRUCTURES)
    squared, sums, low, high = _scan(
        np.ascontiguousarray(structures.array), voxels, spacing, np.asarray(geometry.affine), n_structures
    )
    distances = np.sqrt(squared)
    inside = structures.array[tuple(voxels.T)]
    for point in np.flatnonzero((inside >= 1) & (inside <= n_structures)):
        depth = _depth(structures.array, voxels[point], spacing)
        distances[point, int(inside[point]) - 1] = -depth
    extents = {
        structure: Extent(
            center=_vector(sums[row, :3] / sums[row, 3]), low=_vector(low[row]), high=_vector(high[row])
        )
        for row, structure in enumerate(GUIDING_STRUCTURES)
        if sums[row, 3] > 0
    }
    return Surroundings(distances=distances, extents=extents)


@numba.njit(cache=True)
def _scan(
    labels: AnyArray, voxels: AnyArray, spacing: DoubleArray, affine: DoubleArray, n_structures: int
) -> tuple[DoubleArray, DoubleArray, DoubleArray, DoubleArray]:
    """Return squared distances (points, structures); sums of x, y, z and 1; lowest and highest x, y, z."""
    squared = np.full((voxels.shape[0], n_structures), np.inf)
    sums = np.zeros((n_structures, 4))
    low, high = np.full((n_structures, 3), np.inf), np.full((n_structures, 3), -np.inf)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            for k in range(labels.shape[2]):
                label = labels[i, j, k]
                if label < 1 or label > n_structures:
                    continue
                row = int(label) - 1
                sums[row, 3] += 1
                for axis in range(3):
                    world = affine[axis, 0] * i + affine[axis, 1] * j + affine[axis, 2] * k + affine[axis, 3]
                    sums[row, axis] += world
                    low[row, axis] = min(low[row, axis], world)
                    high[row, axis] = max(high[row, axis], world)
                for point in range(voxels.shape[0]):
                    x = (i - voxels[point, 0]) * spacing[0]
                    y = (j - voxels[point, 1]) * spacing[1]
                    z = (k - voxels[point, 2]) * spacing[2]
                    squared[point, row] = min(squared[point, row], x * x + y * y + z * z)
    return squared, sums, low, high


def _depth(labels: AnyArray, voxel: AnyArray, spacing: DoubleArray) -> float:
    """Return the distance from a voxel to the nearest one of another label, mm; inf when there is none."""
    reach = 8.0 * float(spacing.max())
    while True:
        start = np.maximum(voxel - np.ceil(reach / spacing).astype(np.int64), 0)
        stop = np.minimum(voxel + np.ceil(reach / spacing).astype(np.int64) + 1, labels.shape)
        box = labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        others = np.argwhere(box != labels[tuple(voxel)]) + start
        nearest = float(np.sqrt((((others - voxel) * spacing) ** 2).sum(axis=1).min(initial=np.inf)))
        # A voxel beyond the box lies further away than `reach`.
        if nearest <= reach or box.shape == labels.shape:
            return nearest
        reach *= 2


def _vector(values: DoubleArray) -> Vector3:
    return (float(values[0]), float(values[1]), float(values[2]))
