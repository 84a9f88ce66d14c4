"""Belief propagation against trying all combinations of labels."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.registration.belief import propagate
from lymphct.registration.deeds_settings import Level
from lymphct.registration.tree import Tree, spanning_tree

LEVEL = Level(8, 1, 2, 1.6)


def case(
    seed: int, shape: tuple[int, int, int] = (16, 16, 16), labels: int = 3
) -> tuple[FloatArray, Tree, FloatArray]:
    rng = np.random.default_rng(seed)
    tree = spanning_tree(rng.normal(size=shape).astype(np.float32), 8)
    n = [size // 8 for size in shape]
    cost = rng.uniform(0, 3, (tree.order.size, labels, labels, labels)).astype(np.float32)
    return cost, tree, rng.normal(0, 1.5, (3, *n)).astype(np.float32)


def steps_of(labels: int) -> AnyArray:
    return np.stack(np.unravel_index(np.arange(labels**3), (labels,) * 3), axis=-1) - labels // 2


def energies(cost: FloatArray, tree: Tree, total: AnyArray, choice: AnyArray) -> AnyArray:
    """Energy of many choices at once: (choices, places) labels; total (points, labels, 3) in steps.

    The share of a subtree in its parent's cost is damped by the weight of the edge to it.
    """
    count = tree.order.size
    damping = np.ones(count)
    for place in range(1, count):
        damping[place] = damping[tree.parent[place]] * tree.weight[place]
    energy = np.zeros(len(choice))
    flat = cost.reshape(count, -1).astype(np.float64)
    for place in range(count):
        point, label = tree.order[place], choice[:, place]
        energy += damping[place] * flat[point, label]
        if place:
            above = tree.parent[place]
            apart = total[point, label] - total[tree.order[above], choice[:, above]]
            energy += damping[above] * (apart**2).sum(axis=-1)
    return energy


@pytest.mark.parametrize("seed", range(8))
def test_no_combination_of_labels_costs_less(seed: int) -> None:
    cost, tree, start = case(seed)
    rng = np.random.default_rng(seed + 100)
    # All 27 labels at 8 points are too many to try; three of them tempt, the others cost more than they save.
    tempting = np.stack([rng.choice(27, 3, replace=False) for _ in range(8)])
    high = cost.reshape(8, 27) + 1000
    for point in range(8):
        high[point, tempting[point]] -= 1000
    cost = high.reshape(cost.shape)
    total = start.reshape(3, -1).T[:, None] / LEVEL.step + steps_of(3)
    choice = np.array(list(itertools.product(*[tempting[point].tolist() for point in tree.order])))
    best = choice[energies(cost, tree, total, choice).argmin()]
    found = propagate(cost.copy(), tree, start, LEVEL)
    expected = np.empty((8, 3))
    expected[tree.order] = [
        total[point, label] * LEVEL.step for point, label in zip(tree.order, best, strict=True)
    ]
    assert_allclose(found.reshape(3, -1).T, expected, atol=1e-5)


def by_recursion(cost: FloatArray, tree: Tree, total: AnyArray) -> AnyArray:
    """The same messages as the package, over all labels of a pair at once."""
    count = tree.order.size
    table = cost.reshape(count, -1).astype(np.float64)
    rough = {
        place: ((total[tree.order[tree.parent[place]]][:, None] - total[tree.order[place]][None]) ** 2).sum(
            -1
        )
        for place in range(1, count)
    }
    for place in range(count - 1, 0, -1):
        message = (tree.weight[place] * table[tree.order[place]] + rough[place]).min(axis=1)
        table[tree.order[tree.parent[place]]] += message - message.min()
    labels = np.empty(count, dtype=int)
    labels[0] = table[tree.order[0]].argmin()
    for place in range(1, count):
        pair = tree.weight[place] * table[tree.order[place]] + rough[place][labels[tree.parent[place]]]
        labels[place] = pair.argmin()
    return labels


@pytest.mark.parametrize(("labels", "step"), [(3, 1), (5, 2), (7, 3)])
def test_every_label_may_win_on_a_larger_tree(labels: int, step: int) -> None:
    cost, tree, start = case(3, (25, 33, 24), labels)
    total = start.reshape(3, -1).T[:, None] / step + steps_of(labels)
    best = by_recursion(cost, tree, total)
    found = propagate(cost.copy(), tree, start, Level(8, labels // 2, step, 1.6))
    expected = np.empty((tree.order.size, 3))
    expected[tree.order] = total[tree.order, best] * step
    assert_allclose(found.reshape(3, -1).T, expected, atol=1e-4)


def test_nothing_moves_where_nothing_is_gained() -> None:
    cost, tree, _ = case(5)
    start = np.zeros((3, 2, 2, 2), dtype=np.float32)
    assert_array_equal(propagate(np.zeros_like(cost), tree, start, LEVEL), 0)


def test_the_choice_does_not_depend_on_the_number_of_threads() -> None:
    cost, tree, start = case(6, (40, 41, 42), 5)
    level = Level(8, 2, 2, 1.6)
    one, two = (propagate(cost.copy(), tree, start, level, threads=threads) for threads in (1, 2))
    assert_array_equal(one, two)
