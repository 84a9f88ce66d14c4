"""The compiled passes over a pair of label maps: counts and boxes per label, runs of equal label pairs."""

import numpy as np
import numpy.typing as npt
from numba import njit

from lymphct.core.arrays import LabelArray

IntArray = npt.NDArray[np.int64]


@njit(cache=True)
def scan(
    prediction: LabelArray, truth: LabelArray, wanted: IntArray
) -> tuple[IntArray, IntArray, IntArray, int]:  # pragma: no cover - compiled
    """Count voxels (prediction, truth, both) of each of `wanted` and bound both together, run by run along k.

    Args:
        prediction: C-contiguous label map.
        truth: likewise, of the same type and shape.
        wanted: ascending labels from 1.

    Returns:
        counts, first and end of the boxes, each (len(wanted), 3), and the lowest label seen. A label that
        does not occur has counts of 0 and no meaningful box.

    """
    ni, nj, nk = prediction.shape
    counts = np.zeros((wanted.size, 3), dtype=np.int64)
    starts = np.full((wanted.size, 3), np.iinfo(np.int64).max, dtype=np.int64)
    stops = np.zeros((wanted.size, 3), dtype=np.int64)
    lowest = 0
    for i in range(ni):
        for j in range(nj):
            k = 0
            while k < nk:
                p, t = prediction[i, j, k], truth[i, j, k]
                first = k
                while k < nk and prediction[i, j, k] == p and truth[i, j, k] == t:
                    k += 1
                if p == 0 and t == 0:
                    continue
                lowest = min(lowest, p, t)
                for side, label in enumerate((p, t)):
                    slot = np.searchsorted(wanted, label)
                    if slot < wanted.size and wanted[slot] == label:
                        counts[slot, side] += k - first
                        counts[slot, 2] += (k - first) * (side == 1 and p == t)
                        for axis, low, high in ((0, i, i + 1), (1, j, j + 1), (2, first, k)):
                            starts[slot, axis] = min(starts[slot, axis], low)
                            stops[slot, axis] = max(stops[slot, axis], high)
    return (counts, starts, stops, lowest)


@njit(cache=True)
def joint_runs(
    prediction: LabelArray, truth: LabelArray
) -> tuple[IntArray, IntArray, IntArray]:  # pragma: no cover
    """Return label pairs and lengths of all runs in which not both labels are 0 (compiled)."""
    runs = np.empty((1024, 3), dtype=np.int64)
    count, place, size = 0, 0, prediction.size
    while place < size:
        p, t = prediction[place], truth[place]
        first = place
        while place < size and prediction[place] == p and truth[place] == t:
            place += 1
        if p != 0 or t != 0:
            if count == len(runs):
                runs = np.concatenate((runs, np.empty_like(runs)))
            runs[count, 0], runs[count, 1], runs[count, 2] = p, t, place - first
            count += 1
    return (runs[:count, 0].copy(), runs[:count, 1].copy(), runs[:count, 2].copy())
