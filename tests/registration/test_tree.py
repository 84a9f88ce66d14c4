"""The spanning tree: complete, of largest similarity, and in an order one can walk."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import FloatArray
from lymphct.registration.tree import Tree, edge_weights, spanning_tree


def smooth_noise(shape: tuple[int, int, int], seed: int) -> FloatArray:
    values = np.random.default_rng(seed).normal(size=shape).cumsum(axis=0).cumsum(axis=1)
    return values.astype(np.float32)


@pytest.fixture(params=[(16, 21, 26), (17, 16, 6), (5, 16, 16), (16, 5, 4), (4, 5, 21)])
def image(request: pytest.FixtureRequest) -> FloatArray:
    return smooth_noise(request.param, 1)


def edges_of(image: FloatArray, spacing: int) -> list[tuple[float, int, int]]:
    """All edges, heaviest first, worked out block by block."""
    n = tuple(size // spacing for size in image.shape)
    sd = float(image.std(dtype=np.float64))
    number = np.arange(np.prod(n)).reshape(n)
    edges = []
    for node in np.ndindex(n):
        for axis in range(3):
            other = tuple(b + (a == axis) for a, b in enumerate(node))
            if other[axis] < n[axis]:
                blocks = [
                    image[tuple(slice(b * spacing, (b + 1) * spacing) for b in corner)].astype(np.float64)
                    for corner in (node, other)
                ]
                sad = float(np.abs(blocks[0] - blocks[1]).mean())
                edges.append((float(np.exp(-sad / (2 * sd))), int(number[node]), int(number[other])))
    return sorted(edges, reverse=True)


def kruskal(edges: list[tuple[float, int, int]], count: int) -> float:
    group = list(range(count))
    total = 0.0
    for weight, tail, head in edges:
        if group[tail] != group[head]:
            total += weight
            joined = group[head]
            group = [group[tail] if g == joined else g for g in group]
    return total


def test_the_tree_has_the_largest_total_similarity(image: FloatArray) -> None:
    edges = edges_of(image, 4)
    tree = spanning_tree(image, 4)
    by_ends = {(tail, head): weight for weight, tail, head in edges}
    parents = tree.order[tree.parent[1:]]
    chosen = [
        by_ends[min(a, b), max(a, b)] for a, b in zip(tree.order[1:].tolist(), parents.tolist(), strict=True)
    ]
    assert_allclose(tree.weight[1:], chosen, rtol=1e-5)
    assert sum(chosen) == pytest.approx(kruskal(edges, tree.order.size), rel=1e-6)


def test_places_follow_depth_and_siblings_stand_side_by_side(image: FloatArray) -> None:
    tree = spanning_tree(image, 4)
    n = [size // 4 for size in image.shape]
    assert sorted(tree.order.tolist()) == list(range(int(np.prod(n))))
    assert np.unravel_index(int(tree.order[0]), n) == (n[0] // 2, n[1] // 2, n[2] // 2)
    assert (np.diff(tree.parent) >= 0).all()
    assert tree.parent[0] == -1
    assert tree.weight[0] == 1
    assert_array_equal(tree.depths, depths_by_walking(tree))


def depths_by_walking(tree: Tree) -> list[int]:
    depth = [0]
    for place in range(1, tree.order.size):
        depth.append(depth[tree.parent[place]] + 1)
    assert depth == sorted(depth)
    return [depth.index(d) for d in range(max(depth) + 1)] + [len(depth)]


def test_the_tree_crosses_the_border_of_two_tissues_once() -> None:
    image = np.zeros((24, 24, 24), dtype=np.float32)
    image[12:] = 100
    tree = spanning_tree(image, 4)
    side = tree.order // 36 >= 3
    assert np.count_nonzero(side[1:] != side[tree.parent[1:]]) == 1


def test_edges_along_the_last_axis_compare_each_block_with_the_next() -> None:
    image = np.zeros((16, 16, 16), dtype=np.float32)
    image[..., 8:] = 1
    weights = edge_weights(image, 8)
    assert_allclose(weights[2, :, :, 0], np.exp(-1.0))
    assert_allclose(weights[0, 0], 1.0)
