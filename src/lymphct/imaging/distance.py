"""Signed distances from structures, exact on anisotropic grids.

One convention everywhere: from voxel centre to the centre of the nearest opposite voxel, positive outside and
negative inside. The image border is no boundary. An absent structure is +inf away; inside a structure that
fills the image the distance is -inf.
"""

from typing import Final

import numba
import numpy as np
from scipy.ndimage import binary_dilation, find_objects
from scipy.spatial import cKDTree

from lymphct.core.arrays import BoolArray, DoubleArray, FloatArray, IntArray, LabelArray, Vector3
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume

_COLUMNS_AT_ONCE: Final = 16


def signed_distance(mask: BoolArray, spacing: Vector3) -> FloatArray:
    """Measure the distance of every voxel to the nearest opposite voxel of `mask`, mm.

    Outside the mask it is the distance to its nearest voxel, inside minus the distance to the nearest voxel
    that is not in it; +inf everywhere for an empty mask, -inf everywhere for a full one.

    >>> signed_distance(np.array([[[False, True, True, False, False]]]), (1.0, 1.0, 0.5)).tolist()
    [[[0.5, -0.5, -0.5, 0.5, 1.0]]]

    Args:
        mask: shape (i, j, k); non-zero = inside.
        spacing: mm along i, j, k.

    """
    inside = np.ascontiguousarray(mask, dtype=np.bool_)
    distance = np.empty(inside.shape, dtype=np.float32)
    _scan_rows(inside, spacing[2], distance)
    # Axis j within each plane of constant i, then axis i within each plane of constant j.
    _envelope_columns(inside, spacing[1], distance)
    _envelope_columns(inside.transpose(1, 0, 2), spacing[0], distance.transpose(1, 0, 2))
    np.sqrt(distance, out=distance)
    np.negative(distance, out=distance, where=inside)
    return distance


@numba.njit(cache=True)
def _scan_rows(inside: BoolArray, step: float, squared: FloatArray) -> None:
    """Squared distance along k to the nearest opposite voxel of the same row."""
    n_i, n_j, n_k = inside.shape
    for i in range(n_i):
        for j in range(n_j):
            last = np.inf
            for k in range(n_k):
                if k > 0:
                    last = 1.0 if inside[i, j, k] != inside[i, j, k - 1] else last + 1.0
                squared[i, j, k] = (last * step) ** 2
            last = np.inf
            for k in range(n_k - 2, -1, -1):
                last = 1.0 if inside[i, j, k] != inside[i, j, k + 1] else last + 1.0
                squared[i, j, k] = min(squared[i, j, k], np.float32((last * step) ** 2))


@numba.njit(cache=True)
def _envelope_columns(inside: BoolArray, step: float, squared: FloatArray) -> None:
    """Extend squared distances along the middle axis.

    Within a run of equal voxels the new distance is the lower envelope of one parabola per voxel; the
    opposite voxels at both ends of the run add a parabola of height 0, and nothing behind them can be nearer.
    """
    n_planes, n, n_k = inside.shape
    weight = step * step
    apex = np.empty(n + 2, dtype=np.float64)
    height = np.empty(n + 2, dtype=np.float64)
    start = np.empty(n + 3, dtype=np.float64)
    column = np.empty((_COLUMNS_AT_ONCE, n), dtype=np.float64)
    for plane in range(n_planes):
        for k0 in range(0, n_k, _COLUMNS_AT_ONCE):
            width = min(_COLUMNS_AT_ONCE, n_k - k0)
            # Gathered by tiles: walking one column through memory would miss the cache at every voxel.
            for j in range(n):
                for c in range(width):
                    column[c, j] = squared[plane, j, k0 + c]
            for c in range(width):
                first = 0
                while first < n:
                    end = first + 1
                    while end < n and inside[plane, end, k0 + c] == inside[plane, first, k0 + c]:
                        end += 1
                    _lower_envelope(column[c], first, end, weight, (apex, height, start))
                    first = end
            for j in range(n):
                for c in range(width):
                    squared[plane, j, k0 + c] = column[c, j]


@numba.njit(cache=True)
def _lower_envelope(
    values: DoubleArray,
    first: int,
    end: int,
    weight: float,
    stack: tuple[DoubleArray, DoubleArray, DoubleArray],
) -> None:
    """Replace values[first:end] by min over q of value(q) + weight·(p - q)²; value 0 just outside the run."""
    apex, height, start = stack
    top = -1
    for q in range(first - 1, end + 1):
        if q < 0 or q >= values.size:
            continue
        value = values[q] if first <= q < end else 0.0
        if value == np.inf:
            continue
        crossing = -np.inf
        while top >= 0:
            # Where the parabola at q falls below the one on top of the stack.
            rise = (value - height[top]) / (weight * (q - apex[top]))
            crossing = 0.5 * (rise + q + apex[top])
            if crossing > start[top]:
                break
            top -= 1
        if top < 0:
            crossing = -np.inf
        top += 1
        apex[top], height[top], start[top] = q, value, crossing
    if top < 0:
        return
    start[top + 1] = np.inf
    at = 0
    for p in range(first, end):
        while start[at + 1] < p:
            at += 1
        values[p] = height[at] + weight * (p - apex[at]) ** 2


def structure_distances(structures: Volume, positions: DoubleArray) -> DoubleArray:
    """Measure the signed distance of points to each guiding structure, mm.

    A point counts as inside a structure when its nearest voxel is. At voxel centres the values are those of
    `signed_distance`.

    Args:
        structures: label map.
        positions: LPS+ mm, shape (n, 3).

    Returns:
        Shape (n, 10), columns in the order of `GUIDING_STRUCTURES`; +inf for an absent structure.

    """
    indices = structures.geometry.index(np.asarray(positions, dtype=np.float64).reshape(-1, 3))
    labels = _labels_at(structures, indices)
    spacing = np.asarray(structures.geometry.spacing)
    distances = np.full((len(indices), len(GUIDING_STRUCTURES)), np.inf)
    boxes = find_objects(structures.array, max_label=len(GUIDING_STRUCTURES))
    for column, (structure, box) in enumerate(zip(GUIDING_STRUCTURES, boxes, strict=True)):
        if box is not None:
            start, grown = _with_margin(box)
            mask = structures.array[grown] == structure
            distances[:, column] = _to_boundary(mask, start, indices, labels == structure, spacing)
    return distances


def mask_distances(mask: Volume, positions: DoubleArray) -> DoubleArray:
    """Measure the signed distance of points to a mask, mm, as `structure_distances`.

    Args:
        mask: non-zero = inside.
        positions: LPS+ mm, shape (n, 3).

    Returns:
        Shape (n,); +inf for an empty mask.

    """
    indices = mask.geometry.index(np.asarray(positions, dtype=np.float64).reshape(-1, 3))
    box = find_objects(mask.array != 0, max_label=1)[0]
    if box is None:
        return np.full(len(indices), np.inf)
    start, grown = _with_margin(box)
    inside = _labels_at(mask, indices) != 0
    return _to_boundary(mask.array[grown] != 0, start, indices, inside, np.asarray(mask.geometry.spacing))


def _with_margin(box: tuple[slice, ...]) -> tuple[IntArray, tuple[slice, ...]]:
    """Return a box with one voxel more on each side, if the image has it: the nearest outside lies there."""
    start = np.array([max(part.start - 1, 0) for part in box])
    return start, tuple(slice(first, part.stop + 1) for first, part in zip(start, box, strict=True))


def _to_boundary(
    mask: BoolArray, start: IntArray, indices: DoubleArray, inside: BoolArray, spacing: DoubleArray
) -> DoubleArray:
    """Measure from points (indices of the whole image) to the boundary of a mask that begins at `start`."""
    distances = np.empty(len(indices))
    for points, boundary, sign in (
        (~inside, mask & binary_dilation(~mask, border_value=1), 1.0),
        (inside, ~mask & binary_dilation(mask), -1.0),
    ):
        if points.any() and boundary.any():
            tree = cKDTree((np.argwhere(boundary) + start) * spacing)
            distances[points] = sign * tree.query(indices[points] * spacing)[0]
        else:
            distances[points] = sign * np.inf
    return distances


def _labels_at(structures: Volume, indices: DoubleArray) -> LabelArray:
    nearest = np.rint(indices).astype(np.int64)
    shape = np.asarray(structures.geometry.shape)
    within = ((nearest >= 0) & (nearest < shape)).all(axis=1)
    labels = np.zeros(len(indices), dtype=structures.array.dtype)
    labels[within] = structures.array[tuple(nearest[within].T)]
    return labels


def nearest_structure(structures: Volume, positions: DoubleArray) -> list[tuple[Structure | None, float]]:
    """Name the guiding structure closest to each point, and its signed distance, mm (negative inside).

    Without any guiding structure in the label map the answer is (None, inf).

    Args:
        structures: label map.
        positions: LPS+ mm, shape (n, 3).

    """
    distances = structure_distances(structures, positions)
    closest = distances.argmin(axis=1)
    least = distances[np.arange(len(distances)), closest]
    return [
        (GUIDING_STRUCTURES[column] if distance < np.inf else None, float(distance))
        for column, distance in zip(closest.tolist(), least.tolist(), strict=True)
    ]
