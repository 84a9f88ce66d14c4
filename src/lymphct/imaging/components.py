"""Connected components by runs of voxels: one pass over the image, no mask per component."""

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, Index3, LabelArray

IntArray = npt.NDArray[np.int64]
RunArray = npt.NDArray[np.int32]

Box = tuple[slice, slice, slice]

_ONES: Final = {size: np.uint64(sum(1 << 8 * byte for byte in range(0, 8, size))) for size in (1, 2, 4, 8)}
"""Bytes of a label → the factor that repeats it through eight bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Parts of a label map or mask, and how large they are and where.

    Attributes:
        values: label of each part.
        voxels: size of each part.
        centers: mean index (i, j, k) of each part, fractional.
        starts: first index (i, j, k) of the smallest box around each part.
        stops: last index + 1 of that box.
        shape: shape of the image.
        runs: row (i · nj + j), first k, last k + 1 and part of each run of voxels.

    """

    values: IntArray
    voxels: IntArray
    centers: DoubleArray
    starts: IntArray
    stops: IntArray
    shape: Index3
    runs: RunArray

    def box(self, part: int) -> Box:
        """Return the smallest box around a part."""
        (i0, j0, k0), (i1, j1, k1) = self.starts[part].tolist(), self.stops[part].tolist()
        return (slice(i0, i1), slice(j0, j1), slice(k0, k1))

    def paint(self, numbers: IntArray) -> LabelArray:
        """Return the image in which part c has the value `numbers[c]`: uint16, int32 if need be."""
        largest = int(numbers.max(initial=0))
        image = np.zeros(self.shape, dtype=np.uint16 if largest < 2**16 else np.int32)
        _paint(image.reshape(-1, self.shape[2]), self.runs, numbers)
        return image


def find_components(labels: LabelArray | BoolArray) -> Components:
    """Find the 26-connected components of equal, non-zero labels; other labels never join.

    They come in scan order of their first voxel (k fastest).
    """
    shape, runs, values = _runs_of(labels)
    runs[:, 3], count = _join_runs(runs, values, shape[1])
    return _measured(shape, runs, values, count)


def components_by_label(labels: LabelArray | BoolArray) -> Components:
    """Take all voxels of one non-zero label as one part, connected or not; parts are in order of labels."""
    shape, runs, values = _runs_of(labels)
    distinct, runs[:, 3] = np.unique(values, return_inverse=True)
    return _measured(shape, runs, values, distinct.size)


def _runs_of(labels: LabelArray | BoolArray) -> tuple[Index3, RunArray, IntArray]:
    """Return the shape, the runs of equal, non-zero labels along k, and the label of each."""
    array = np.require(labels, requirements=["C", "ALIGNED"])
    kind = np.uint8 if array.dtype == np.bool_ else array.dtype
    flat = array.view(f"u{array.itemsize}").reshape(-1)
    shift = (8 // array.itemsize).bit_length() - 1
    words = flat[: flat.size >> shift << shift].view(np.uint64)
    runs, values = _find_runs(flat, words, array.shape[2], shift, _ONES[array.itemsize])
    shape = (array.shape[0], array.shape[1], array.shape[2])
    return (shape, runs, values.view(kind).astype(np.int64))


def _measured(shape: Index3, runs: RunArray, values: IntArray, count: int) -> Components:
    voxels, sums, starts, stops = _measure(runs, shape[1], count)
    part_values = np.zeros(count, dtype=np.int64)
    part_values[runs[:, 3]] = values
    return Components(
        values=part_values,
        voxels=voxels,
        centers=sums / np.maximum(voxels, 1)[:, None],
        starts=starts,
        stops=stops,
        shape=shape,
        runs=runs,
    )


@numba.njit(cache=True, nogil=True)
def _find_runs(
    flat: AnyArray, words: AnyArray, n_columns: int, shift: int, ones: np.uint64
) -> tuple[RunArray, AnyArray]:
    """Return row, first k, last k + 1 and an unused column for each run, and its label.

    Eight bytes, 1 << `shift` labels, at a time where they are all background or all of the run; `ones`
    repeats a label through them.
    """
    runs = np.zeros((1024, 4), dtype=np.int32)
    values = np.zeros(1024, dtype=flat.dtype)
    count = 0
    within = (1 << shift) - 1
    place = 0
    while place < flat.size:
        if place & within == 0:
            word = place >> shift
            while word < words.size and words[word] == 0:
                word += 1
            place = word << shift
            if place == flat.size:
                break
        value = flat[place]
        if value == 0:
            place += 1
            continue
        first, row = place, place // n_columns
        begin, end = row * n_columns, (row + 1) * n_columns
        repeated = np.uint64(value) * ones
        while place < end and flat[place] == value:
            place += 1
            if place & within == 0:
                word = place >> shift
                while word < end >> shift and words[word] == repeated:
                    word += 1
                place = word << shift
        if count == len(runs):
            runs = np.concatenate((runs, np.zeros_like(runs)))
            values = np.concatenate((values, np.zeros_like(values)))
        runs[count, 0] = row
        runs[count, 1] = first - begin
        runs[count, 2] = place - begin
        values[count] = value
        count += 1
    return runs[:count].copy(), values[:count].copy()


@numba.njit(cache=True, nogil=True)
def _measure(runs: RunArray, n_columns: int, count: int) -> tuple[IntArray, DoubleArray, IntArray, IntArray]:
    """Return voxels, sums of indices, first and end of the box of each part."""
    voxels = np.zeros(count, dtype=np.int64)
    sums = np.zeros((count, 3), dtype=np.float64)
    starts = np.full((count, 3), np.iinfo(np.int64).max, dtype=np.int64)
    stops = np.zeros((count, 3), dtype=np.int64)
    for run in range(runs.shape[0]):
        i, j = runs[run, 0] // n_columns, runs[run, 0] % n_columns
        first, end, part = runs[run, 1], runs[run, 2], runs[run, 3]
        length = end - first
        voxels[part] += length
        sums[part, 0] += length * i
        sums[part, 1] += length * j
        sums[part, 2] += length * (first + end - 1) / 2
        starts[part, 0] = min(starts[part, 0], i)
        starts[part, 1] = min(starts[part, 1], j)
        starts[part, 2] = min(starts[part, 2], first)
        stops[part, 0] = max(stops[part, 0], i + 1)
        stops[part, 1] = max(stops[part, 1], j + 1)
        stops[part, 2] = max(stops[part, 2], end)
    return voxels, sums, starts, stops


@numba.njit(cache=True, nogil=True)
def _join_runs(runs: RunArray, values: IntArray, n_columns: int) -> tuple[IntArray, int]:
    """Join touching runs of equal label; return the component of each run and how many there are."""
    parent = np.arange(runs.shape[0])
    # Runs are sorted by row: for each of the four rows scanned earlier a pointer moves along with them.
    behind = np.array([1, n_columns - 1, n_columns, n_columns + 1])
    pointer = np.zeros(4, dtype=np.int64)
    for run in range(runs.shape[0]):
        row = runs[run, 0]
        column = row % n_columns
        for side in range(4):
            crosses_edge = (side in (0, 3) and column == 0) or (side == 1 and column == n_columns - 1)
            if crosses_edge:
                continue
            other = row - behind[side]
            # Skip runs of earlier rows, and of this row those that end before our run can touch them.
            p = pointer[side]
            while runs[p, 0] < other or (runs[p, 0] == other and runs[p, 2] < runs[run, 1]):
                p += 1
            pointer[side] = p
            while runs[p, 0] == other and runs[p, 1] <= runs[run, 2]:
                if values[p] == values[run]:
                    _join(parent, p, run)
                p += 1
    component = np.empty(runs.shape[0], dtype=np.int64)
    n_components = 0
    for run in range(runs.shape[0]):
        root = _root(parent, run)
        # The root is the earliest run of its component, so it has its number already.
        if root == run:
            component[run] = n_components
            n_components += 1
        else:
            component[run] = component[root]
    return component, n_components


@numba.njit(cache=True, inline="always")
def _root(parent: IntArray, run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@numba.njit(cache=True, inline="always")
def _join(parent: IntArray, a: int, b: int) -> None:
    root_a, root_b = _root(parent, a), _root(parent, b)
    if root_a < root_b:
        parent[root_b] = root_a
    else:
        parent[root_a] = root_b


@numba.njit(cache=True, nogil=True)
def _paint(rows: AnyArray, runs: RunArray, numbers: IntArray) -> None:
    for run in range(runs.shape[0]):
        number = numbers[runs[run, 3]]
        if number:
            rows[runs[run, 0], runs[run, 1] : runs[run, 2]] = number
