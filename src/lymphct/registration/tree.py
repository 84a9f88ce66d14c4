"""The tree along which smoothness is asked for: it follows tissue and crosses edges of the image last."""

from dataclasses import dataclass

import numba
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from lymphct.core.arrays import AnyArray, DoubleArray, FloatArray, Index3
from lymphct.registration.cost import grid_shape


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A spanning tree of the control points, in breadth-first order from its root.

    Attributes:
        order: number of the control point (C order) at each place; place 0 is the root.
        parent: place of the parent of each place; -1 for the root. Siblings stand side by side.
        weight: float32, similarity to the parent in (0, 1]; 1 for the root.
        depths: places at which each depth starts, and the number of places.

    """

    order: AnyArray
    parent: AnyArray
    weight: FloatArray
    depths: AnyArray


def spanning_tree(image: FloatArray, spacing: int) -> Tree:
    """Join neighboring control points by the tree of largest total similarity.

    The similarity of two neighbors is exp(-SAD / 2σ): SAD is the mean absolute difference of their blocks,
    σ the standard deviation of the image. The root is the middle of the grid.
    """
    n = grid_shape((image.shape[0], image.shape[1], image.shape[2]), spacing)
    weights = edge_weights(image, spacing)
    number = np.arange(n[0] * n[1] * n[2]).reshape(n)
    tails, heads, similarity = [], [], []
    for axis in range(3):
        own = tuple(slice(0, n[a] - (a == axis)) for a in range(3))
        following = tuple(slice(int(a == axis), n[a]) for a in range(3))
        tails.append(number[own].ravel())
        heads.append(number[following].ravel())
        similarity.append(weights[axis][own].ravel())
    tail, head, w = np.concatenate(tails), np.concatenate(heads), np.concatenate(similarity)
    # Turned round, because the library minimizes; from 1 to 2, because it takes 0 for no edge.
    graph = csr_array((2.0 - w, (tail, head)), shape=(number.size, number.size))
    chosen = minimum_spanning_tree(graph)
    root = int(number[n[0] // 2, n[1] // 2, n[2] // 2])
    order, predecessors = breadth_first_order(chosen, root, directed=False)
    return _arrange(order, predecessors, weights, n)


def edge_weights(image: FloatArray, spacing: int) -> DoubleArray:
    """Return exp(-SAD / 2σ) of each control point and its next neighbor along each axis: (3, n0, n1, n2).

    The last point of an axis has no next one; its entry means nothing.
    """
    n = grid_shape((image.shape[0], image.shape[1], image.shape[2]), spacing)
    sad = np.zeros((3, *n), dtype=np.float64)
    _block_differences(image, spacing, sad)
    sd = np.sqrt(np.mean([plane.var(dtype=np.float64) for plane in image]) + _variance_of_means(image))
    weights: DoubleArray = np.exp(-sad / (2.0 * float(sd)))
    return weights


def _variance_of_means(image: FloatArray) -> float:
    return float(np.var([plane.mean(dtype=np.float64) for plane in image]))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _block_differences(image: FloatArray, g: int, sad: DoubleArray) -> None:
    _, n0, n1, n2 = sad.shape
    count = float(g * g * g)
    row = np.empty((3, n2 * g), dtype=np.float32)
    for b0 in range(n0):
        for b1 in range(n1):
            row[:] = 0
            for x in range(b0 * g, b0 * g + g):
                for y in range(b1 * g, b1 * g + g):
                    here = image[x, y]
                    if b0 + 1 < n0:
                        _add_difference(here, image[x + g, y], row[0])
                    if b1 + 1 < n1:
                        _add_difference(here, image[x, y + g], row[1])
                    _add_difference(here, here[g:], row[2, : (n2 - 1) * g])
            for axis in range(3):
                for b2 in range(n2):
                    total = 0.0
                    for z in range(b2 * g, b2 * g + g):
                        total += row[axis, z]
                    sad[axis, b0, b1, b2] = total / count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_difference(here: FloatArray, there: FloatArray, row: FloatArray) -> None:
    for z in range(row.size):
        row[z] += abs(here[z] - there[z])


def _arrange(order: AnyArray, predecessors: AnyArray, weights: DoubleArray, n: Index3) -> Tree:
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    parents = predecessors[order[1:]]
    parent = np.full(order.size, -1, dtype=np.int64)
    parent[1:] = place[parents]
    lower = np.minimum(order[1:], parents)
    step = np.abs(order[1:] - parents)
    # The step in number tells the axis; ask for the longest first, since an axis may have one node only.
    axis = np.where(step == n[1] * n[2], 0, np.where(step == n[2], 1, 2))
    weight = np.ones(order.size, dtype=np.float32)
    weight[1:] = weights.reshape(3, -1)[axis, lower]
    starts = [0, 1]
    while starts[-1] < order.size:
        # Breadth first: the children of one depth are the next run of places.
        starts.append(int(np.searchsorted(parent, starts[-1], side="left")))
    return Tree(order, parent, weight, np.array(starts, dtype=np.int64))
