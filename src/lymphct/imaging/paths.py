"""Cheapest paths through an image: Dijkstra's algorithm over the 26 neighbours of each voxel.

What a step costs is the mean cost of its two voxels, per mm, times its length in mm.
"""

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np

from lymphct.core.arrays import BoolArray, DoubleArray, FloatArray, IntArray, LabelArray, Vector3

NOWHERE: Final = -1
"""Predecessor of a start and of what was not reached."""
_HEAP: Final = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class PathTree:
    """The cheapest way from any of several starts to each voxel that was reached.

    Attributes:
        total: cost of the whole way, float32; inf where it was not reached.
        before: flat index of the voxel before; `NOWHERE` at starts and where it was not reached.
        start: number of the start it comes from, from 1 on; 0 where it was not reached.
        gap: longest run of dim voxels on the way, mm.

    """

    total: FloatArray
    before: LabelArray
    start: LabelArray
    gap: FloatArray

    def path(self, target: int) -> IntArray:
        """Return the voxels from a start to the one of flat index `target`, indices (n, 3)."""
        flat = _walk(self.before.reshape(-1), target)
        return np.stack(np.unravel_index(flat, self.total.shape), axis=1).astype(np.int64)


def cheapest_paths(
    cost: FloatArray, starts: LabelArray, spacing: Vector3, dim: BoolArray, longest_gap: float
) -> PathTree:
    """Find the cheapest way from the starts to every voxel.

    A way ends where it has run through dim voxels for too long; the same voxel may still be reached by a
    dearer way that comes later.

    Args:
        cost: per mm, positive; inf where no path may lead.
        starts: numbers from 1 on at the starts, 0 elsewhere; those of one number are one start.
        spacing: mm along i, j, k.
        dim: voxels whose unbroken runs on a path are measured.
        longest_gap: mm that a way may run through dim voxels without a break.

    >>> row = np.ones((3, 1, 1), dtype=np.float32)
    >>> starts = np.array([1, 0, 0], dtype=np.int16).reshape(3, 1, 1)
    >>> tree = cheapest_paths(row, starts, (2.0, 2.0, 2.0), np.zeros((3, 1, 1), dtype=bool), 99.0)
    >>> tree.total.ravel().tolist(), tree.path(2)[:, 0].tolist()
    ([0.0, 2.0, 4.0], [0, 1, 2])
    """
    seeds = np.flatnonzero(starts).astype(np.int64)
    total, before, start, gap = _spread(
        np.ascontiguousarray(cost, dtype=np.float32),
        seeds,
        starts.reshape(-1)[seeds].astype(np.int16),
        (np.asarray(spacing, dtype=np.float64), float(longest_gap)),
        np.ascontiguousarray(dim),
    )
    return PathTree(total=total, before=before, start=start, gap=gap)


@numba.njit(cache=True, nogil=True)
def _walk(before: LabelArray, target: int) -> IntArray:
    count = 1
    place = target
    while before[place] >= 0:
        place = before[place]
        count += 1
    way = np.empty(count, dtype=np.int64)
    place = target
    for n in range(count - 1, -1, -1):
        way[n] = place
        place = before[place]
    return way


@numba.njit(cache=True, nogil=True)
def _spread(
    cost: FloatArray,
    seeds: IntArray,
    numbers: LabelArray,
    scale: tuple[DoubleArray, float],
    dim: BoolArray,
) -> tuple[FloatArray, LabelArray, LabelArray, FloatArray]:
    spacing, longest_gap = scale
    n_i, n_j, n_k = cost.shape
    total = np.full(cost.shape, np.inf, dtype=np.float32)
    before = np.full(cost.shape, -1, dtype=np.int32)
    start = np.zeros(cost.shape, dtype=np.int16)
    run = np.zeros(cost.shape, dtype=np.float32)
    gap = np.zeros(cost.shape, dtype=np.float32)
    keys = np.empty(_HEAP, dtype=np.float32)
    places = np.empty(_HEAP, dtype=np.int64)
    size = 0
    for n in range(seeds.size):
        place = seeds[n]
        i, j, k = place // (n_j * n_k), place // n_k % n_j, place % n_k
        total[i, j, k] = 0.0
        start[i, j, k] = numbers[n]
        keys, places = _room(keys, places, size)
        size = _push(keys, places, size, np.float32(0.0), place)
    while size > 0:
        key, place = keys[0], places[0]
        size = _pop(keys, places, size)
        i, j, k = place // (n_j * n_k), place // n_k % n_j, place % n_k
        if key > total[i, j, k]:
            continue
        for a in range(max(i - 1, 0), min(i + 2, n_i)):
            for b in range(max(j - 1, 0), min(j + 2, n_j)):
                for c in range(max(k - 1, 0), min(k + 2, n_k)):
                    if cost[a, b, c] == np.inf:
                        continue
                    step = np.sqrt(
                        ((a - i) * spacing[0]) ** 2
                        + ((b - j) * spacing[1]) ** 2
                        + ((c - k) * spacing[2]) ** 2
                    )
                    along = np.float32(key + 0.5 * (cost[i, j, k] + cost[a, b, c]) * step)
                    unseen = run[i, j, k] + step if dim[a, b, c] else 0.0
                    if along < total[a, b, c] and unseen <= longest_gap:
                        total[a, b, c] = along
                        before[a, b, c] = place
                        start[a, b, c] = start[i, j, k]
                        run[a, b, c] = unseen
                        gap[a, b, c] = max(gap[i, j, k], run[a, b, c])
                        keys, places = _room(keys, places, size)
                        size = _push(keys, places, size, along, (a * n_j + b) * n_k + c)
    return total, before, start, gap


@numba.njit(cache=True, inline="always")
def _room(keys: FloatArray, places: IntArray, size: int) -> tuple[FloatArray, IntArray]:
    if size < keys.size:
        return keys, places
    return np.concatenate((keys, np.empty_like(keys))), np.concatenate((places, np.empty_like(places)))


@numba.njit(cache=True)
def _push(keys: FloatArray, places: IntArray, size: int, key: float, place: int) -> int:
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if keys[above] <= key:
            break
        keys[at], places[at] = keys[above], places[above]
        at = above
    keys[at], places[at] = key, place
    return size + 1


@numba.njit(cache=True)
def _pop(keys: FloatArray, places: IntArray, size: int) -> int:
    size -= 1
    key, place = keys[size], places[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and keys[below + 1] < keys[below]:
            below += 1
        if key <= keys[below]:
            break
        keys[at], places[at] = keys[below], places[below]
        at = below
    keys[at], places[at] = key, place
    return size
