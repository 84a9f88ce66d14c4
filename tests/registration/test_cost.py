"""The cost table against a loop over blocks, labels and voxels, however the words are compared."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.registration.chunks import UNSEEN
from lymphct.registration.cost import data_cost, grid_shape, mean_distance
from lymphct.registration.deeds_settings import Level
from lymphct.registration.differences import Layout, best_layout, layouts

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are scripts, not a part of the package

from benchmarks.instruction_sets import without_avx512

SHAPE = (17, 18, 22)
LEVELS = [
    Level(3, 1, 2, 1.6),
    Level(5, 1, 3, 1.6),
    Level(4, 2, 1, 1.6),
    Level(8, 2, 5, 1.0),
    Level(6, 3, 3, 1.6),
]


def random_words(seed: int) -> AnyArray:
    """Return words of twelve levels 0 … 5, each written as that many lowest bits of five."""
    levels = np.random.default_rng(seed).integers(0, 6, (12, *SHAPE))
    codes = ((1 << levels) - 1).astype(np.uint64)
    words: AnyArray = np.sum(codes << (5 * np.arange(12, dtype=np.uint64))[:, None, None, None], axis=0)
    return words


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


def partly_unseen() -> tuple[AnyArray, AnyArray]:
    fixed, moving = random_words(1), random_words(2)
    moving[10:, :, :9] |= np.uint64(UNSEEN)
    fixed[:, 9:, 16:] |= np.uint64(UNSEEN)
    moving[:, 3] |= np.uint64(UNSEEN)
    scattered = np.random.default_rng(3).random((2, *SHAPE)) < 0.1
    fixed[scattered[0]] |= np.uint64(UNSEEN)
    moving[scattered[1]] |= np.uint64(UNSEEN)
    return fixed, moving


@pytest.mark.parametrize("layout", layouts())
@pytest.mark.parametrize("level", LEVELS)
def test_cost_is_the_weighted_mean_of_different_bits_over_the_block(level: Level, layout: Layout) -> None:
    fixed, moving = random_words(1), random_words(2)
    expected = cost_by_loops(fixed, moving, level, skip=False)
    assert_allclose(data_cost(fixed, moving, level, layout=layout), expected, rtol=1e-5)


@pytest.mark.parametrize("layout", layouts())
@pytest.mark.parametrize("level", LEVELS)
def test_unseen_words_do_not_count_and_labels_that_see_too_little_cost_the_mean(
    level: Level, layout: Layout
) -> None:
    fixed, moving = partly_unseen()
    expected = cost_by_loops(fixed, moving, level, skip=True)
    assert_allclose(data_cost(fixed, moving, level, skip_unseen=True, layout=layout), expected, rtol=1e-5)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("level", LEVELS)
def test_every_layout_gives_the_same_bits(level: Level, *, skip: bool) -> None:
    words = partly_unseen() if skip else (random_words(1), random_words(2))
    found = [data_cost(*words, level, skip_unseen=skip, layout=layout) for layout in layouts()]
    for other in found[1:]:
        assert_array_equal(found[0], other)


CHILD = """
import sys
sys.path[:0] = sys.argv[1:3]
from numpy.testing import assert_array_equal
from test_cost import LEVELS, partly_unseen
from lymphct.registration import cost
from lymphct.registration.differences import best_layout
from lymphct.registration.processor import register_bytes
print(best_layout(), register_bytes())
words = partly_unseen()
for level in LEVELS:
    one = cost.data_cost(*words, level, skip_unseen=True, layout="words")
    other = cost.data_cost(*words, level, skip_unseen=True, layout="levels")
    assert_array_equal(one, other)
code = "".join(cost._cost_of_columns.inspect_asm().values())
print("psadbw" in code, "zmm" in code, "vpopcnt" in code, "ymm" in code)
"""


@pytest.mark.slow
@pytest.mark.skipif("levels" not in layouts(), reason="another kind of processor")
@pytest.mark.parametrize(("switched_off", "width"), [((), 32), (("avx", "avx2", "f16c", "fma"), 16)])
def test_narrower_registers_give_the_same_bits(
    switched_off: tuple[str, ...], width: int, tmp_path: Path
) -> None:
    environment = without_avx512()
    features = environment["NUMBA_CPU_FEATURES"].split(",")
    if switched_off:
        environment["NUMBA_CPU_NAME"] = "x86-64"
        features = [f"-{each[1:]}" if each[1:] in switched_off else each for each in features]
    if width == 32 and "+avx2" not in features:  # an old processor has the narrow ones only
        width = 16
    environment["NUMBA_CPU_FEATURES"] = ",".join(features)
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *folders],
        env={**os.environ, **environment, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    chosen, code = done.stdout.splitlines()
    assert chosen == f"levels {width}"
    assert code == f"True False False {width == 32}"


def test_the_layout_follows_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    for features, expected in (
        ({"sse2", "avx2"}, ("levels", "words")),
        ({"sse2", "avx2", "avx512vpopcntdq"}, ("words", "levels")),
        ({"neon"}, ("words",)),
    ):
        monkeypatch.setattr("lymphct.registration.differences.processor_features", lambda f=features: f)
        assert layouts() == expected
        assert best_layout() == expected[0]


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
