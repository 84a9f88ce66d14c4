"""The numbers of the report, against fields whose folding and inverse are known by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.arrays import DoubleArray, FloatArray
from lymphct.core.geometry import Geometry
from lymphct.registration.field import ControlField
from lymphct.registration.quality import Solution, measure
from lymphct.registration.work_grid import WorkPair

N = 24
AFFINE = np.array(
    [[0.0, -1.1, 0.0, 25.0], [1.1, 0.0, 0.0, -2.0], [0.0, 0.0, 1.1, -1.0], [0.0, 0.0, 0.0, 1.0]]
)
"""A quarter turn, 10 % larger along each axis, and a shift."""


def noise(seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(0.0, 100.0, (N, N, N)).astype(np.float32)


def pair(fixed: FloatArray, moving: FloatArray, *, shape: tuple[int, int, int] = (N, N, N)) -> WorkPair:
    everywhere = np.ones(shape, dtype=np.bool_)
    grid = Geometry(shape=shape, spacing=(2.0, 2.0, 2.0))
    return WorkPair(grid=grid, fixed=fixed, moving=moving, valid=everywhere, body=everywhere, overlap=1.0)


def field(values: FloatArray) -> ControlField:
    return ControlField(displacement=values.astype(np.float32), spacing=1)


def solution(
    forward: FloatArray, backward: FloatArray | None = None, affine: DoubleArray | None = None
) -> Solution:
    return Solution(
        forward=field(forward),
        backward=None if backward is None else field(backward),
        affine=np.eye(4) if affine is None else affine,
    )


def still() -> FloatArray:
    return np.zeros((3, 1, 1, 1), dtype=np.float32)


def shift(x: float, y: float, z: float) -> FloatArray:
    return np.array([x, y, z], dtype=np.float32).reshape(3, 1, 1, 1)


def test_a_stretch_along_one_axis_changes_volume_by_its_slope() -> None:
    u = np.zeros((3, N, N, N), dtype=np.float32)
    u[1] = -0.4 * np.arange(N)[None, :, None]
    found = measure(pair(noise(0), noise(1)), solution(u))
    assert_allclose(
        (found.min_jacobian, found.folding_percent, found.sd_log_jacobian), (0.6, 0.0, 0.0), atol=1e-4
    )


def test_folded_planes_are_counted_and_the_spread_of_volumes_is_that_of_the_logarithm() -> None:
    u = np.zeros((3, N, N, N), dtype=np.float32)
    u[0, :6] = -2.0 * np.arange(6)[:, None, None]
    u[0, 6:] = -10.0
    found = measure(pair(noise(0), noise(1)), solution(u))
    # Slope of x + u: -1 in five planes, 0 between the slopes (central difference), 1 in the other 18.
    assert_allclose(found.min_jacobian, -1.0, atol=1e-5)
    assert_allclose(found.folding_percent, 100.0 * 6 / 24, atol=1e-4)
    logarithms = [np.log(1e-3)] * 6 + [0.0] * 18
    assert_allclose(found.sd_log_jacobian, np.std(logarithms), rtol=1e-5)


def test_the_affine_part_counts_as_a_change_of_volume() -> None:
    found = measure(pair(noise(0), noise(1)), solution(still(), affine=AFFINE))
    assert_allclose(found.min_jacobian, 1.1**3, rtol=1e-4)


def test_there_and_back_misses_by_what_the_two_fields_do_not_cancel() -> None:
    found = measure(pair(noise(0), noise(1)), solution(shift(3.0, 0.0, -1.0), shift(-3.0, 2.0, 1.0)))
    assert found.consistency_mean_mm == pytest.approx(2.0 * 2.0)
    assert found.consistency_p95_mm == pytest.approx(2.0 * 2.0)


def test_the_affine_part_is_undone_on_the_way_back() -> None:
    turned = AFFINE[:3, :3] @ np.array([1.0, 2.0, -1.0])
    found = measure(pair(noise(0), noise(1)), solution(shift(*turned), shift(-1.0, -2.0, 1.0), AFFINE))
    assert found.consistency_p95_mm == pytest.approx(0.0, abs=1e-5)


def test_without_a_way_back_consistency_is_not_measured() -> None:
    found = measure(pair(noise(0), noise(1)), solution(still()))
    assert found.consistency_mean_mm is None
    assert found.consistency_p95_mm is None


def test_the_distance_falls_to_nothing_where_the_field_undoes_a_shift() -> None:
    fixed = noise(0)
    moving = np.roll(fixed, (2, -1, 3), axis=(0, 1, 2))
    whole = pair(fixed, moving)
    inner = np.zeros((N, N, N), dtype=np.bool_)
    inner[6:-6, 6:-6, 6:-6] = True
    middle = WorkPair(grid=whole.grid, fixed=fixed, moving=moving, valid=whole.valid, body=inner, overlap=1.0)
    found = measure(middle, solution(shift(2.0, -1.0, 3.0)))
    assert found.distance_after == 0.0
    assert found.distance_before is not None
    assert found.distance_before > 15.0


@pytest.mark.parametrize("shape", [(N, N, 3), (1, 1, 1)])
def test_in_too_few_voxels_no_distance_is_measured(shape: tuple[int, int, int]) -> None:
    values = np.zeros(shape, dtype=np.float32)
    found = measure(pair(values, values, shape=shape), solution(still(), still()))
    assert (found.distance_before, found.distance_after) == (None, None)
    assert (found.min_jacobian, found.folding_percent) == (1.0, 0.0)


def test_where_no_body_is_seen_nothing_is_measured() -> None:
    nowhere = np.zeros((N, N, N), dtype=np.bool_)
    whole = pair(noise(0), noise(1))
    blind = WorkPair(
        grid=whole.grid, fixed=whole.fixed, moving=whole.moving, valid=nowhere, body=whole.body, overlap=0.1
    )
    found = measure(blind, solution(shift(3.0, 0.0, 0.0), still()))
    assert (found.min_jacobian, found.folding_percent, found.sd_log_jacobian) == (1.0, 0.0, 0.0)
    assert (found.consistency_mean_mm, found.distance_before) == (None, None)
