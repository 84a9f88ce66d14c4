"""The compiled loops that take a patch out of an image: copied and mirrored, or turned and scaled.

Positions are whole numbers with `FRACTION_BITS` bits behind the point, so that each is the sum of four products
without rounding: every machine and every device finds the same voxels and the same weights. Voxels outside
the image count as `pad`. All run on one thread and release the interpreter. Arrays are (k, j, i), C order.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from lymphct.core.arrays import AnyArray, FloatArray, LabelArray

FRACTION_BITS: Final = 32
Steps = npt.NDArray[np.int64]
"""Positions (4, 3): of the patch's first voxel, and the steps along its k, j, i; columns k, j, i of the image."""

_HALF: Final = 1 << (FRACTION_BITS - 1)
_MASK: Final = (1 << FRACTION_BITS) - 1
_UNIT: Final = np.float32(2.0**-FRACTION_BITS)


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
    image: AnyArray, start: Steps, mirrored: Steps, values: Values, out: FloatArray
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
                for i in range(part.size):
                    value = np.float32(source[part.size - 1 - i])
                    part[i] = min(max(value, low), high) * scale + shift
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
                for i in range(part.size):
                    part[i] = source[part.size - 1 - i]
            else:
                target[:first] = 0
                target[last:] = 0
                target[first:last] = source


@njit(cache=True, nogil=True, fastmath=_FAST)
def linear_values(
    image: AnyArray, steps: Steps, values: Values, out: FloatArray
) -> None:  # pragma: no cover - compiled
    """Interpolate linearly between eight voxels; bounds hold before, scale and shift after."""
    low, high, _, scale, shift = values
    sk, sj = image.shape[1] * image.shape[2], image.shape[2]
    flat = image.reshape(-1)
    nk, nj, ni = out.shape
    tops = np.array([image.shape[0] - 1, image.shape[1] - 1, image.shape[2] - 1])
    place = np.empty(ni, np.int64)
    part = np.empty((3, ni), np.float32)
    fz, fy, fx = part[0], part[1], part[2]
    for k in range(nk):
        for j in range(nj):
            z, y, x = steps[0] + k * steps[1] + j * steps[2]
            dz, dy, dx = steps[3]
            row = out[k, j]
            first, last = _inside(steps[0] + k * steps[1] + j * steps[2], steps[3], tops, ni)
            for i in range(first):
                row[i] = _beside(image, (z + i * dz, y + i * dy, x + i * dx), values)
            for i in range(last, ni):
                row[i] = _beside(image, (z + i * dz, y + i * dy, x + i * dx), values)
            for i in range(first, last):
                pz, py, px = z + i * dz, y + i * dy, x + i * dx
                place[i] = (pz >> FRACTION_BITS) * sk + (py >> FRACTION_BITS) * sj + (px >> FRACTION_BITS)
                fz[i] = np.float32(pz & _MASK) * _UNIT
                fy[i] = np.float32(py & _MASK) * _UNIT
                fx[i] = np.float32(px & _MASK) * _UNIT
            for i in range(first, last):
                at = place[i]
                a = min(max(np.float32(flat[at]), low), high)
                b = min(max(np.float32(flat[at + 1]), low), high)
                c = min(max(np.float32(flat[at + sj]), low), high)
                d = min(max(np.float32(flat[at + sj + 1]), low), high)
                e = min(max(np.float32(flat[at + sk]), low), high)
                f = min(max(np.float32(flat[at + sk + 1]), low), high)
                g = min(max(np.float32(flat[at + sk + sj]), low), high)
                h = min(max(np.float32(flat[at + sk + sj + 1]), low), high)
                a += fx[i] * (b - a)
                c += fx[i] * (d - c)
                e += fx[i] * (f - e)
                g += fx[i] * (h - g)
                a += fy[i] * (c - a)
                e += fy[i] * (g - e)
                row[i] = (a + fz[i] * (e - a)) * scale + shift


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
    image: AnyArray, position: tuple[int, int, int], values: Values
) -> np.float32:  # pragma: no cover - compiled
    """Interpolate where some of the eight voxels may lie outside."""
    low, high, pad, scale, shift = values
    z, y, x = position[0] >> FRACTION_BITS, position[1] >> FRACTION_BITS, position[2] >> FRACTION_BITS
    fz = np.float32(position[0] & _MASK) * _UNIT
    fy = np.float32(position[1] & _MASK) * _UNIT
    fx = np.float32(position[2] & _MASK) * _UNIT
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
    sk, sj = labels.shape[1] * labels.shape[2], labels.shape[2]
    flat = labels.reshape(-1)
    # Half a voxel further, the nearest voxel is the one a position lies in.
    tops = np.array([labels.shape[0], labels.shape[1], labels.shape[2]])
    for k in range(nk):
        for j in range(nj):
            at = steps[0] + k * steps[1] + j * steps[2] + _HALF
            first, last = _inside(at, steps[3], tops, ni)
            row = out[k, j]
            row[:first] = 0
            row[last:] = 0
            z, y, x = at
            dz, dy, dx = steps[3]
            for i in range(first, last):
                row[i] = flat[
                    ((z + i * dz) >> FRACTION_BITS) * sk
                    + ((y + i * dy) >> FRACTION_BITS) * sj
                    + ((x + i * dx) >> FRACTION_BITS)
                ]
