"""The compiled loops of the surface distances: mark surface elements, list them, search around them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from lymphct.core.arrays import DoubleArray, Index3, LabelArray

CaseArray = npt.NDArray[np.uint8]


class LabelBox(NamedTuple):
    """Where a label may occur in a pair of maps: voxels `start` ≤ index < `stop` along i, j, k."""

    label: int
    start: Index3
    stop: Index3


@njit(cache=True)
def mark_voxels(
    labels: LabelArray, box: LabelBox, margin: Index3, marks: CaseArray, bit: int
) -> CaseArray:  # pragma: no cover - compiled
    """Set `bit` where a voxel of the label has a face neighbour of another label or outside the image."""
    label, start, stop = box
    ni, nj, nk = labels.shape
    count = 0
    for i in range(start[0], stop[0]):
        for j in range(start[1], stop[1]):
            for k in range(start[2], stop[2]):
                if labels[i, j, k] == label and (
                    k == 0
                    or k == nk - 1
                    or j == 0
                    or j == nj - 1
                    or i == 0
                    or i == ni - 1
                    or labels[i, j, k - 1] != label
                    or labels[i, j, k + 1] != label
                    or labels[i, j - 1, k] != label
                    or labels[i, j + 1, k] != label
                    or labels[i - 1, j, k] != label
                    or labels[i + 1, j, k] != label
                ):
                    marks[i - start[0] + margin[0], j - start[1] + margin[1], k - start[2] + margin[2]] |= bit
                    count += 1
    return np.zeros(count, dtype=np.uint8)


@njit(cache=True)
def mark_elements(
    labels: LabelArray, box: LabelBox, margin: Index3, marks: CaseArray, bit: int
) -> CaseArray:  # pragma: no cover - compiled
    """Set `bit` where eight neighbouring voxels are not all alike; return their cases in C order.

    Element (i, j, k) of the box lies between voxels i - 1 and i, j - 1 and j, k - 1 and k.
    """
    label, start, stop = box
    cases = np.empty(1024, dtype=np.uint8)
    count = 0
    for i in range(start[0], stop[0] + 1):
        for j in range(start[1], stop[1] + 1):
            before = 0
            for k in range(start[2], stop[2] + 1):
                here = 0
                if k < stop[2]:
                    for column in range(4):
                        u, v = i - 1 + column // 2, j - 1 + column % 2
                        if start[0] <= u < stop[0] and start[1] <= v < stop[1] and labels[u, v, k] == label:
                            here |= 1 << (2 * column)
                case = before | (here << 1)
                before = here
                if 0 < case < 255:
                    marks[i - start[0] + margin[0], j - start[1] + margin[1], k - start[2] + margin[2]] |= bit
                    if count == cases.size:
                        cases = np.concatenate((cases, np.empty_like(cases)))
                    cases[count] = case
                    count += 1
    return cases[:count]


@njit(cache=True)
def marked(marks: CaseArray, bit: int, count: int) -> npt.NDArray[np.int64]:  # pragma: no cover - compiled
    """List the flat places that carry `bit`; there are `count` of them."""
    places = np.empty(count, dtype=np.int64)
    n = 0
    for place in range(marks.size):
        if marks[place] & bit:
            places[n] = place
            n += 1
    return places


@njit(cache=True)
def search(
    marks: CaseArray,
    own: npt.NDArray[np.int64],
    other_bit: int,
    steps: npt.NDArray[np.int64],
    lengths: DoubleArray,
) -> DoubleArray:  # pragma: no cover - compiled
    """Return the distance of each of `own` to the first of `steps` that carries the bit; -1 if none does."""
    distances = np.empty(own.size, dtype=np.float64)
    for n in range(own.size):
        place = own[n]
        distances[n] = 0.0
        if not marks[place] & other_bit:
            distances[n] = -1.0
            for step in range(steps.size):
                if marks[place + steps[step]] & other_bit:
                    distances[n] = lengths[step]
                    break
    return distances
