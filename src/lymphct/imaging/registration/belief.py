"""Exact min-sum belief propagation on a tree with a squared difference between neighbors (DEEDS)."""

import numba
import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.imaging.registration.deeds_settings import Level
from lymphct.imaging.registration.slabs import in_slabs
from lymphct.imaging.registration.tree import Tree


def propagate(
    cost: FloatArray, tree: Tree, displacement: FloatArray, level: Level, *, threads: int = 1
) -> FloatArray:
    """Choose the label of every control point that minimizes data cost and roughness of the total field.

    Neighbors pay the squared difference of their total displacements, in steps of the level. A subtree's
    accumulated cost is multiplied by its weight on the way up, so that it counts less across an edge.

    Args:
        cost: (points, L³) of `data_cost`; becomes the accumulated cost.
        tree: order in which the points depend on each other.
        displacement: (3, n0, n1, n2), voxels; where the labels start from.
        level: label space.
        threads: how many share the work.

    Returns:
        The new displacement, same shape, voxels.

    """
    start = np.ascontiguousarray(displacement.reshape(3, -1).T / np.float32(level.step))
    weight, parent, order = tree.weight, tree.parent, tree.order
    labels = np.empty(order.size, dtype=np.int64)
    first_child = np.searchsorted(parent, np.arange(order.size + 1))
    depths = tree.depths.tolist()
    L = level.labels
    for first, stop in reversed(list(zip(depths[:-2], depths[1:-1], strict=True))):
        in_slabs(
            lambda a, b, at=first: _collect(cost, (order, first_child, weight), start, (at + a, at + b), L),
            stop - first,
            threads,
        )
    labels[0] = _least(cost[order[0]], L)
    for first, stop in zip(depths[1:-1], depths[2:], strict=True):
        in_slabs(
            lambda a, b, at=first: _decide(cost, (order, parent, weight), start, (at + a, at + b), labels),
            stop - first,
            threads,
        )
    by_point = np.empty_like(labels)
    by_point[order] = labels
    steps = np.stack(np.unravel_index(by_point, (L, L, L))) - level.radius
    result: FloatArray = displacement + (steps * level.step).astype(np.float32).reshape(displacement.shape)
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _collect(
    cost: FloatArray,
    tree: tuple[AnyArray, AnyArray, FloatArray],
    start: FloatArray,
    part: tuple[int, int],
    L: int,
) -> None:
    """Add to each parent of a part what its children's subtrees cost at best, for each of its labels."""
    order, first_child, weight = tree
    a = np.empty(L * L * L, dtype=np.float32)
    b = np.empty(L * L * L, dtype=np.float32)
    for place in range(part[0], part[1]):
        own = cost[order[place]]
        for child in range(first_child[place], first_child[place + 1]):
            source, w = cost[order[child]], weight[child]
            for label in range(a.size):
                a[label] = w * source[label]
            shift = start[order[place]] - start[order[child]]
            _min_plus(a, shift[0], L, b)
            _min_plus(b, shift[1], L, a)
            _min_plus(a, shift[2], L, b)
            least = b.min()
            for label in range(b.size):
                own[label] += b[label] - least


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _min_plus(source: FloatArray, shift: float, L: int, target: FloatArray) -> None:
    """min over j of source[j, k] + (i - j + shift)², stored at [k, i]: three passes restore the axes."""
    n = L * L
    best = np.empty(n, dtype=np.float32)
    for i in range(L):
        best[:] = np.inf
        for j in range(L):
            price = np.float32((i - j + shift) ** 2)
            row = source[j * n : j * n + n]
            for k in range(n):
                best[k] = min(best[k], row[k] + price)
        for k in range(n):
            target[k * L + i] = best[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _least(values: FloatArray, L: int) -> int:
    """Return the label of least cost; staying in place wins a tie."""
    best = (L * L * L) // 2
    for label in range(values.size):
        if values[label] < values[best]:
            best = label
    return best


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
    L = round(cost.shape[1] ** (1 / 3))
    price = np.empty((3, L), dtype=np.float32)
    values = np.empty(cost.shape[1], dtype=np.float32)
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
                first = (j0 * L + j1) * L
                for j2 in range(L):
                    values[first + j2] = w * own[first + j2] + (both + price[2, j2])
        labels[place] = _least(values, L)
