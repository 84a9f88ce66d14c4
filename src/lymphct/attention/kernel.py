"""The attention map's inner loops: exact truncated distances, fused with Eq. 1 and Eq. 2.

On the outer ramp of a band the score is clip((reach - distance) / border) with reach = d_max + border. On the
inner ramp it is the same expression, with the distance to the nearest voxel outside and reach = border -
d_min. So one kernel paints both, and no distance beyond `reach` is ever looked for.

The squared distance is separable. Whole steps along j fit into a byte per voxel. Then each plane of
constant j takes the axes i and k in turn, rows of k being the vectors of the processor: the neighbor `n`
steps to the side offers its value plus (n · spacing)², and a row is done when that constant exceeds the
largest value it still holds. Neighbors are taken four at a time on each side: one too many does no harm, for
what it offers is a distance too.
"""

from typing import Final, NamedTuple

import numba
import numpy as np

from lymphct.core.arrays import FloatArray, LabelArray, Vector3

CHUNK: Final = 256
"""At most so many voxels of a row are treated together; they share one early exit."""

SIDES: Final = 4
"""Steps to the side taken at once: the row is read and written once for them."""

FAR: Final = 255
"""Steps along j at which counting stops: the kernel serves reaches of fewer steps only."""

Box = tuple[int, int, int, int, int, int]
"""First and one past the last index along i, then j, then k."""


class Brush(NamedTuple):
    """What is painted.

    Attributes:
        sought: distances go to voxels with one of these labels; repeated to make four.
        inside: distances go to all other voxels instead, and only voxels of `sought` are painted.
        reach: distance at which the score reaches 0, mm.
        border: width of the ramp, mm.

    """

    sought: tuple[int, int, int, int]
    inside: bool
    reach: float
    border: float


class Window(NamedTuple):
    """Where: `source` holds the voxels that distances go to, `target` (which contains it) is painted."""

    source: Box
    target: Box


@numba.njit(cache=True, error_model="numpy")
def find_boxes(labels: LabelArray) -> LabelArray:
    """Return the box of every label, shape (256, 6) in the order of `Box`; an absent one ends at 0."""
    n_i, n_j, n_k = labels.shape
    boxes = np.zeros((256, 6), dtype=np.int64)
    boxes[:, ::2] = max(n_i, n_j, n_k)
    for i in range(n_i):
        for j in range(n_j):
            row = labels[i, j]
            largest = np.uint8(0)
            for k in range(n_k):
                largest = max(largest, row[k])
            if largest == 0:
                continue
            start = 0
            for k in range(1, n_k + 1):
                if k < n_k and row[k] == row[start]:
                    continue
                box = boxes[row[start]]
                box[0], box[1] = min(box[0], i), max(box[1], i + 1)
                box[2], box[3] = min(box[2], j), max(box[3], j + 1)
                box[4], box[5] = min(box[4], start), max(box[5], k)
                start = k
    return boxes


@numba.njit(cache=True, error_model="numpy")
def paint(labels: LabelArray, brush: Brush, window: Window, spacing: Vector3, attention: FloatArray) -> None:
    """Raise `attention` to the scores around the sought labels, or set it to those inside them.

    Args:
        labels: uint8, C order.
        brush: what is painted; `reach` is less than `FAR` voxels along j.
        window: where.
        spacing: mm along i, j, k.
        attention: float32, same shape; written in place.

    """
    i0, i1, j0, j1, k0, k1 = window.target
    first_i, end_i, _, _, first_k, end_k = window.source
    limit = np.float32(brush.reach * brush.reach)
    chunks, width = split_row(end_k - first_k)
    steps = _count_steps(labels, brush, window, chunks * width)
    # Rows that hold the limit surround the plane: a step to the side never leaves it.
    margin = int(brush.reach / spacing[0]) + SIDES
    plane = np.full((chunks, i1 - i0 + 2 * margin, width), limit, dtype=np.float32)
    least = np.full((chunks, i1 - i0 + 2 * margin), limit, dtype=np.float32)
    inner = slice(margin + first_i - i0, margin + end_i - i0)
    # A row of squared distances, with room before and after for the steps to the side.
    pad = int(brush.reach / spacing[2]) + SIDES
    row = np.empty(k1 - k0 + 2 * (pad + CHUNK), dtype=np.float32)
    best = np.empty(CHUNK, dtype=np.float32)
    for j in range(j0, j1):
        is_near = _square_steps(steps[j - j0], spacing[1], limit, plane[:, inner], least[:, inner])
        if not (is_near or brush.inside):
            continue
        for i in range(i0, i1):
            row[:] = limit
            lowest = limit
            at = margin + i - i0, max(first_i - i, i - end_i + 1, 0)
            for c in range(chunks):
                start = pad + first_k - k0 + c * width
                part = row[start : start + width]
                lowest = min(lowest, _step_along_i(plane[c], least[c], at, spacing[0] ** 2, part))
            if lowest >= limit and not brush.inside:
                continue
            for k in range(k0, k1, CHUNK):
                end = min(k + CHUNK, k1)
                part, n = row[k - k0 : end - k0 + 2 * pad], end - k
                here, score = labels[i, j, k:end], attention[i, j, k:end]
                _choose(part[pad : pad + n], here, score, brush, best[:n])
                _step_along_k(part, lowest, spacing[2] ** 2, brush, best[:n])
                _apply_scores(best[:n], here, brush, score)


@numba.njit(cache=True, error_model="numpy")
def split_row(voxels: int) -> tuple[int, int]:
    """Return into how many chunks a row is cut, and how long they are: full vectors, a little more in all."""
    chunks = (voxels + CHUNK - 1) // CHUNK
    return chunks, ((voxels + chunks - 1) // chunks + 15) // 16 * 16


@numba.njit(cache=True, error_model="numpy")
def _count_steps(labels: LabelArray, brush: Brush, window: Window, padded: int) -> LabelArray:
    """Count steps along j to the nearest voxel that distances go to: shape (target j, source i, `padded`)."""
    _, _, j0, j1, _, _ = window.target
    i0, i1, first_j, end_j, k0, k1 = window.source
    a, b = np.uint8(brush.sought[0]), np.uint8(brush.sought[1])
    c, d = np.uint8(brush.sought[2]), np.uint8(brush.sought[3])
    steps = np.full((j1 - j0, i1 - i0, padded), FAR, dtype=np.uint8)
    for i in range(i0, i1):
        for j in range(first_j, j1):
            here = steps[j - j0, i - i0]
            before = steps[max(j - 1 - j0, 0), i - i0]
            for k in range(k1 - k0):
                here[k] = np.uint8(before[k] + np.uint8(before[k] < FAR))
            if j < end_j:
                line = labels[i, j, k0:k1]
                for k in range(k1 - k0):
                    found = (line[k] == a) | (line[k] == b) | (line[k] == c) | (line[k] == d)
                    here[k] = np.uint8(0) if found != brush.inside else here[k]
        for j in range(end_j - 2, j0 - 1, -1):
            here, after = steps[j - j0, i - i0], steps[j + 1 - j0, i - i0]
            for k in range(k1 - k0):
                farther = np.uint8(after[k] + np.uint8(after[k] < FAR))
                here[k] = min(here[k], farther)
    return steps


@numba.njit(cache=True, error_model="numpy")
def _square_steps(
    steps: LabelArray, step: float, limit: np.float32, plane: FloatArray, least: FloatArray
) -> bool:
    """Turn steps into mm², at most `limit`, chunk by chunk; tell whether any value is below it."""
    chunks, n_i, n_k = plane.shape
    per_step = np.float32(step)
    is_near = False
    for c in range(chunks):
        for i in range(n_i):
            counted = steps[i, c * n_k : (c + 1) * n_k]
            fewest = np.uint8(FAR)
            for k in range(n_k):
                distance = np.float32(counted[k]) * per_step
                plane[c, i, k] = min(limit, distance * distance)
                fewest = min(fewest, counted[k])
            distance = np.float32(fewest) * per_step
            least[c, i] = min(limit, distance * distance)
            is_near |= least[c, i] < limit
    return is_near


@numba.njit(cache=True, error_model="numpy")
def _step_along_i(
    plane: FloatArray, least: FloatArray, at: tuple[int, int], weight: float, row: FloatArray
) -> np.float32:
    """Lower `row` (which holds the limit) to the squared distance within the plane; return its minimum.

    `at` is the row's place in the plane, and how many steps to the side the nearest voxel may be.
    """
    place, side = at
    low: np.float32 = row[0]
    top = low
    while np.float32(weight * side * side) < top:
        add = _squares(side, weight)
        left, right = place - side - SIDES + 1, place + side
        nearest = min(_least(least[left : left + SIDES]), _least(least[right : right + SIDES]))
        if nearest + add[0] < top:
            for k in range(row.size):
                one = min(plane[left + 3, k], plane[right, k]) + add[0]
                two = min(plane[left + 2, k], plane[right + 1, k]) + add[1]
                three = min(plane[left + 1, k], plane[right + 2, k]) + add[2]
                four = min(plane[left, k], plane[right + 3, k]) + add[3]
                row[k] = min(row[k], _least((one, two, three, four)))
            low, top = _extremes(row, np.float32(0.0))
        side += SIDES
    return low


@numba.njit(cache=True, error_model="numpy", inline="always")
def _squares(side: int, weight: float) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Return mm² of so many steps to the side, and of one, two and three more."""
    return (
        np.float32(weight * side * side),
        np.float32(weight * (side + 1) * (side + 1)),
        np.float32(weight * (side + 2) * (side + 2)),
        np.float32(weight * (side + 3) * (side + 3)),
    )


@numba.njit(cache=True, error_model="numpy", inline="always")
def _least(four):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - an array or a tuple
    near, far = min(four[0], four[1]), min(four[2], four[3])
    return min(near, far)


@numba.njit(cache=True, error_model="numpy")
def _extremes(values: FloatArray, above: np.float32) -> tuple[np.float32, np.float32]:
    """Return the least value, and the largest of those beyond `above` (0 if none); no value is negative.

    Compared as whole numbers, whose order is the same: these the compiler puts into vectors.
    """
    bits = values.view(np.int32)
    floor = np.float32(above).view(np.int32)
    low, high = bits[0], np.int32(0)
    for k in range(bits.size):
        low = min(low, bits[k])
        high = max(high, bits[k] if bits[k] > floor else np.int32(0))
    return np.int32(low).view(np.float32), np.int32(high).view(np.float32)


@numba.njit(cache=True, error_model="numpy")
def _choose(row: FloatArray, labels: LabelArray, score: FloatArray, brush: Brush, best: FloatArray) -> None:
    """Take the row's values where a score is wanted, and 0, which no step can lower, elsewhere."""
    own = np.uint8(brush.sought[0])
    for k in range(best.size):
        wanted = labels[k] == own if brush.inside else score[k] < np.float32(1.0)
        best[k] = row[k] if wanted else np.float32(0.0)


@numba.njit(cache=True, error_model="numpy")
def _step_along_k(row: FloatArray, lowest: np.float32, weight: float, brush: Brush, best: FloatArray) -> None:
    """Lower `best` to the squared distance in space, or to any value at which the score is 1."""
    n = best.size
    pad = (row.size - n) // 2
    full = np.float32(max(brush.reach - brush.border, 0.0) ** 2)
    _, top = _extremes(best, np.float32(0.0))
    side = 1
    while np.float32(weight * side * side) + lowest < top:
        add = _squares(side, weight)
        left, right = row[pad - side - SIDES + 1 :], row[pad + side :]
        for k in range(n):
            one = min(left[k + 3], right[k]) + add[0]
            two = min(left[k + 2], right[k + 1]) + add[1]
            three = min(left[k + 1], right[k + 2]) + add[2]
            four = min(left[k], right[k + 3]) + add[3]
            best[k] = min(best[k], _least((one, two, three, four)))
        _, top = _extremes(best, full)
        side += SIDES


@numba.njit(cache=True, error_model="numpy")
def _apply_scores(best: FloatArray, labels: LabelArray, brush: Brush, score: FloatArray) -> None:
    """Eq. 1 on the ramp that ends at `reach`; Eq. 2: outside the largest score, inside the own one."""
    own = np.uint8(brush.sought[0])
    reach, per_mm = np.float32(brush.reach), np.float32(1.0 / brush.border)
    zero, one = np.float32(0.0), np.float32(1.0)
    limit = np.float32(brush.reach * brush.reach)
    for k in range(best.size):
        value = (reach - np.sqrt(best[k])) * per_mm
        value = min(one, value)
        # Not left to rounding: beyond the reach the attention is exactly 0.
        value = value if best[k] < limit and value > zero else zero
        if brush.inside:
            score[k] = value if labels[k] == own else score[k]
        else:
            score[k] = max(score[k], value)
