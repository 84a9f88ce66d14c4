"""How badly each label fits each control point: different bits of descriptor words, averaged over a block."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from lymphct.core.arrays import AnyArray, FloatArray, Index3
from lymphct.imaging.registration.deeds_settings import Level
from lymphct.imaging.registration.slabs import in_slabs


@intrinsic
def count_bits(_context: Any, word: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401 - types of numba
    """Count the bits set in a word by one instruction that the compiler knows how to vectorise."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba
        return builder.ctpop(arguments[0])

    return word(word), generate


def grid_shape(shape: Index3, spacing: int) -> Index3:
    """Return the number of control points per axis; what is left of the image is in no block."""
    return shape[0] // spacing, shape[1] // spacing, shape[2] // spacing


def data_cost(fixed: AnyArray, moving: AnyArray, level: Level, *, threads: int = 1) -> FloatArray:
    """Return the cost of every label at every control point: float32 (points, L³), labels in C order.

    Label (l0, l1, l2) displaces by (l - radius)·step. Beyond the image the outermost word of `moving` counts.
    Where blocks are larger than 4 voxels, every second voxel along i and j is looked at.

    Args:
        fixed: words, uint64.
        moving: words, uint64, same shape.
        level: block, labels, weight.
        threads: how many share the work.

    """
    n = grid_shape((fixed.shape[0], fixed.shape[1], fixed.shape[2]), level.spacing)
    cost = np.empty((n[0], n[1], n[2], level.labels, level.labels, level.labels), dtype=np.float32)
    margin = level.radius * level.step
    padded = np.pad(moving, ((0, 0), (0, 0), (margin, margin)), mode="edge")
    every = 2 if level.spacing > 4 else 1
    samples = len(range(0, level.spacing, every)) ** 2 * level.spacing
    scale = np.float32(0.5 * level.spacing / (level.alpha * level.step * samples))
    in_slabs(
        lambda start, stop: _cost_of_columns(
            fixed, padded, (level.spacing, level.step, every), scale, (start, stop), cost
        ),
        n[0],
        threads,
    )
    return cost.reshape(n[0] * n[1] * n[2], level.labels**3)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _cost_of_columns(
    fixed: AnyArray,
    padded: AnyArray,
    steps: tuple[int, int, int],
    scale: float,
    part: tuple[int, int],
    cost: FloatArray,
) -> None:
    g, q, every = steps
    n_i, n_j, _ = fixed.shape
    _, n1, n2, L, _, _ = cost.shape
    h = L // 2
    total = np.empty(n2 * g, dtype=np.uint64)
    # Three labels share a word of 3 x 21 bits: one pass adds for three.
    bits, mask = np.uint64(21), np.uint64((1 << 21) - 1)
    for b0 in range(part[0], part[1]):
        for b1 in range(n1):
            for l0 in range(L):
                for l1 in range(L):
                    for group in range(0, L, 3):
                        l2 = min(group, L - 3)
                        total[:] = 0
                        for x in range(b0 * g, b0 * g + g, every):
                            mx = min(max(x + q * (l0 - h), 0), n_i - 1)
                            for y in range(b1 * g, b1 * g + g, every):
                                my = min(max(y + q * (l1 - h), 0), n_j - 1)
                                _add_row(fixed[x, y], padded[mx, my, q * l2 :], q, total)
                        for b2 in range(n2):
                            s = np.uint64(0)
                            for t in range(b2 * g, b2 * g + g):
                                s += total[t]
                            target = cost[b0, b1, b2, l0, l1]
                            target[l2] = scale * np.float32(s & mask)
                            target[l2 + 1] = scale * np.float32((s >> bits) & mask)
                            target[l2 + 2] = scale * np.float32(s >> (bits + bits))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_row(here: AnyArray, there: AnyArray, q: int, total: AnyArray) -> None:
    bits = np.uint64(21)
    for z in range(total.size):
        word = here[z]
        first = count_bits(word ^ there[z])
        second = count_bits(word ^ there[z + q])
        third = count_bits(word ^ there[z + 2 * q])
        total[z] += first + (second << bits) + (third << (bits + bits))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mean_distance(fixed: AnyArray, moving: AnyArray) -> float:
    """Return the mean number of different bits of the words of two images, 0 … 60."""
    total = np.uint64(0)
    for i in range(fixed.shape[0]):
        for j in range(fixed.shape[1]):
            for k in range(fixed.shape[2]):
                total += count_bits(fixed[i, j, k] ^ moving[i, j, k])
    return total / fixed.size
