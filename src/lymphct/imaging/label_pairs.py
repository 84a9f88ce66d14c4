"""How often each pair of labels meets in two label maps, counted in one pass."""

import numpy as np
import numpy.typing as npt
from numba import njit

from lymphct.core.arrays import LabelArray
from lymphct.core.errors import InputError

IntArray = npt.NDArray[np.int64]


def label_confusion(prediction: LabelArray, truth: LabelArray) -> IntArray:
    """Return the voxels of each pair of labels, rows by truth and columns by prediction.

    No copy is made of contiguous maps; counting takes one look at each voxel.

    Args:
        prediction: labels, uint8.
        truth: likewise, of the same shape.

    Returns:
        int64, (n, n) with n one above the highest label of either map.

    Raises:
        InputError: the shapes differ, or the maps are not uint8.

    >>> label_confusion(np.array([0, 1, 1, 2], np.uint8), np.array([0, 1, 2, 2], np.uint8)).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    if prediction.shape != truth.shape or prediction.dtype != np.uint8 or truth.dtype != np.uint8:
        msg = (
            f"prediction {prediction.shape} {prediction.dtype} and truth {truth.shape} {truth.dtype} "
            "are no two uint8 label maps on one grid"
        )
        raise InputError(msg, code="E_LABELS", cure="bring both onto one grid, as uint8")
    counts = np.zeros((256, 256), np.int64)
    _count(np.ascontiguousarray(prediction).reshape(-1), np.ascontiguousarray(truth).reshape(-1), counts)
    seen = np.flatnonzero(counts.any(axis=0) | counts.any(axis=1))
    end = int(seen[-1]) + 1 if seen.size else 0
    return counts[:end, :end].copy()


@njit(cache=True, nogil=True)
def _count(
    prediction: LabelArray, truth: LabelArray, counts: IntArray
) -> None:  # pragma: no cover - compiled
    place = 0
    while place < prediction.size:
        first, p, t = place, prediction[place], truth[place]
        while place < prediction.size and prediction[place] == p and truth[place] == t:
            place += 1
        counts[t, p] += place - first
