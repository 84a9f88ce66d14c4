"""The compiled loops that take a patch out of an image: copied and mirrored, or turned and scaled.

Positions are whole numbers with `FRACTION_BITS` bits behind the point, so that each is a sum of products
without rounding: every machine and every device finds the same voxels and the same weights. Voxels outside
the image count as `pad`. All run on one thread and release the interpreter. Arrays are (k, j, i), C order,
of fewer than 2³¹ voxels.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from lymphct.core.arrays import AnyArray, FloatArray, LabelArray

FRACTION_BITS: Final = 32
Places = npt.NDArray[np.uint32]
Steps = npt.NDArray[np.int64]
"""Positions (4, 3): of the patch's first voxel, and steps along its k, j, i; columns k, j, i of the image."""

_HALF: Final = 1 << (FRACTION_BITS - 1)
_MASK: Final = (1 << (FRACTION_BITS - 1)) - 1
_UNIT: Final = np.float32(2.0 ** (1 - FRACTION_BITS))


class Values(NamedTuple):
    """How values are read: kept within bounds, then `scale`·value + `shift`; all float32.

    Attributes:
        low: values below are raised to it.
        high: values above are lowered to it.
        pad: what lies outside the image, before scale and shift.
        scale: factor.
        shift: summand.

    """

    low: np.float32
    high: np.float32
    pad: np.float32
    scale: np.float32
    shift: np.float32


_FAST: Final = {"nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"}


@njit(cache=True, nogil=True, fastmath=_FAST)
def copy_values(
    image: AnyArray, start: Steps, mirrored: Steps, values: FloatArray, out: FloatArray
) -> None:  # pragma: no cover - compiled
    """Copy the box that begins at `start`, with the axes reversed where `mirrored` is 1."""
    low, high, pad, scale, shift = values
    nk, nj, ni = out.shape
    outside = pad * scale + shift
    first, last = max(-start[2], 0), min(image.shape[2] - start[2], ni)
    for k in range(nk):
        z = k + start[0]
        target_k = nk - 1 - k if mirrored[0] else k
        for j in range(nj):
            y = j + start[1]
            target = out[target_k, nj - 1 - j if mirrored[1] else j]
            if not (0 <= z < image.shape[0] and 0 <= y < image.shape[1]) or last <= first:
                target[:] = outside
                continue
            source = image[z, y, first + start[2] : last + start[2]]
            if mirrored[2]:
                target[: ni - last] = outside
                target[ni - first :] = outside
                part = target[ni - last : ni - first]
                end = np.uint64(part.size - 1)
                for i in range(np.uint64(part.size)):
                    part[i] = min(max(np.float32(source[end - i]), low), high) * scale + shift
            else:
                target[:first] = outside
                target[last:] = outside
                part = target[first:last]
                for i in range(part.size):
                    part[i] = min(max(np.float32(source[i]), low), high) * scale + shift


@njit(cache=True, nogil=True)
def copy_labels(
    labels: LabelArray, start: Steps, mirrored: Steps, out: LabelArray
) -> None:  # pragma: no cover - compiled
    """Copy the box that begins at `start` as it is; 0 lies outside."""
    nk, nj, ni = out.shape
    first, last = max(-start[2], 0), min(labels.shape[2] - start[2], ni)
    for k in range(nk):
        z = k + start[0]
        target_k = nk - 1 - k if mirrored[0] else k
        for j in range(nj):
            y = j + start[1]
            target = out[target_k, nj - 1 - j if mirrored[1] else j]
            if not (0 <= z < labels.shape[0] and 0 <= y < labels.shape[1]) or last <= first:
                target[:] = 0
                continue
            source = labels[z, y, first + start[2] : last + start[2]]
            if mirrored[2]:
                target[: ni - last] = 0
                target[ni - first :] = 0
                part = target[ni - last : ni - first]
                end = np.uint64(part.size - 1)
                for i in range(np.uint64(part.size)):
                    part[i] = source[end - i]
            else:
                target[:first] = 0
                target[last:] = 0
                target[first:last] = source


@njit(cache=True, nogil=True)
def linear_values(
    image: AnyArray, steps: Steps, values: FloatArray, out: FloatArray
) -> None:  # pragma: no cover - compiled
    """Interpolate linearly between eight voxels; bounds hold before, scale and shift after.

    Args:
        image: (c, k, j, i).
        steps: positions of the patch.
        values: `Values` of each channel, (c, 5).
        out: (c, k, j, i).

    """
    channels, nk, nj, ni = out.shape
    flat = image.reshape(channels, -1)
    size = image.shape[1:]
    strides = (np.int32(size[1] * size[2]), np.int32(size[2]))
    tops = np.array([size[0] - 1, size[1] - 1, size[2] - 1])
    places = np.empty(ni, np.uint32)
    fractions = np.empty((3, ni), np.float32)
    pairs = np.empty((4, 2 * ni), image.dtype)
    for k in range(nk):
        for j in range(nj):
            start = steps[0] + k * steps[1] + j * steps[2]
            first, last = _inside(start, steps[3], tops, ni)
            if first < last:
                _place_row(start + first * steps[3], steps[3], strides, places[: last - first], fractions)
            for c in range(channels):
                row = out[c, k, j]
                for i in range(first):
                    row[i] = _beside(image[c], start + i * steps[3], values[c])
                for i in range(last, ni):
                    row[i] = _beside(image[c], start + i * steps[3], values[c])
                if first < last:
                    _fetch_row(flat[c], places[: last - first], strides, pairs)
                    _blend_row(pairs, fractions, values[c], row[first:last])


@njit(cache=True, nogil=True)
def _place_row(
    start: Steps, step: Steps, strides: tuple[np.int32, np.int32], places: Places, fractions: FloatArray
) -> None:  # pragma: no cover - compiled
    """Find the lowest of the eight voxels around each position, and how far it lies from that one."""
    z, y, x = start
    dz, dy, dx = step
    sk, sj = strides
    fz, fy, fx = fractions[0], fractions[1], fractions[2]
    for i in range(places.size):
        pz, py, px = z + i * dz, y + i * dy, x + i * dx
        places[i] = (
            np.int32(np.int32(pz >> FRACTION_BITS) * sk)
            + np.int32(np.int32(py >> FRACTION_BITS) * sj)
            + np.int32(px >> FRACTION_BITS)
        )
        fz[i] = _fraction(pz)
        fy[i] = _fraction(py)
        fx[i] = _fraction(px)


@njit(cache=True, nogil=True, inline="always")
def _fraction(position: np.int64) -> np.float32:  # pragma: no cover - compiled
    # One bit less than there are: the rest is a signed number of 32 bits, which all processors convert fast.
    return np.float32(np.int32((position >> 1) & _MASK)) * _UNIT


@njit(cache=True, nogil=True)
def _fetch_row(
    flat: AnyArray, places: Places, strides: tuple[np.int32, np.int32], pairs: AnyArray
) -> None:  # pragma: no cover - compiled
    """Copy the four pairs of neighbours along i around each position, side by side for the next loop."""
    # Whole numbers without a sign are not tested for counting from the end.
    one = np.uint64(1)
    sk, sj = np.uint64(strides[0]), np.uint64(strides[1])
    both = sk + sj
    a, b, c, d = pairs[0], pairs[1], pairs[2], pairs[3]
    for i in range(places.size):
        at = np.uint64(places[i])
        a0, a1 = flat[at], flat[at + one]
        b0, b1 = flat[at + sj], flat[at + sj + one]
        c0, c1 = flat[at + sk], flat[at + sk + one]
        d0, d1 = flat[at + both], flat[at + both + one]
        a[2 * i], a[2 * i + 1] = a0, a1
        b[2 * i], b[2 * i + 1] = b0, b1
        c[2 * i], c[2 * i + 1] = c0, c1
        d[2 * i], d[2 * i + 1] = d0, d1


@njit(cache=True, nogil=True, fastmath=_FAST)
def _blend_row(
    pairs: AnyArray, fractions: FloatArray, values: FloatArray, row: FloatArray
) -> None:  # pragma: no cover - compiled
    low, high, _, scale, shift = values
    pa, pb, pc, pd = pairs[0], pairs[1], pairs[2], pairs[3]
    fz, fy, fx = fractions[0], fractions[1], fractions[2]
    for i in range(row.size):
        a0 = min(max(np.float32(pa[2 * i]), low), high)
        a1 = min(max(np.float32(pa[2 * i + 1]), low), high)
        b0 = min(max(np.float32(pb[2 * i]), low), high)
        b1 = min(max(np.float32(pb[2 * i + 1]), low), high)
        c0 = min(max(np.float32(pc[2 * i]), low), high)
        c1 = min(max(np.float32(pc[2 * i + 1]), low), high)
        d0 = min(max(np.float32(pd[2 * i]), low), high)
        d1 = min(max(np.float32(pd[2 * i + 1]), low), high)
        a0 += fx[i] * (a1 - a0)
        b0 += fx[i] * (b1 - b0)
        c0 += fx[i] * (c1 - c0)
        d0 += fx[i] * (d1 - d0)
        a0 += fy[i] * (b0 - a0)
        c0 += fy[i] * (d0 - c0)
        row[i] = (a0 + fz[i] * (c0 - a0)) * scale + shift


@njit(cache=True, nogil=True)
def _inside(
    start: Steps, step: Steps, tops: Steps, count: int
) -> tuple[int, int]:  # pragma: no cover - compiled
    """Return the first voxel of a row, and one past the last, whose eight neighbours are all in the image."""
    first, last = 0, count
    for axis in range(3):
        at, by, end = start[axis], step[axis], tops[axis] << FRACTION_BITS
        if by == 0:
            if not 0 <= at < end:
                return 0, 0
        elif by > 0:
            first = max(first, -(at // by))
            last = min(last, -((at - end) // by))
        else:
            first = max(first, (at - end) // -by + 1)
            last = min(last, at // -by + 1)
    return (first, last) if first < last else (0, 0)


@njit(cache=True, nogil=True)
def _beside(
    image: AnyArray, position: Steps, values: FloatArray
) -> np.float32:  # pragma: no cover - compiled
    """Interpolate where some of the eight voxels may lie outside."""
    low, high, pad, scale, shift = values
    z, y, x = position >> FRACTION_BITS
    fz, fy, fx = _fraction(position[0]), _fraction(position[1]), _fraction(position[2])
    corners = np.empty(8, np.float32)
    for n in range(8):
        c, b, a = z + (n >> 2), y + ((n >> 1) & 1), x + (n & 1)
        if 0 <= c < image.shape[0] and 0 <= b < image.shape[1] and 0 <= a < image.shape[2]:
            corners[n] = min(max(np.float32(image[c, b, a]), low), high)
        else:
            corners[n] = pad
    for n in range(4):
        corners[n] = corners[2 * n] + fx * (corners[2 * n + 1] - corners[2 * n])
    for n in range(2):
        corners[n] = corners[2 * n] + fy * (corners[2 * n + 1] - corners[2 * n])
    return np.float32((corners[0] + fz * (corners[1] - corners[0])) * scale + shift)


@njit(cache=True, nogil=True)
def nearest_labels(labels: LabelArray, steps: Steps, out: LabelArray) -> None:  # pragma: no cover - compiled
    """Take the nearest voxel, the upper one of two at the same distance; 0 lies outside."""
    nk, nj, ni = out.shape
    strides = (np.int32(labels.shape[1] * labels.shape[2]), np.int32(labels.shape[2]))
    flat = labels.reshape(-1)
    tops = np.array([labels.shape[0], labels.shape[1], labels.shape[2]])
    places = np.empty(ni, np.uint32)
    fractions = np.empty((3, ni), np.float32)
    for k in range(nk):
        for j in range(nj):
            # Half a voxel further, the nearest voxel is the one a position lies in.
            start = steps[0] + k * steps[1] + j * steps[2] + _HALF
            first, last = _inside(start, steps[3], tops, ni)
            row = out[k, j]
            row[:first] = 0
            row[last:] = 0
            if first < last:
                _place_row(start + first * steps[3], steps[3], strides, places[: last - first], fractions)
                part = row[first:last]
                for i in range(part.size):
                    part[i] = flat[places[i]]
