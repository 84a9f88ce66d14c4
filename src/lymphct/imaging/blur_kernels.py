"""The compiled loops that blur a channel and lower its resolution, in place, slice by slice.

All run on one thread and release the interpreter. Channels are (k, j, i), float32, C order.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from lymphct.core.arrays import FloatArray

Taps = npt.NDArray[np.int64]
Fractions = tuple[FloatArray, FloatArray, FloatArray]

_FAST: Final = {"nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"}


@njit(cache=True, nogil=True, fastmath=_FAST)
def blur(image: FloatArray, weights: FloatArray, radii: Taps) -> None:  # pragma: no cover - compiled
    """Convolve along all axes with symmetric weights; the image is mirrored about its border voxels.

    Args:
        image: one channel.
        weights: (3, n) for k, j, i: of the voxel itself and of those one, two, … voxels away.
        radii: (3,) voxels away that count, less than n.

    """
    nk, nj, ni = image.shape
    reach = radii[0]
    planes = np.empty((2 * reach + 1, nj, ni), np.float32)
    work = (np.empty((nj, ni), np.float32), np.empty(ni + 2 * radii[2], np.float32))
    ready = 0
    for k in range(nk):
        while ready < min(k + reach + 1, nk):
            _blur_plane(image[ready], work, weights, radii, planes[ready % (2 * reach + 1)])
            ready += 1
        _weigh(planes.reshape(planes.shape[0], -1), (k, nk), weights[0], reach, image[k].reshape(-1))


@njit(cache=True, nogil=True, fastmath=_FAST)
def _blur_plane(
    plane: FloatArray,
    work: tuple[FloatArray, FloatArray],
    weights: FloatArray,
    radii: Taps,
    out: FloatArray,
) -> None:  # pragma: no cover - compiled
    """Convolve along i, then j; `work` has room for the rows and for one of them with mirrored ends."""
    nj, ni = plane.shape
    reach = radii[2]
    rows, row = work
    for j in range(nj):
        source = plane[j]
        row[reach : reach + ni] = source
        for a in range(1, reach + 1):
            row[reach - a] = source[_mirrored(-a, ni)]
            row[reach + ni - 1 + a] = source[_mirrored(ni - 1 + a, ni)]
        _weigh_shifted(row, weights[2], reach, rows[j])
    for j in range(nj):
        _weigh(rows, (j, nj), weights[1], radii[1], out[j])


@njit(cache=True, nogil=True, fastmath=_FAST)
def _weigh_shifted(
    row: FloatArray, weights: FloatArray, reach: int, out: FloatArray
) -> None:  # pragma: no cover - compiled
    """Sum each voxel of a row and its neighbours; the row begins `reach` voxels earlier than the result."""
    if reach == 1:
        for i in range(out.size):
            out[i] = weights[0] * row[i + 1] + weights[1] * (row[i] + row[i + 2])
        return
    if reach == 2:
        w0, w1, w2 = weights[0], weights[1], weights[2]
        for i in range(out.size):
            out[i] = w0 * row[i + 2] + w1 * (row[i + 1] + row[i + 3]) + w2 * (row[i] + row[i + 4])
        return
    if reach == 3:
        w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
        for i in range(out.size):
            out[i] = (
                w0 * row[i + 3]
                + w1 * (row[i + 2] + row[i + 4])
                + w2 * (row[i + 1] + row[i + 5])
                + w3 * (row[i] + row[i + 6])
            )
        return
    for i in range(out.size):
        out[i] = weights[0] * row[i + reach]
    for r in range(1, reach + 1):
        for i in range(out.size):
            out[i] += weights[r] * (row[i + reach - r] + row[i + reach + r])


@njit(cache=True, nogil=True, fastmath=_FAST)
def _weigh(
    stack: FloatArray, place: tuple[int, int], weights: FloatArray, reach: int, out: FloatArray
) -> None:  # pragma: no cover - compiled
    """Sum row n of `count` rows and its neighbours; row m lies at m modulo the stack's length."""
    n, count = place
    size = stack.shape[0]
    a = stack[n % size]
    if reach == 0 or reach > 3:
        for i in range(out.size):
            out[i] = weights[0] * a[i]
        for r in range(1, reach + 1):
            b, c = stack[_mirrored(n - r, count) % size], stack[_mirrored(n + r, count) % size]
            for i in range(out.size):
                out[i] += weights[r] * (b[i] + c[i])
        return
    w1 = weights[1]
    w0 = weights[0]
    b, c = stack[_mirrored(n - 1, count) % size], stack[_mirrored(n + 1, count) % size]
    if reach == 1:
        for i in range(out.size):
            out[i] = w0 * a[i] + w1 * (b[i] + c[i])
        return
    w2 = weights[2]
    d, e = stack[_mirrored(n - 2, count) % size], stack[_mirrored(n + 2, count) % size]
    if reach == 2:
        for i in range(out.size):
            out[i] = w0 * a[i] + w1 * (b[i] + c[i]) + w2 * (d[i] + e[i])
        return
    w3 = weights[3]
    f, g = stack[_mirrored(n - 3, count) % size], stack[_mirrored(n + 3, count) % size]
    for i in range(out.size):
        out[i] = w0 * a[i] + w1 * (b[i] + c[i]) + w2 * (d[i] + e[i]) + w3 * (f[i] + g[i])


@njit(cache=True, nogil=True)
def _mirrored(n: int, count: int) -> int:  # pragma: no cover - compiled
    """Return which of `count` voxels lies at place n when they go on mirrored about the border voxels."""
    if count == 1:
        return 0
    n = abs(n) % (2 * count - 2)
    return min(n, 2 * count - 2 - n)


@njit(cache=True, nogil=True, fastmath=_FAST)
def coarsen(
    image: FloatArray, kept: tuple[Taps, Taps, Taps], lower: tuple[Taps, Taps, Taps], fractions: Fractions
) -> None:  # pragma: no cover - compiled
    """Keep some voxels and interpolate all others between them, as a scan of low resolution is shown.

    Args:
        image: one channel.
        kept: ascending indices of the voxels kept along k, j, i.
        lower: for each voxel along k, j, i the place among the kept ones of the lower of its two.
        fractions: and how far it lies from that one towards the next.

    """
    nk, nj, ni = image.shape
    planes = np.empty((2, nj, ni), np.float32)
    rows = np.empty((2, ni), np.float32)
    coarse = np.empty(kept[2].size + 1, np.float32)
    ready = 0
    for k in range(nk):
        below = lower[0][k]
        above = min(below + 1, kept[0].size - 1)
        while ready <= above:
            _refine_plane(
                image[kept[0][ready]], (kept[1], kept[2]), lower, fractions, (coarse, rows, planes[ready % 2])
            )
            ready += 1
        f = fractions[0][k]
        one, other, out = planes[below % 2].reshape(-1), planes[above % 2].reshape(-1), image[k].reshape(-1)
        for n in range(out.size):
            out[n] = one[n] + f * (other[n] - one[n])


@njit(cache=True, nogil=True, fastmath=_FAST)
def _refine_plane(
    plane: FloatArray,
    kept: tuple[Taps, Taps],
    lower: tuple[Taps, Taps, Taps],
    fractions: Fractions,
    work: tuple[FloatArray, FloatArray, FloatArray],
) -> None:  # pragma: no cover - compiled
    coarse, rows, out = work
    nj, ni = plane.shape
    kept_j, kept_i = kept
    fj, fi, lower_i = fractions[1], fractions[2], lower[2]
    ready, last = 0, kept_i.size
    for j in range(nj):
        below = lower[1][j]
        above = min(below + 1, kept_j.size - 1)
        while ready <= above:
            source, row = plane[kept_j[ready]], rows[ready % 2]
            for n in range(last):
                coarse[n] = source[kept_i[n]]
            coarse[last] = coarse[last - 1]
            for i in range(ni):
                value = coarse[lower_i[i]]
                row[i] = value + fi[i] * (coarse[lower_i[i] + 1] - value)
            ready += 1
        one, other, target, f = rows[below % 2], rows[above % 2], out[j], fj[j]
        for i in range(ni):
            target[i] = one[i] + f * (other[i] - one[i])
