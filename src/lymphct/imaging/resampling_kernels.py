"""The compiled loops of resampling between parallel axes: rows of k are the unit of work.

`taps` and `weights` are one array (n, taps) per axis: the input indices of each output index and their
weights. Sums are double precision, results single. All run on one thread and release the interpreter.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from lymphct.core.arrays import AnyArray, DoubleArray, FloatArray

TapArray = npt.NDArray[np.int64]
Taps = tuple[TapArray, TapArray, TapArray]
Weights = tuple[DoubleArray, DoubleArray, DoubleArray]

_TILE = 32
_ROWS = 8
_COLUMNS = 256
_POLE = np.sqrt(3.0) - 2.0
_REACH = 24


@njit(cache=True, nogil=True)
def reorder(source: AnyArray, target: AnyArray) -> None:  # pragma: no cover - compiled
    """Copy where axis 1 is the contiguous one of the source and axis 2 of the target, tile by tile."""
    n0, n1, n2 = source.shape
    for a in range(n0):
        for b0 in range(0, n1, _TILE):
            for c0 in range(0, n2, _TILE):
                for b in range(b0, min(b0 + _TILE, n1)):
                    for c in range(c0, min(c0 + _TILE, n2)):
                        target[a, b, c] = source[a, b, c]


@njit(cache=True, nogil=True)
def nearest(image: AnyArray, taps: Taps, out: AnyArray) -> None:  # pragma: no cover - compiled
    """Copy one voxel each."""
    along_i, along_j, along_k = taps
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            row = image[along_i[i, 0], along_j[j, 0]]
            for k in range(out.shape[2]):
                out[i, j, k] = row[along_k[k, 0]]


@njit(cache=True, nogil=True)
def linear(image: AnyArray, taps: Taps, weights: Weights, out: FloatArray) -> None:  # pragma: no cover
    """Blend the four rows around each output row, then two neighbours along it (compiled)."""
    along_i, along_j, along_k = taps
    first, last = along_k.min(), along_k.max() + 1
    lower, fraction = along_k[:, 0].copy(), weights[2][:, 1].copy()
    upper = along_k[:, 1].copy()
    row = np.empty(image.shape[2], dtype=np.float64)
    for i in range(out.shape[0]):
        i0, i1 = along_i[i]
        for j in range(out.shape[1]):
            j0, j1 = along_j[j]
            w00, w01 = weights[0][i, 0] * weights[1][j, 0], weights[0][i, 0] * weights[1][j, 1]
            w10, w11 = weights[0][i, 1] * weights[1][j, 0], weights[0][i, 1] * weights[1][j, 1]
            for k in range(first, last):
                row[k] = (
                    w00 * image[i0, j0, k]
                    + w01 * image[i0, j1, k]
                    + w10 * image[i1, j0, k]
                    + w11 * image[i1, j1, k]
                )
            for k in range(out.shape[2]):
                value = row[lower[k]]
                out[i, j, k] = value + fraction[k] * (row[upper[k]] - value)


@njit(cache=True, nogil=True)
def cubic_in_planes(
    image: AnyArray, taps: Taps, weights: Weights, planes: FloatArray
) -> None:  # pragma: no cover - compiled
    """Interpolate each plane of `image` along k and j with cubic B-splines."""
    ni, nj, nk = image.shape
    mk = planes.shape[2]
    rows = np.empty((nk, _ROWS), dtype=np.float64)
    plane = np.empty((nj, mk), dtype=np.float64)
    for i in range(ni):
        for j0 in range(0, nj, _ROWS):
            n_rows = min(_ROWS, nj - j0)
            for r in range(_ROWS):
                source = image[i, j0 + min(r, n_rows - 1)]
                for k in range(nk):
                    rows[k, r] = source[k]
            _coefficients(rows)
            for k in range(mk):
                t0, t1, t2, t3 = taps[2][k]
                w0, w1, w2, w3 = weights[2][k]
                for r in range(n_rows):
                    plane[j0 + r, k] = (
                        w0 * rows[t0, r] + w1 * rows[t1, r] + w2 * rows[t2, r] + w3 * rows[t3, r]
                    )
        _coefficients(plane)
        _blend(plane, taps[1], weights[1], planes[i])


@njit(cache=True, nogil=True)
def cubic_along_columns(
    planes: FloatArray, taps: TapArray, weights: DoubleArray, out: FloatArray
) -> None:  # pragma: no cover - compiled
    """Interpolate between planes, a few hundred columns at a time so that they stay in the cache."""
    nj, nk = planes.shape[1:]
    for j in range(nj):
        for k0 in range(0, nk, _COLUMNS):
            k1 = min(k0 + _COLUMNS, nk)
            block = planes[:, j, k0:k1].astype(np.float64)
            _coefficients(block)
            _blend(block, taps, weights, out[:, j, k0:k1])


@njit(cache=True, nogil=True)
def _blend(
    block: DoubleArray, taps: TapArray, weights: DoubleArray, out: FloatArray
) -> None:  # pragma: no cover - compiled
    """Add four rows each."""
    for a in range(out.shape[0]):
        t0, t1, t2, t3 = taps[a]
        w0, w1, w2, w3 = weights[a]
        for b in range(out.shape[1]):
            out[a, b] = w0 * block[t0, b] + w1 * block[t1, b] + w2 * block[t2, b] + w3 * block[t3, b]


@njit(cache=True, nogil=True)
def _coefficients(samples: DoubleArray) -> None:  # pragma: no cover - compiled
    """Turn samples along axis 0 into coefficients of a cubic B-spline with mirrored ends, in place.

    The recursive filter of Unser, Aldroubi and Eden (IEEE Trans. Signal Processing 41, 1993).
    """
    n, width = samples.shape
    for b in range(width):
        samples[0, b] = _first_coefficient(samples[:, b])
    for a in range(1, n):
        for b in range(width):
            samples[a, b] += _POLE * samples[a - 1, b]
    for b in range(width):
        end = _POLE / (_POLE * _POLE - 1.0) * (_POLE * samples[n - 2, b] + samples[n - 1, b])
        samples[n - 1, b] = end
    for a in range(n - 2, -1, -1):
        for b in range(width):
            samples[a, b] = _POLE * (samples[a + 1, b] - samples[a, b])
    for a in range(n):
        for b in range(width):
            samples[a, b] *= 6.0


@njit(cache=True, nogil=True)
def _first_coefficient(column: DoubleArray) -> float:  # pragma: no cover - compiled
    """Sum a mirrored signal by powers of the pole; beyond `_REACH` they are below double precision."""
    n = column.size
    total, power = column[0], _POLE
    for a in range(1, _REACH if n >= _REACH else 2 * n - 2):
        total += power * column[a if a < n else 2 * n - 2 - a]
        power *= _POLE
    # A short signal is mirrored many times: the sum over one period stands for all.
    if n < _REACH:
        total /= 1.0 - power
    return float(total)
