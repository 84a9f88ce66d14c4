"""The cheapest path is cheapest, and ends where it has been in the dark for too long."""

import numpy as np
from numpy.testing import assert_allclose
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from lymphct.imaging.paths import cheapest_paths

SPACING = (0.7, 0.9, 1.5)


def test_costs_are_those_of_an_independent_dijkstra() -> None:
    cost = np.random.default_rng(3).uniform(0.5, 5.0, (6, 5, 4)).astype(np.float32)
    starts = np.zeros(cost.shape, dtype=np.int16)
    starts[0, 0, 0] = 1
    tree = cheapest_paths(cost, starts, SPACING, np.zeros(cost.shape, dtype=bool), 1.0)
    index = np.indices(cost.shape).reshape(3, -1).T
    apart = index[:, None] - index[None]
    near = (np.abs(apart).max(axis=2) == 1).nonzero()
    length = np.linalg.norm(apart[near] * np.asarray(SPACING), axis=1)
    flat = cost.ravel().astype(np.float64)
    weights = 0.5 * (flat[near[0]] + flat[near[1]]) * length
    expected = dijkstra(coo_matrix((weights, near), shape=(flat.size, flat.size)).tocsr(), indices=[0])[0]
    assert_allclose(tree.total.ravel(), expected, rtol=1e-5)
    path = tree.path(flat.size - 1)
    assert path[0].tolist() == [0, 0, 0]
    assert np.abs(np.diff(path, axis=0)).max() == 1


def test_a_way_ends_in_the_dark_and_never_crosses_what_is_closed() -> None:
    cost = np.ones((9, 1, 1), dtype=np.float32)
    starts = np.zeros(cost.shape, dtype=np.int16)
    starts[0] = 2
    dim = np.zeros(cost.shape, dtype=bool)
    dim[3:6] = True
    reached = cheapest_paths(cost, starts, (1.0, 1.0, 1.0), dim, 3.0)
    assert reached.start.ravel().tolist() == [2] * 9
    assert reached.gap.ravel().tolist() == [0, 0, 0, 1, 2, 3, 3, 3, 3]
    ended = cheapest_paths(cost, starts, (1.0, 1.0, 1.0), dim, 2.0)
    assert np.isfinite(ended.total).ravel().tolist() == [True] * 5 + [False] * 4
    cost[2] = np.inf
    assert np.isfinite(cheapest_paths(cost, starts, (1.0, 1.0, 1.0), dim, 9.0).total).sum() == 2
