"""The compiled passes over a pair of label maps: counts and boxes per label, runs of equal label pairs.

Both skip background eight bytes at a time: most of a CT is none of the labels.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from lymphct.core.arrays import LabelArray

IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.uint64]


def words_of(labels: LabelArray) -> WordArray:
    """Return the whole 8-byte words of a C-contiguous, aligned array; a rest of up to 7 bytes is missing."""
    flat = labels.reshape(-1)
    per_word = 8 // flat.itemsize
    return flat[: flat.size // per_word * per_word].view(np.uint64)


def scan(
    prediction: LabelArray, truth: LabelArray, wanted: IntArray
) -> tuple[IntArray, IntArray, IntArray, int]:
    """Count voxels (prediction, truth, both) of each of `wanted` and bound both together.

    Args:
        prediction: C-contiguous, aligned label map.
        truth: likewise, of the same type and shape.
        wanted: ascending labels from 1.

    Returns:
        counts, first and end of the boxes, each (len(wanted), 3), and the lowest label seen. A label that
        does not occur has counts of 0 and no meaningful box.

    """
    words = (words_of(prediction), words_of(truth))
    counts, starts, stops, lowest = _scan(prediction, truth, *words, wanted)
    return (counts, starts, stops, int(lowest))


@njit(cache=True, nogil=True)
def _scan(
    prediction: LabelArray, truth: LabelArray, p_words: WordArray, t_words: WordArray, wanted: IntArray
) -> tuple[IntArray, IntArray, IntArray, int]:  # pragma: no cover - compiled
    counts = np.zeros((wanted.size, 3), dtype=np.int64)
    starts = np.full((wanted.size, 3), np.iinfo(np.int64).max, dtype=np.int64)
    stops = np.zeros((wanted.size, 3), dtype=np.int64)
    lowest = 0
    nj, nk = prediction.shape[1:]
    p_flat, t_flat = prediction.reshape(-1), truth.reshape(-1)
    place = 0
    while True:
        place = _next_label(p_flat, t_flat, p_words, t_words, place)
        if place == p_flat.size:
            return (counts, starts, stops, lowest)
        p, t = p_flat[place], t_flat[place]
        first, row = place, place // nk
        end = (row + 1) * nk
        while place < end and p_flat[place] == p and t_flat[place] == t:
            place += 1
        lowest = min(lowest, p, t)
        i, j, k = row // nj, row % nj, first - row * nk
        for side, label in enumerate((p, t)):
            slot = np.searchsorted(wanted, label)
            if slot < wanted.size and wanted[slot] == label:
                counts[slot, side] += place - first
                counts[slot, 2] += (place - first) * (side == 1 and p == t)
                for axis, low, high in ((0, i, i + 1), (1, j, j + 1), (2, k, place - row * nk)):
                    starts[slot, axis] = min(starts[slot, axis], low)
                    stops[slot, axis] = max(stops[slot, axis], high)


def joint_runs(prediction: LabelArray, truth: LabelArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return label pairs and lengths of all runs in which not both labels are 0.

    Args:
        prediction: C-contiguous, aligned label map.
        truth: likewise, of the same type and shape.

    """
    maps = (prediction.reshape(-1), truth.reshape(-1))
    runs = _joint_runs(*maps, words_of(prediction), words_of(truth))
    return (runs[:, 0], runs[:, 1], runs[:, 2])


@njit(cache=True, nogil=True)
def _joint_runs(
    prediction: LabelArray, truth: LabelArray, p_words: WordArray, t_words: WordArray
) -> IntArray:  # pragma: no cover - compiled
    runs = np.empty((1024, 3), dtype=np.int64)
    count, place = 0, 0
    while True:
        place = _next_label(prediction, truth, p_words, t_words, place)
        if place == prediction.size:
            return runs[:count].copy()
        p, t = prediction[place], truth[place]
        first = place
        while place < prediction.size and prediction[place] == p and truth[place] == t:
            place += 1
        if count == len(runs):
            runs = np.concatenate((runs, np.empty_like(runs)))
        runs[count, 0], runs[count, 1], runs[count, 2] = p, t, place - first
        count += 1


@njit(cache=True, nogil=True, inline="always")
def _next_label(
    prediction: LabelArray, truth: LabelArray, p_words: WordArray, t_words: WordArray, place: int
) -> int:  # pragma: no cover - compiled
    """Return the first place from `place` on that is not background in both maps, or the end."""
    shift = 3 - (prediction.itemsize > 1) - (prediction.itemsize > 2) - (prediction.itemsize > 4)
    within = (1 << shift) - 1
    while place < prediction.size:
        if place & within == 0:
            word = place >> shift
            while word < p_words.size and p_words[word] | t_words[word] == 0:
                word += 1
            place = word << shift
            if place == prediction.size:
                break
        if prediction[place] != 0 or truth[place] != 0:
            break
        place += 1
    return place
