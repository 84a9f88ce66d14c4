"""Windows laid so that as few as can be have any attention: the others cost nothing (Sec. III-A.1).

A cover of the image at steps of at most `step` patches leaves freedom: rows of windows may begin anywhere,
each row may have strips of its own, each strip windows of its own, and windows without attention may reach
beyond the image, since nobody looks at what they would see there. The plan is the cheapest of all that start
on a coarse lattice, found by dynamic programming along one axis after the other, innermost first.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray, BoolArray, FloatArray, Index3
from lymphct.learning.windows import Window

LATTICE: Final = 20
"""Possible starts per largest step: finer ones hardly save a window."""
EXTRA: Final = 1e-4
"""What a window without attention costs beside one with it, so that of equal plans the shorter counts."""
FORBIDDEN: Final = 1e6
"""What a window costs that has attention and reaches beyond the image."""

Costs = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]


def planned_windows(attention: FloatArray, patch_size: Index3, step: float) -> list[Window]:
    """Return windows that cover the image at steps of at most `step` patches, fewest of them lit; k slowest.

    Windows without attention may begin below 0 or end beyond the image, lit ones never do.

    Args:
        attention: (k, j, i), nowhere smaller than a patch; a window is lit when any of its values is above 0.
        patch_size: voxels along k, j, i.
        step: share of the patch.

    """
    gaps = [max(int(wanted * step), 1) for wanted in patch_size]
    shape = attention.shape
    starts = [_possible_starts(*axis) for axis in zip(shape, patch_size, gaps, strict=True)]
    costs: Costs = _lit(attention > 0, starts, patch_size).astype(np.float64) + EXTRA
    costs[(costs > 1) & _reaches_out(shape, starts, patch_size)] = FORBIDDEN
    ends = [size - wanted for size, wanted in zip(shape, patch_size, strict=True)]
    strips, i_steps = _cheapest(costs, starts[2], gaps[2], ends[2])
    rows, j_steps = _cheapest(strips, starts[1], gaps[1], ends[1])
    _, k_steps = _cheapest(rows, starts[0], gaps[0], ends[0])
    found = []
    for k in _path(k_steps):
        for j in _path(j_steps[k]):
            for i in _path(i_steps[k, j]):
                first = (starts[0][k], starts[1][j], starts[2][i])
                n_k, n_j, n_i = (slice(n, n + size) for n, size in zip(first, patch_size, strict=True))
                found.append((n_k, n_j, n_i))
    return found


def _possible_starts(size: int, wanted: int, gap: int) -> list[int]:
    """Return starts along one axis: both ends of the image, and lattices that largest steps fit from each."""
    every = max(gap // LATTICE, 1)
    low, last = 1 - gap, size - wanted
    high = last + gap
    both = {*range(0, high, every), *range(last, low - 1, -every)}
    return sorted({*both, *range(0, low - 1, -every), *range(last, high, every)})


def _lit(lit: BoolArray, starts: Sequence[Sequence[int]], patch_size: Index3) -> BoolArray:
    """Return for every possible window (k, j, i) whether any voxel of it is lit."""
    counts: AnyArray = lit
    ranges = []
    for axis, (first, wanted) in enumerate(zip(starts, patch_size, strict=True)):
        size = lit.shape[axis]
        begins, ends = np.maximum(first, 0), np.minimum(np.add(first, wanted), size)
        cuts = np.unique([0, size, *begins, *ends])
        ranges.append((np.searchsorted(cuts, begins), np.searchsorted(cuts, ends)))
        counts = np.logical_or.reduceat(counts, cuts[:-1], axis=axis)
    counts = counts.astype(np.int64)
    for axis, (low, high) in enumerate(ranges):
        before = np.insert(counts.cumsum(axis=axis), 0, 0, axis=axis)
        counts = before.take(high, axis=axis) - before.take(low, axis=axis)
    found: BoolArray = counts > 0
    return found


def _reaches_out(shape: Sequence[int], starts: Sequence[Sequence[int]], patch_size: Index3) -> BoolArray:
    k, j, i = (
        np.less(first, 0) | np.greater(first, size - wanted)
        for first, size, wanted in zip(starts, shape, patch_size, strict=True)
    )
    out: BoolArray = k[:, None, None] | j[:, None] | i
    return out


def _cheapest(costs: Costs, starts: Sequence[int], gap: int, end: int) -> tuple[Costs, Steps]:
    """Walk along the last axis from a start up to 0 to one from `end` on, in steps of at most `gap`.

    Returns:
        the cost of the cheapest walk (…), and for every start (…, n + 1) the one before it, −1 before the
        first; the last entry is where the walk ends.

    """
    total = costs.copy()
    before = np.full((*costs.shape[:-1], len(starts) + 1), -1, dtype=np.int64)
    for n, start in enumerate(starts):
        if start <= 0:
            continue
        low = int(np.searchsorted(starts, start - gap))
        best = low + total[..., low:n].argmin(axis=-1)  # of equally cheap ones the farthest
        before[..., n] = best
        total[..., n] += np.take_along_axis(total, best[..., None], axis=-1)[..., 0]
    first = int(np.searchsorted(starts, end))
    best = first + total[..., first:].argmin(axis=-1)
    before[..., -1] = best
    cheapest: Costs = np.take_along_axis(total, best[..., None], axis=-1)[..., 0]
    return cheapest, before


def _path(before: npt.NDArray[np.int64]) -> list[int]:
    path = [int(before[-1])]
    while before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return path[::-1]
