"""Connected components by runs of voxels: one pass over the image, no mask per component (PERFORMANCE §3)."""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray, DoubleArray, LabelArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The 26-connected components of equal, non-zero labels, in scan order of their first voxel (k fastest).

    Attributes:
        values: label of each component.
        voxels: size of each component.
        centers: mean index (i, j, k) of each component, fractional.
        shape: shape of the image.
        runs: row (i · nj + j), first k, last k + 1 and component of each run of voxels.

    """

    values: IntArray
    voxels: IntArray
    centers: DoubleArray
    shape: tuple[int, int, int]
    runs: IntArray

    def paint(self, numbers: IntArray) -> LabelArray:
        """Return the image in which component c has the value `numbers[c]`: uint16, int32 if need be."""
        largest = int(numbers.max(initial=0))
        image = np.zeros(self.shape, dtype=np.uint16 if largest < 2**16 else np.int32)
        _paint(image.reshape(-1, self.shape[2]), self.runs, numbers)
        return image


def find_components(labels: AnyArray) -> Components:
    """Find the 26-connected components of a label map or mask [i, j, k]; other labels never join."""
    rows = np.ascontiguousarray(labels).reshape(-1, labels.shape[2])
    if rows.dtype == np.bool_:
        rows = rows.view(np.uint8)
    runs, values = _find_runs(rows, _count_runs(rows))
    component, n_components = _join_runs(runs, values, labels.shape[1])
    runs[:, 3] = component
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    length = runs[:, 2] - runs[:, 1]
    voxels = np.bincount(component, weights=length, minlength=n_components)
    middles = (runs[:, 0] // shape[1], runs[:, 0] % shape[1], (runs[:, 1] + runs[:, 2] - 1) / 2)
    sums = [np.bincount(component, weights=length * middle, minlength=n_components) for middle in middles]
    component_values = np.zeros(n_components, dtype=np.int64)
    component_values[component] = values
    return Components(
        values=component_values,
        voxels=voxels.astype(np.int64),
        centers=np.stack(sums, axis=-1) / np.maximum(voxels, 1)[:, None],
        shape=shape,
        runs=runs,
    )


@numba.njit(cache=True)
def _count_runs(rows: AnyArray) -> int:
    count = 0
    for row in range(rows.shape[0]):
        before = 0
        for k in range(rows.shape[1]):
            value = rows[row, k]
            if value not in (before, 0):
                count += 1
            before = value
    return count


@numba.njit(cache=True)
def _find_runs(rows: AnyArray, count: int) -> tuple[IntArray, IntArray]:
    """Return row, first k, last k + 1 and an unused column for each run, and its label."""
    runs = np.zeros((count, 4), dtype=np.int64)
    values = np.zeros(count, dtype=np.int64)
    run = -1
    for row in range(rows.shape[0]):
        before = 0
        for k in range(rows.shape[1]):
            value = rows[row, k]
            if value != 0:
                if value != before:
                    run += 1
                    runs[run, 0] = row
                    runs[run, 1] = k
                    values[run] = value
                runs[run, 2] = k + 1
            before = value
    return runs, values


@numba.njit(cache=True)
def _join_runs(runs: IntArray, values: IntArray, n_columns: int) -> tuple[IntArray, int]:
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


@numba.njit(cache=True)
def _paint(rows: AnyArray, runs: IntArray, numbers: IntArray) -> None:
    for run in range(runs.shape[0]):
        number = numbers[runs[run, 3]]
        if number:
            rows[runs[run, 0], runs[run, 1] : runs[run, 2]] = number
