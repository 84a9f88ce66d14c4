"""The cost table against a loop over blocks, labels and voxels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.registration.bits import UNSEEN
from lymphct.registration.cost import data_cost, grid_shape, mean_distance
from lymphct.registration.deeds_settings import Level

SHAPE = (17, 18, 22)
LEVELS = [
    Level(3, 1, 2, 1.6),
    Level(5, 1, 3, 1.6),
    Level(4, 2, 1, 1.6),
    Level(8, 2, 5, 1.0),
    Level(6, 3, 3, 1.6),
]


def random_words(seed: int) -> AnyArray:
    return np.random.default_rng(seed).integers(0, 1 << 60, SHAPE, dtype=np.uint64)


def cost_by_loops(fixed: AnyArray, moving: AnyArray, level: Level, *, skip: bool) -> FloatArray:
    g, q, h = level.spacing, level.step, level.radius
    n = tuple(size // g for size in SHAPE)
    every = 2 if g > 4 else 1
    steps = np.stack(np.meshgrid(*[np.arange(-h, h + 1) * q] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cost = np.zeros((*n, len(steps)))
    for block in np.ndindex(n):
        axes = [np.arange(b * g, b * g + g, e) for b, e in zip(block, (every, every, 1), strict=True)]
        samples = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        unknown = []
        for label, step in enumerate(steps):
            wanted = samples + step
            place = np.clip(wanted, 0, np.array(SHAPE) - 1)
            here, there = fixed[tuple(samples.T)], moving[tuple(place.T)]
            different = np.bitwise_count((here ^ there) & np.uint64(UNSEEN - 1)).astype(float)
            if skip:
                kept = (wanted == place).all(axis=1) & ((here | there) < UNSEEN)
                if 2 * kept.sum() < len(samples):
                    unknown.append(label)
                    continue
                different = different[kept]
            cost[block][label] = 0.5 * g / (level.alpha * q) * different.mean()
        known = np.setdiff1d(np.arange(len(steps)), unknown)
        cost[block][unknown] = cost[block][known].mean() if known.size else 0.0
    return cost.reshape(-1, *(level.labels,) * 3).astype(np.float32)


@pytest.mark.parametrize("level", LEVELS)
def test_cost_is_the_weighted_mean_of_different_bits_over_the_block(level: Level) -> None:
    fixed, moving = random_words(1), random_words(2)
    expected = cost_by_loops(fixed, moving, level, skip=False)
    assert_allclose(data_cost(fixed, moving, level), expected, rtol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_unseen_words_do_not_count_and_labels_that_see_too_little_cost_the_mean(level: Level) -> None:
    fixed, moving = random_words(1), random_words(2)
    moving[10:, :, :9] |= np.uint64(UNSEEN)
    fixed[:, 9:, 16:] |= np.uint64(UNSEEN)
    expected = cost_by_loops(fixed, moving, level, skip=True)
    assert_allclose(data_cost(fixed, moving, level, skip_unseen=True), expected, rtol=1e-5)


def test_an_image_unseen_as_a_whole_tells_nothing() -> None:
    unseen = np.full(SHAPE, UNSEEN, dtype=np.uint64)
    assert_array_equal(data_cost(random_words(1), unseen, LEVELS[0], skip_unseen=True), 0)


def test_costs_do_not_depend_on_the_number_of_threads() -> None:
    words = random_words(1), random_words(2)
    assert_array_equal(data_cost(*words, LEVELS[1], threads=2), data_cost(*words, LEVELS[1]))


def test_what_is_left_of_the_image_is_in_no_block() -> None:
    assert grid_shape((17, 16, 15), 8) == (2, 2, 1)


def test_mean_distance_counts_bits() -> None:
    one = np.zeros((16, 16, 16), dtype=np.uint64)
    other = one.copy()
    other[:8] = 7
    assert mean_distance(one, other) == pytest.approx(1.5)
