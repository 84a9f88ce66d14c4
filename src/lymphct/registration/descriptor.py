"""Self-similarity context: what surrounds a voxel, as 60 bits (DEEDS: Heinrich et al., MICCAI 2013).

Six neighbors of a voxel lie at distance r along the axes. The twelve pairs of them that are not opposite are
compared by the sum of squared differences of the patches around them; the patch of the voxel itself is never
used. Normalized per voxel and quantized to six levels, the twelve values do not change with offset, gain or
sign of the intensities. A level is written as that many lowest bits of five, so that the number of
different bits of two words is the L1 distance of their levels.
"""

from typing import Final

import numba
import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.registration.slabs import in_slabs

CHANNELS: Final = 12
MAX_DISTANCE: Final = 60
"""Bits of a word, and so the largest distance of two words."""

_PAIRS: Final = np.array(
    [(1, 1, 0), (-1, 1, 0), (0, -1, 1), (-1, 0, 1), (0, 1, 1), (1, 0, 1)], dtype=np.int64
)
"""Offsets between the patches of a pair, in units of r."""
_CHANNELS: Final = np.array(
    [
        (0, 0, -1, 0),
        (0, -1, 0, 0),
        (1, 0, -1, 0),
        (1, 1, 0, 0),
        (2, 0, 0, -1),
        (2, 0, 1, 0),
        (3, 0, 0, -1),
        (3, 1, 0, 0),
        (4, 0, 0, -1),
        (4, 0, -1, 0),
        (5, 0, 0, -1),
        (5, -1, 0, 0),
    ],
    dtype=np.int64,
)
"""The twelve pairs: which offset, and where from the voxel its patch distance is read, in units of r."""
_THRESHOLDS: Final = tuple(np.float32(-np.log((c + 1.5) / 6)) for c in range(5))
_LEAST: Final = np.float32(1e-6)
_PIECE: Final = 2048


def describe(image: FloatArray, radius: int, *, threads: int = 1) -> AnyArray:
    """Return the descriptor of every voxel, uint64 words of the image's shape; the upper four bits are 0.

    Args:
        image: intensities, C order; offset, gain and sign do not matter.
        radius: distance of the neighbors and half-width of their patches, voxels.
        threads: how many share the work.

    """
    words = np.zeros(image.shape, dtype=np.uint64)
    in_slabs(lambda start, stop: _describe_planes(image, radius, start, stop, words), len(image), threads)
    return words


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _describe_planes(image: FloatArray, r: int, start: int, stop: int, words: AnyArray) -> None:
    """Describe the planes start … stop-1; patch distances live in rings of the 2r+1 planes in reach."""
    n_i, n_j, n_k = image.shape
    size = 2 * r + 1
    flat = np.zeros((size, 6, n_j * n_k), dtype=np.float32)  # summed over the patch within a plane
    deep = np.zeros((size, 6, n_j * n_k), dtype=np.float32)  # over the whole patch
    square = np.zeros((n_j + 2 * r, n_k + 2 * r), dtype=np.float32)
    values = np.empty((CHANNELS, n_k), dtype=np.float32)
    summed, known = max(start - 2 * r, 0), max(start - r, 0)
    for i in range(start, stop):
        while known <= min(i + r, n_i - 1):
            while summed <= min(known + r, n_i - 1):
                _sum_in_plane(image, summed, r, square, flat[summed % size])
                summed += 1
            _add_planes(flat, max(known - r, 0), min(known + r, n_i - 1), deep[known % size])
            known += 1
        for j in range(n_j):
            _gather_channels(deep.reshape(size, 6, n_j, n_k), (i, j, n_i), r, values)
            _quantize(values, words[i, j])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sum_in_plane(image: FloatArray, i: int, r: int, square: FloatArray, flat: FloatArray) -> None:
    """Squared differences of plane i to the shifted image, summed over patches within the plane, per pair."""
    n_i, n_j, n_k = image.shape
    column = np.empty(n_k + 2 * r, dtype=np.float32)
    for pair in range(6):
        total = flat[pair].reshape(n_j, n_k)
        total[:] = 0
        other = i + _PAIRS[pair, 0] * r
        dj, dk = _PAIRS[pair, 1] * r, _PAIRS[pair, 2] * r
        if other < 0 or other >= n_i:
            continue
        square[:] = 0
        first, last = max(0, -dk), min(n_k, n_k - dk)
        for j in range(max(0, -dj), min(n_j, n_j - dj)):
            _square_difference(
                image[i, j, first:last],
                image[other, j + dj, first + dk : last + dk],
                square[j + r, first + r : last + r],
            )
        for j in range(n_j):
            column[:] = 0
            for offset in range(2 * r + 1):
                _add(square[j + offset], column)
            for offset in range(2 * r + 1):
                _add(column[offset : offset + n_k], total[j])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _square_difference(here: FloatArray, there: FloatArray, square: FloatArray) -> None:
    for k in range(square.size):
        difference = there[k] - here[k]
        square[k] = difference * difference


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_planes(planes: FloatArray, first: int, last: int, total: FloatArray) -> None:
    """Sum planes of a ring, a piece at a time so that the sum stays in the cache."""
    size, pairs, count = planes.shape
    for pair in range(pairs):
        for start in range(0, count, _PIECE):
            piece = total[pair, start : start + _PIECE]
            piece[:] = 0
            for plane in range(first, last + 1):
                _add(planes[plane % size, pair, start : start + _PIECE], piece)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add(values: FloatArray, total: FloatArray) -> None:
    for k in range(total.size):
        total[k] += values[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gather_channels(deep: FloatArray, at: tuple[int, int, int], r: int, values: FloatArray) -> None:
    """Read the twelve patch distances around each voxel of a row; outside the image, that of the voxel."""
    size, _, n_j, n_k = deep.shape
    i, j, n_i = at
    for channel in range(CHANNELS):
        pair = _CHANNELS[channel, 0]
        at_i, at_j = i + _CHANNELS[channel, 1] * r, j + _CHANNELS[channel, 2] * r
        # Along k the voxel looks back by r or not at all.
        back = min(-_CHANNELS[channel, 3] * r, n_k)
        here = deep[i % size, pair, j]
        if at_i < 0 or at_i >= n_i or at_j < 0 or at_j >= n_j:
            back = n_k
        else:
            _copy(deep[at_i % size, pair, at_j, : n_k - back], values[channel, back:])
        _copy(here[:back], values[channel, :back])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _copy(values: FloatArray, target: FloatArray) -> None:
    for k in range(target.size):
        target[k] = values[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _quantize(values: FloatArray, words: AnyArray) -> None:
    """Turn twelve distances per voxel into a word; w < T is asked as v < T·mean, without a division."""
    n_k = words.size
    least = values[0].copy()
    for channel in range(1, CHANNELS):
        value = values[channel]
        for k in range(n_k):
            least[k] = min(least[k], value[k])
    mean = np.zeros(n_k, dtype=np.float32)
    for channel in range(CHANNELS):
        value = values[channel]
        for k in range(n_k):
            value[k] -= least[k]
            mean[k] += value[k]
    for k in range(n_k):
        mean[k] = max(mean[k] / np.float32(CHANNELS), _LEAST)
    t0, t1, t2, t3, t4 = _THRESHOLDS
    for channel in range(CHANNELS):
        value = values[channel]
        shift = np.uint64(5 * channel)
        for k in range(n_k):
            v, m = value[k], mean[k]
            code = np.uint64(v < t0 * m) | (np.uint64(v < t1 * m) << np.uint64(1))
            code |= (np.uint64(v < t2 * m) << np.uint64(2)) | (np.uint64(v < t3 * m) << np.uint64(3))
            code |= np.uint64(v < t4 * m) << np.uint64(4)
            words[k] |= code << shift
