"""How badly each label fits each control point: different bits of descriptor words, averaged over a block."""

import numba
import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray, FloatArray, Index3
from lymphct.registration.bits import count_bits
from lymphct.registration.chunks import COUNT, FIELD, GROUP, LABELS, UNSEEN
from lymphct.registration.deeds_settings import Level
from lymphct.registration.differences import Layout, best_layout, sum_differences
from lymphct.registration.levels import as_levels
from lymphct.registration.room import Room
from lymphct.registration.slabs import in_slabs

Where = tuple[Index3, tuple[int, int], AnyArray, AnyArray]
"""Voxels of the fixed image, rows and words of the moving one, and the seen words of the rows of either."""

Span = tuple[int, int, int, int]
"""First and one past the last word between which all rows are seen; the same where any is."""


def grid_shape(shape: Index3, spacing: int) -> Index3:
    """Return the number of control points per axis; what is left of the image is in no block."""
    return shape[0] // spacing, shape[1] // spacing, shape[2] // spacing


def data_cost(  # noqa: PLR0913 - images, a level and keywords that name their role
    fixed: AnyArray,
    moving: AnyArray,
    level: Level,
    *,
    skip_unseen: bool = False,
    threads: int = 1,
    layout: Layout | None = None,
    room: Room | None = None,
) -> FloatArray:
    """Return the cost of every label at every control point: float32 (points, L, L, L).

    Label (l0, l1, l2) displaces by (l - radius)·step. Where blocks are larger than 4 voxels, every second
    voxel along i and j is looked at. Beyond the image the outermost word of `moving` counts; or, if unseen
    words are skipped, nothing: the mean is taken over what is left of the block, and a label that leaves less
    than half of it costs the mean of the others.

    Args:
        fixed: words of `describe`, uint64.
        moving: words of `describe`, uint64, same shape.
        level: block, labels, weight.
        skip_unseen: whether to leave out words marked `UNSEEN` and those beyond the image.
        threads: how many share the work.
        layout: how words are compared; None = what is quickest here. The result does not depend on it.
        room: where the table lies, until the next one takes its place; memory of its own when left out.

    """
    room = room or Room()
    shape = fixed.shape[0], fixed.shape[1], fixed.shape[2]
    n = grid_shape(shape, level.spacing)
    cost = room.take("cost", (*n, level.labels, level.labels, level.labels), np.float32)
    fixed_rows = fixed.reshape(-1, shape[2])
    rows = _extend_rows(moving, level.radius * level.step, room, skip_unseen=skip_unseen)
    where = shape, rows.shape, _seen_spans(fixed_rows), _seen_spans(rows)
    every = 2 if level.spacing > 4 else 1
    images: tuple[AnyArray, ...] = fixed_rows, rows
    if (layout or best_layout()) == "levels":
        found = []
        for name, each in (("fixed", fixed_rows), ("moving", rows)):
            parts = [room.take(f"{name} {part}", each.shape, np.uint64) for part in ("leading", "trailing")]
            as_levels(each, every, (parts[0], parts[1]), threads=threads)
            found += parts
        images = tuple(found)
    averages = _averages(level, level.spacing * len(range(0, level.spacing, every)) ** 2)
    in_slabs(
        lambda start, stop: _cost_of_columns(
            images, where, (level.spacing, level.step, every, averages), (start, stop), cost
        ),
        n[0],
        threads,
    )
    return cost.reshape(-1, *cost.shape[3:])


def _averages(level: Level, samples: int) -> FloatArray:
    """Return what turns a sum into a cost, by the number of words that were not compared.

    It is not a number where fewer than half were.
    """
    seen = samples - np.arange(samples + 1)
    factors: FloatArray = np.full(samples + 1, np.nan, dtype=np.float32)
    enough = 2 * seen >= samples
    factors[enough] = 0.5 * level.spacing / (level.alpha * level.step) / seen[enough]
    return factors


def _extend_rows(words: AnyArray, margin: int, room: Room, *, skip_unseen: bool) -> AnyArray:
    """Lengthen the rows along k at both ends; one more row stands for all that lie beyond the image."""
    n_i, n_j, n_k = words.shape
    rows = room.take("rows", (n_i * n_j + skip_unseen, n_k + 2 * margin), np.uint64)
    rows[:] = UNSEEN
    inner = rows[: n_i * n_j].reshape(n_i, n_j, -1)
    inner[..., margin : margin + n_k] = words
    if not skip_unseen:
        inner[..., :margin] = words[..., :1]
        inner[..., margin + n_k :] = words[..., -1:]
    return rows


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _seen_spans(rows: AnyArray) -> AnyArray:
    """Return where the first run of seen words of each row starts and ends, and where the last one ends."""
    spans = np.zeros((len(rows), 3), dtype=np.int64)
    for r in range(len(rows)):
        row = rows[r]
        start = 0
        while start < row.size and row[start] >= UNSEEN:
            start += 1
        end = start
        while end < row.size and row[end] < UNSEEN:
            end += 1
        last = row.size
        while last > end and row[last - 1] >= UNSEEN:
            last -= 1
        spans[r, 0], spans[r, 1], spans[r, 2] = start, end, last
    return spans


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _cost_of_columns(
    images: tuple[AnyArray, ...],
    where: Where,
    way: tuple[int, int, int, FloatArray],
    part: tuple[int, int],
    cost: FloatArray,
) -> None:
    """Fill in the cost of columns of blocks along k: their words are compared in one go for L labels."""
    g, q, every, averages = way
    _, n1, n2, L, _, _ = cost.shape
    side = (g + every - 1) // every
    rows = np.empty((3, side * side, 2), dtype=np.int64)
    groups = np.empty(((L + LABELS - 1) // LABELS, GROUP), dtype=np.int64)
    total = np.empty((len(groups), n2 * g), dtype=np.uint64)
    is_incomplete = np.empty(n2, dtype=np.bool_)
    for b0 in range(part[0], part[1]):
        for b1 in range(n1):
            is_incomplete[:] = False
            column = cost[b0, b1].reshape(n2, L * L, L)
            for label in range(L * L):
                shift = (label // L - L // 2) * q, (label % L - L // 2) * q
                found, here, there = _find_rows((b0 * g, b1 * g), (g, every), shift, where, rows)
                for t in range(len(groups)):
                    # The last three labels may repeat some of those before them.
                    to_first = q * min(3 * t, L - 3)
                    groups[t, 0] = to_first
                    groups[t, 1] = max(here[0], there[0] - to_first)
                    groups[t, 2] = min(here[1], there[1] - to_first - 2 * q)
                    groups[t, 3] = max(here[2], there[2] - to_first - 2 * q)
                    groups[t, 4] = min(here[3], there[3] - to_first)
                lists = rows[0, : found[0]], rows[1, : found[1]], rows[2, : found[2]]
                sum_differences(total, images, lists, groups, q)
                absent = (side * side - found[0]) * g
                _average(total, averages[absent:], is_incomplete, column[:, label])
                if absent > 0:
                    is_incomplete[:] = True
            for b2 in range(n2):
                if is_incomplete[b2]:
                    _fill_unknown(column[b2])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_rows(
    block: tuple[int, int], sampling: tuple[int, int], shift: tuple[int, int], where: Where, rows: AnyArray
) -> tuple[tuple[int, int, int], Span, Span]:
    """Say where the sampled rows of a column of blocks start, and those they are compared with.

    Returns:
        How many pairs of rows have anything to compare, how many of them the next one follows along j in
        both images, and how many are left; between which words all of them are seen and outside of which
        none is, of the fixed image and of the moving one.

    """
    (n_i, n_j, n_k), (count, width), spans, other_spans = where
    here, there = (0, n_k, n_k, 0), (0, width, width, 0)
    found = paired = single = 0
    for x in range(block[0], block[0] + sampling[0], sampling[1]):
        is_waiting = False  # whether the row before is not yet one of two
        for y in range(block[1], block[1] + sampling[0], sampling[1]):
            to_x, to_y = min(max(x + shift[0], 0), n_i - 1), min(max(y + shift[1], 0), n_j - 1)
            is_inside = to_x == x + shift[0] and to_y == y + shift[1]
            row = x * n_j + y
            other = to_x * n_j + to_y if is_inside or count == n_i * n_j else count - 1
            if spans[row, 0] == n_k or other_spans[other, 0] == width:
                continue
            rows[0, found, 0], rows[0, found, 1] = row * n_k, other * width
            here = _narrow(here, spans[row])
            there = _narrow(there, other_spans[other])
            is_second = (
                is_waiting
                and rows[2, single - 1, 0] == (row - sampling[1]) * n_k
                and rows[2, single - 1, 1] == (other - sampling[1]) * width
            )
            if is_second:
                single -= 1
                rows[1, paired] = rows[2, single]
                paired += 1
            else:
                rows[2, single] = rows[0, found]
                single += 1
            is_waiting = not is_second
            found += 1
    return (found, paired, single), here, there


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _narrow(known: Span, row: AnyArray) -> Span:
    """Take one more row into what is seen of all rows and of any."""
    return max(known[0], row[0]), min(known[1], row[1]), min(known[2], row[0]), max(known[3], row[2])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _average(total: AnyArray, averages: FloatArray, is_incomplete: BoolArray, cost: FloatArray) -> None:
    """Sum over the words of each block of a column and write the cost of its L labels."""
    n, L = cost.shape
    g = total.shape[1] // n
    mask, count = np.uint64((1 << FIELD) - 1), np.uint64((1 << COUNT) - 1)
    uncounted = mask - count
    uncounted |= (uncounted << np.uint64(FIELD)) | (uncounted << np.uint64(2 * FIELD))
    for t in range(len(total)):
        first = min(3 * t, L - 3)
        words = total[t]
        for block in range(n):
            z, s = block * g, np.uint64(0)
            if g >= 4:  # most blocks are: four sums are on their way at once
                s = (words[z] + words[z + 1]) + (words[z + 2] + words[z + 3])
                z += 4
            for rest in range(z, block * g + g):
                s += words[rest]
            three = cost[block, first : first + 3]
            if s & uncounted == 0:
                for c in range(3):
                    three[c] = np.float32(np.int64((s >> np.uint64(c * FIELD)) & count)) * averages[0]
                continue
            is_incomplete[block] = True
            for c in range(3):
                field = (s >> np.uint64(c * FIELD)) & mask
                missing = np.int64(field >> np.uint64(COUNT))
                three[c] = np.float32(np.int64(field & count)) * averages[missing]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill_unknown(cost: FloatArray) -> None:
    """Give labels without a cost the mean of the others, or 0 if there is none."""
    # Sums per column of the table: the processor adds them side by side.
    sums = np.zeros(cost.shape[1], dtype=np.float32)
    known = np.zeros(cost.shape[1], dtype=np.float32)
    for r in range(len(cost)):
        row = cost[r]
        for c in range(row.size):
            is_known = row[c] >= 0
            sums[c] += row[c] if is_known else np.float32(0)
            known[c] += np.float32(is_known)
    count = known.sum()
    if count == cost.size:
        return
    mean = sums.sum() / count if count > 0 else np.float32(0)
    for r in range(len(cost)):
        row = cost[r]
        for c in range(row.size):
            row[c] = row[c] if row[c] >= 0 else mean


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mean_distance(fixed: AnyArray, moving: AnyArray) -> float:
    """Return the mean number of different bits of the words of two images, seen or not, 0 … 60."""
    total = np.uint64(0)
    for i in range(fixed.shape[0]):
        for j in range(fixed.shape[1]):
            for k in range(fixed.shape[2]):
                total += count_bits((fixed[i, j, k] ^ moving[i, j, k]) & np.uint64(UNSEEN - 1))
    return total / fixed.size
