import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.arrays import FloatArray
from lymphct.phantom.deformation import (
    LARGEST_SHIFT,
    PIVOT,
    draw_build,
    draw_phase_shift,
    draw_waves,
    positions,
)
from lymphct.phantom.settings import PhantomSettings


@pytest.fixture(scope="module")
def world() -> FloatArray:
    return positions(PhantomSettings(size="nano").grid)


def test_positions_are_those_of_the_grid(world: FloatArray) -> None:
    grid = PhantomSettings(size="nano").grid
    for index in ((0, 0, 0), (63, 2, 47), (10, 20, 30)):
        assert_allclose(world[index], grid.world(index), atol=1e-4)


def test_waves_have_the_standard_deviation_asked_for(world: FloatArray) -> None:
    rng = np.random.default_rng(0)
    values = [draw_waves(rng, sd=3.0, wavelengths=(8, 16)).at(world[::8, ::8, ::8]) for _ in range(60)]
    assert_allclose(np.std(values, axis=(0, 1, 2, 3)), 3.0, rtol=0.15)


def test_builds_scale_by_at_most_eight_percent_and_leave_the_middle_nearly_in_place(
    world: FloatArray,
) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        build = draw_build(rng)
        scales = 1 / np.diag(build.matrix)
        assert (np.abs(scales - 1) <= 0.08 + 1e-9).all()
        middle = np.asarray(PIVOT, dtype=np.float32).reshape(1, 1, 1, 3)
        assert np.abs(build.to_atlas(middle) - middle).max() < 8
    assert build.to_atlas(world).shape == world.shape


def test_the_field_undoes_the_shift(world: FloatArray) -> None:
    shift = draw_phase_shift(np.random.default_rng(3), 5.0, 2.0)
    u = shift.pull_back(world)
    v = shift.push(world + u)
    assert np.abs(u).max() > 1
    assert_allclose(u + v, 0, atol=5e-3)  # arterial(x + u(x)) shows what lies at x + u(x) + v(x + u(x)) = x


def test_nothing_moves_at_the_spine_and_most_in_front_of_it(world: FloatArray) -> None:
    shift = draw_phase_shift(np.random.default_rng(4), 5.0, 0.0)
    v = shift.push(world)
    assert (v[world[..., 1] > 25] == 0).all()
    middle = v[(np.abs(world[..., 0]) < 15) & (np.abs(world[..., 1] + 20) < 10)]
    assert_allclose(middle[:, 2], shift.cranial, rtol=1e-4)
    assert_allclose(v[..., :2], 0, atol=1e-6)


def test_shifts_follow_the_distribution_asked_for() -> None:
    rng = np.random.default_rng(5)
    drawn = [draw_phase_shift(rng, 5.0, 2.0).cranial for _ in range(600)]
    assert_allclose(np.std(drawn), 5.0, rtol=0.1)
    assert max(np.abs(drawn)) <= LARGEST_SHIFT
