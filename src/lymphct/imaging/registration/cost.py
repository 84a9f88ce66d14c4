"""How badly each label fits each control point: different bits of descriptor words, averaged over a block."""

import numba
import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray, Index3
from lymphct.imaging.registration.bits import FIELD, UNSEEN, count_bits, count_differences
from lymphct.imaging.registration.deeds_settings import Level
from lymphct.imaging.registration.slabs import in_slabs


def grid_shape(shape: Index3, spacing: int) -> Index3:
    """Return the number of control points per axis; what is left of the image is in no block."""
    return shape[0] // spacing, shape[1] // spacing, shape[2] // spacing


def data_cost(
    fixed: AnyArray, moving: AnyArray, level: Level, *, skip_unseen: bool = False, threads: int = 1
) -> FloatArray:
    """Return the cost of every label at every control point: float32 (points, L, L, L).

    Label (l0, l1, l2) displaces by (l - radius)·step. Where blocks are larger than 4 voxels, every second
    voxel along i and j is looked at. Beyond the image the outermost word of `moving` counts; or, if unseen
    words are skipped, nothing: the mean is taken over what is left of the block, and a label that leaves less
    than half of it costs the mean of the others.

    Args:
        fixed: words, uint64.
        moving: words, uint64, same shape.
        level: block, labels, weight.
        skip_unseen: whether to leave out words marked `UNSEEN` and those beyond the image.
        threads: how many share the work.

    """
    n = grid_shape((fixed.shape[0], fixed.shape[1], fixed.shape[2]), level.spacing)
    cost = np.empty((*n, level.labels, level.labels, level.labels), dtype=np.float32)
    rows = _extend_rows(moving, level.radius * level.step, skip_unseen=skip_unseen)
    every = 2 if level.spacing > 4 else 1
    scale = np.float32(0.5 * level.spacing / (level.alpha * level.step))
    in_slabs(
        lambda start, stop: _cost_of_columns(
            (fixed, rows), (level.spacing, level.step, every), scale, (start, stop), cost
        ),
        n[0],
        threads,
    )
    return cost.reshape(-1, *cost.shape[3:])


def _extend_rows(words: AnyArray, margin: int, *, skip_unseen: bool) -> AnyArray:
    """Lengthen the rows along k at both ends; one more row stands for all that lie beyond the image."""
    n_i, n_j, n_k = words.shape
    rows = np.full((n_i * n_j + skip_unseen, n_k + 2 * margin), UNSEEN, dtype=np.uint64)
    inner = rows[: n_i * n_j].reshape(n_i, n_j, -1)
    inner[..., margin : margin + n_k] = words
    if not skip_unseen:
        inner[..., :margin] = words[..., :1]
        inner[..., margin + n_k :] = words[..., -1:]
    return rows


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _cost_of_columns(
    words: tuple[AnyArray, AnyArray],
    steps: tuple[int, int, int],
    scale: float,
    part: tuple[int, int],
    cost: FloatArray,
) -> None:
    """Fill in the cost of columns of blocks along k: all their words are compared in one go per label."""
    fixed, rows = words
    g, q, every = steps
    _, n1, n2, L, _, _ = cost.shape
    side = (g + every - 1) // every
    starts = np.empty((2, side * side), dtype=np.int64)
    total = np.empty(n2 * g, dtype=np.uint64)
    unseen = np.empty(n2 * g, dtype=np.uint64)
    for b0 in range(part[0], part[1]):
        for b1 in range(n1):
            for label in range(L * L):
                shift = (label // L - L // 2) * q, (label % L - L // 2) * q
                _find_rows((b0 * g, b1 * g), (g, every), shift, words, starts)
                for l2 in range(0, L, 3):
                    # The last three labels may repeat some of those before them.
                    first = min(l2, L - 3)
                    starts[1] += q * first
                    count_differences((total, unseen), (fixed, rows), starts, q)
                    starts[1] -= q * first
                    target = cost[b0, b1, :, label // L, label % L, first : first + 3]
                    _average(total, unseen, side * side * g, scale, target)
            for b2 in range(n2):
                _fill_unknown(cost[b0, b1, b2].reshape(L * L * L))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_rows(
    block: tuple[int, int],
    sampling: tuple[int, int],
    shift: tuple[int, int],
    words: tuple[AnyArray, AnyArray],
    starts: AnyArray,
) -> None:
    """Say where the sampled rows of a column of blocks start, and those they are compared with."""
    g, every = sampling
    n_i, n_j, n_k = words[0].shape
    count, width = words[1].shape
    row = 0
    for x in range(block[0], block[0] + g, every):
        for y in range(block[1], block[1] + g, every):
            to_x, to_y = min(max(x + shift[0], 0), n_i - 1), min(max(y + shift[1], 0), n_j - 1)
            is_inside = to_x == x + shift[0] and to_y == y + shift[1]
            starts[0, row] = (x * n_j + y) * n_k
            starts[1, row] = (to_x * n_j + to_y if is_inside or count == n_i * n_j else count - 1) * width
            row += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _average(total: AnyArray, unseen: AnyArray, samples: int, scale: float, cost: FloatArray) -> None:
    """Take three labels apart and average each over the words seen of each block; -1 for too few."""
    n = len(cost)
    g = total.size // n
    bits, mask = np.uint64(FIELD), np.uint64((1 << FIELD) - 1)
    for block in range(n):
        s, missing = np.uint64(0), np.uint64(0)
        for z in range(block * g, block * g + g):
            s += total[z]
            missing += unseen[z]
        for label in range(3):
            seen = samples - np.int64(missing & mask)
            cost[block, label] = (
                scale * np.float32(s & mask) / np.float32(seen) if 2 * seen >= samples else -1
            )
            s, missing = s >> bits, missing >> bits


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill_unknown(cost: FloatArray) -> None:
    """Give labels without a cost the mean of the others, or 0 if there is none."""
    total, known = 0.0, 0
    for label in range(cost.size):
        if cost[label] >= 0:
            total += cost[label]
            known += 1
    if known == cost.size:
        return
    mean = np.float32(total / max(known, 1))
    for label in range(cost.size):
        if cost[label] < 0:
            cost[label] = mean


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mean_distance(fixed: AnyArray, moving: AnyArray) -> float:
    """Return the mean number of different bits of the words of two images, 0 … 60."""
    total = np.uint64(0)
    for i in range(fixed.shape[0]):
        for j in range(fixed.shape[1]):
            for k in range(fixed.shape[2]):
                total += count_bits(fixed[i, j, k] ^ moving[i, j, k])
    return total / fixed.size
