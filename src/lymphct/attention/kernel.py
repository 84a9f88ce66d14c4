"""The attention map's inner loops: exact truncated distances, fused with Eq. 1 and Eq. 2.

On the outer ramp of a band the score is clip((reach - distance) / border) with reach = d_max + border. On the
inner ramp it is the same expression, with the distance to the nearest voxel outside and reach = border -
d_min. So one kernel paints both, and no distance beyond `reach` is ever looked for.

The squared distance is separable. Whole steps along j fit into a byte per voxel. Then each plane of
constant j takes the axes i and k in turn, rows of k being the vectors of the processor: the neighbor `n`
steps to the side offers its value plus (n · spacing)², and a row is done when that constant exceeds the
largest value it still holds.
"""

from typing import Final, NamedTuple

import numba
import numpy as np

from lymphct.core.arrays import FloatArray, LabelArray, Vector3

CHUNK: Final = 64
"""Voxels of a row that are treated together; they share one early exit."""

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
    chunks = (end_k - first_k + CHUNK - 1) // CHUNK
    steps = _count_steps(labels, brush, window, chunks * CHUNK)
    plane = np.empty((chunks, end_i - first_i, CHUNK), dtype=np.float32)
    least = np.empty((chunks, end_i - first_i), dtype=np.float32)
    # A row of squared distances, with room before and after for the steps to the side.
    pad = int(brush.reach / spacing[2]) + 1
    row = np.empty(k1 - k0 + 2 * (pad + CHUNK), dtype=np.float32)
    best = np.empty(CHUNK, dtype=np.float32)
    for j in range(j0, j1):
        is_near = _square_steps(steps[j - j0], spacing[1], limit, plane, least)
        if not (is_near or brush.inside):
            continue
        for i in range(i0, i1):
            row[:] = limit
            lowest = limit
            for c in range(chunks):
                start = pad + first_k - k0 + c * CHUNK
                part = row[start : start + CHUNK]
                lowest = min(lowest, _step_along_i(plane[c], least[c], i - first_i, spacing[0] ** 2, part))
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
    chunks, n_i, _ = plane.shape
    width = np.float32(step)
    is_near = False
    for c in range(chunks):
        for i in range(n_i):
            counted = steps[i, c * CHUNK : (c + 1) * CHUNK]
            low = limit
            for k in range(CHUNK):
                distance = np.float32(counted[k]) * width
                squared = distance * distance
                squared = min(limit, squared)
                plane[c, i, k] = squared
                low = min(low, squared)
            least[c, i] = low
            if low < limit:
                is_near = True
    return is_near


@numba.njit(cache=True, error_model="numpy")
def _step_along_i(
    plane: FloatArray, least: FloatArray, at: int, weight: float, row: FloatArray
) -> np.float32:
    """Lower `row` (which holds the limit) to the squared distance within the plane; return its minimum.

    `at` is the row's place in the plane and may lie before or behind it.
    """
    n = plane.shape[0]
    top = row[0]
    side = max(-at, at - n + 1, 0) - 1
    while True:
        side += 1
        add = np.float32(weight * side * side)
        left, right = at - side, at + side
        if add >= top or (left < 0 and right >= n):
            break
        use_left = 0 <= left < n and least[left] + add < top
        use_right = 0 <= right < n and least[right] + add < top
        if use_left and use_right:
            for k in range(CHUNK):
                offer = min(plane[right, k], plane[left, k])
                row[k] = min(row[k], offer + add)
        elif use_left or use_right:
            used = left if use_left else right
            for k in range(CHUNK):
                offer = plane[used, k] + add
                row[k] = min(row[k], offer)
        if side & 3 == 0:
            top = np.float32(0.0)
            for k in range(CHUNK):
                top = max(top, row[k])
    low: np.float32 = row[0]
    for k in range(CHUNK):
        low = min(low, row[k])
    return low


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
    top = np.float32(0.0)
    for k in range(n):
        top = max(top, best[k])
    side = 1
    while np.float32(weight * side * side) + lowest < top:
        add = np.float32(weight * side * side)
        left, right = row[pad - side : pad - side + n], row[pad + side : pad + side + n]
        for k in range(n):
            offer = (min(right[k], left[k])) + add
            best[k] = min(best[k], offer)
        if side & 3 == 0:
            top = np.float32(0.0)
            for k in range(n):
                unfinished = best[k] if best[k] > full else np.float32(0.0)
                top = max(top, unfinished)
        side += 1


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
