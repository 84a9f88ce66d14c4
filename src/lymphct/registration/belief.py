"""Exact min-sum belief propagation on a tree with a squared difference between neighbors (DEEDS)."""

from itertools import pairwise

import numba
import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.registration.deeds_settings import Level
from lymphct.registration.slabs import Work, sharing
from lymphct.registration.tree import Tree


def propagate(
    cost: FloatArray, tree: Tree, displacement: FloatArray, level: Level, *, threads: int = 1
) -> FloatArray:
    """Choose the label of every control point that minimizes data cost and roughness of the total field.

    Neighbors pay the squared difference of their total displacements, in steps of the level. A subtree's
    accumulated cost is multiplied by its weight on the way up, so that it counts less across an edge.

    Args:
        cost: of `data_cost`, (points, L, L, L); becomes the accumulated cost.
        tree: order in which the points depend on each other.
        displacement: (3, n0, n1, n2), voxels; where the labels start from.
        level: label space.
        threads: how many share the work.

    Returns:
        The new displacement, same shape, voxels.

    """
    start = np.ascontiguousarray(displacement.reshape(3, -1).T / np.float32(level.step))
    first_child = np.searchsorted(tree.parent, np.arange(tree.order.size + 1))
    labels = np.empty(tree.order.size, dtype=np.int64)
    depths = list(pairwise(tree.depths.tolist()))

    # Threads share the parents of one depth on the way up, the children on the way down: each writes to its
    # own points only.
    def collect(first: int) -> Work:
        way = tree.order, first_child, tree.weight
        return lambda a, b: _collect(cost, way, start, first + a, first + b)

    def decide(first: int) -> Work:
        way = tree.order, tree.parent, tree.weight
        return lambda a, b: _decide(cost, way, start, (first + a, first + b), labels)

    with sharing(threads) as share:
        for first, stop in reversed(depths[:-1]):
            share(collect(first), stop - first)
        labels[0] = _choose(cost[tree.order[0]].ravel(), np.empty(level.labels**2, dtype=np.float32))
        for first, stop in depths[1:]:
            share(decide(first), stop - first)
    by_point = np.empty_like(labels)
    by_point[tree.order] = labels
    steps = np.stack(np.unravel_index(by_point, cost.shape[1:])) - level.radius
    chosen: FloatArray = displacement + (steps * level.step).astype(np.float32).reshape(displacement.shape)
    return chosen


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _collect(
    cost: FloatArray, tree: tuple[AnyArray, AnyArray, FloatArray], start: FloatArray, first: int, stop: int
) -> None:
    """Add to each of some parents what its children's subtrees cost at best, for each of its labels."""
    order, first_child, weight = tree
    L = cost.shape[1]
    a, b = np.empty(L**3, dtype=np.float32), np.empty(L**3, dtype=np.float32)
    best = np.empty(L * L, dtype=np.float32)
    for place in range(first, stop):
        own = cost[order[place]].reshape(L**3)
        for child in range(first_child[place], first_child[place + 1]):
            source, w = cost[order[child]].reshape(L**3), weight[child]
            for label in range(a.size):
                a[label] = w * source[label]
            shift = start[order[place]] - start[order[child]]
            _min_plus(a, shift[0], L, best, b)
            _min_plus(b, shift[1], L, best, a)
            _min_plus(a, shift[2], L, best, b)
            least = _least(b, best)
            for label in range(b.size):
                own[label] += b[label] - least


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _min_plus(source: FloatArray, shift: float, L: int, best: FloatArray, target: FloatArray) -> None:
    """Minimize source[j, k] + (i - j + shift)² over j and store it at [k, i]: three passes restore the axes.

    All pairs are tried: with so few labels that is quicker than the lower envelope of parabolas, since four j
    at a time run along k as vectors.
    """
    n = L * L
    for i in range(L):
        price = np.float32((i + shift) ** 2)
        for k in range(n):
            best[k] = source[k] + price
        for j in range(1, L, 4):
            # The last four may repeat some label.
            j1, j2, j3 = min(j + 1, L - 1), min(j + 2, L - 1), min(j + 3, L - 1)
            price0, price1 = np.float32((i - j + shift) ** 2), np.float32((i - j1 + shift) ** 2)
            price2, price3 = np.float32((i - j2 + shift) ** 2), np.float32((i - j3 + shift) ** 2)
            row0, row1 = source[j * n : j * n + n], source[j1 * n : j1 * n + n]
            row2, row3 = source[j2 * n : j2 * n + n], source[j3 * n : j3 * n + n]
            for k in range(n):
                low = min(row0[k] + price0, row1[k] + price1)
                high = min(row2[k] + price2, row3[k] + price3)
                best[k] = min(best[k], low, high)
        for k in range(n):
            target[k * L + i] = best[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _least(values: FloatArray, best: FloatArray) -> float:
    """Return the least of the values; `best` is room to search many places side by side."""
    n = best.size
    for k in range(n):
        best[k] = values[k]
    for start in range(n, values.size, n):
        row = values[start : start + n]
        for k in range(n):
            best[k] = min(best[k], row[k])
    least: float = best[0]
    for k in range(1, n):
        least = min(least, best[k])
    return least


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _choose(values: FloatArray, best: FloatArray) -> int:
    """Return the label of least cost; staying in place wins a tie, then the first label."""
    least = _least(values, best)
    label = values.size // 2
    if values[label] == least:
        return label
    label = 0
    while values[label] != least:
        label += 1
    return label


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _decide(
    cost: FloatArray,
    tree: tuple[AnyArray, AnyArray, FloatArray],
    start: FloatArray,
    part: tuple[int, int],
    labels: AnyArray,
) -> None:
    """Choose the label of each point of a part, given its parent's."""
    order, parent, weight = tree
    L = cost.shape[1]
    price = np.empty((3, L), dtype=np.float32)
    values, best = np.empty(L**3, dtype=np.float32), np.empty(L * L, dtype=np.float32)
    for place in range(part[0], part[1]):
        above = labels[parent[place]]
        shift = start[order[parent[place]]] - start[order[place]]
        at = (above // (L * L), above // L % L, above % L)
        for j in range(L):
            price[0, j] = (at[0] - j + shift[0]) ** 2
            price[1, j] = (at[1] - j + shift[1]) ** 2
            price[2, j] = (at[2] - j + shift[2]) ** 2
        own, w = cost[order[place]], weight[place]
        for j0 in range(L):
            for j1 in range(L):
                both = price[0, j0] + price[1, j1]
                row, chosen = own[j0, j1], values[(j0 * L + j1) * L :]
                for j2 in range(L):
                    chosen[j2] = w * row[j2] + (both + price[2, j2])
        labels[place] = _choose(values, best)
