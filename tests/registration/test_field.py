"""Displacement fields: where nodes sit, how they are read, composed and warped with."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import map_coordinates

from lymphct.core.arrays import DoubleArray, FloatArray
from lymphct.registration.field import (
    ControlField,
    dense,
    jacobian_determinant,
    lands_on,
    make_consistent,
    resample_nodes,
    sample_field,
    warp,
)

SHAPE = (19, 18, 23)
NODES = (4, 4, 5)


def random_field(seed: int = 0, size: float = 1.0) -> ControlField:
    values = np.random.default_rng(seed).normal(0, size, (3, *NODES)).astype(np.float32)
    return ControlField(values, 4)


def voxels() -> DoubleArray:
    return np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in SHAPE], indexing="ij"))


def image(seed: int = 3) -> FloatArray:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def test_node_i_of_n_sits_at_voxel_i_times_size_over_n() -> None:
    field = random_field()
    scale = np.array(NODES) / np.array(SHAPE)
    at = voxels() * scale[:, None, None, None]
    expected = [map_coordinates(c, at, order=1, mode="nearest") for c in field.displacement]
    assert_allclose(dense(field, SHAPE), expected, atol=1e-5)


def test_points_are_read_like_voxels() -> None:
    field = random_field()
    points = voxels().reshape(3, -1).T
    assert_allclose(sample_field(field, points, SHAPE), dense(field, SHAPE).reshape(3, -1).T, atol=1e-5)


def test_points_beyond_the_outermost_nodes_get_their_displacement() -> None:
    field = random_field()
    outside = np.array([[-5.0, -7.0, -1.0], [100.0, 100.0, 100.0]])
    expected = field.displacement[:, 0, 0, 0], field.displacement[:, -1, -1, -1]
    assert_allclose(sample_field(field, outside, SHAPE), expected)


def test_a_finer_grid_is_read_off_the_coarser_one() -> None:
    line = np.broadcast_to(np.arange(4, dtype=np.float32)[:, None, None], (3, 4, 4, 5))
    finer = resample_nodes(np.ascontiguousarray(line), (8, 4, 5))
    assert_allclose(finer[0, :, 1, 1], [0, 0.5, 1, 1.5, 2, 2.5, 3, 3])
    assert finer.shape == (3, 8, 4, 5)


def test_warping_reads_the_image_where_the_field_points() -> None:
    field, moving = random_field(1, 2.0), image()
    turn = np.eye(4)
    turn[:3] = [[0.99, 0.05, 0.0, -1.0], [-0.04, 1.01, 0.02, 0.5], [0.0, -0.03, 0.98, 0.25]]
    at = np.einsum("ab,bijk->aijk", turn[:3, :3], voxels()) + turn[:3, 3, None, None, None]
    at += dense(field, SHAPE)
    expected = map_coordinates(moving, at, order=1, mode="nearest")
    assert_allclose(warp(moving, field, turn), expected, atol=1e-4)
    inside = np.all([(a >= 0) & (a <= n - 1) for a, n in zip(at, SHAPE, strict=True)], axis=0)
    filled = warp(moving, field, turn, outside=-1024.0)
    assert_allclose(filled[inside], expected[inside], atol=1e-4)
    assert_array_equal(filled[~inside], -1024.0)
    assert 0 < inside.mean() < 1


def test_without_displacement_an_image_stays_exactly_as_it_is() -> None:
    moving = image()
    assert_array_equal(warp(moving, None), moving)


def test_whole_steps_move_voxels_without_interpolation() -> None:
    moving = image()
    step = np.zeros((3, *NODES), dtype=np.float32)
    step[0], step[2] = 2, -3
    warped = warp(moving, ControlField(step, 4))
    assert_array_equal(warped[:-2, :, 3:], moving[2:, :, :-3])


def test_a_voxel_lands_on_a_seen_voxel_or_not() -> None:
    step = np.zeros((3, *NODES), dtype=np.float32)
    step[0] = 2.6
    seen = np.ones(SHAPE, dtype=np.bool_)
    seen[:, :5] = False
    expected = np.zeros(SHAPE, dtype=np.bool_)
    expected[:-3, 5:] = True
    assert_array_equal(lands_on(seen, ControlField(step, 4)), expected)


def test_the_work_may_be_shared_between_threads() -> None:
    field, moving = random_field(), image()
    assert_array_equal(warp(moving, field, threads=2), warp(moving, field))
    assert_array_equal(dense(field, SHAPE, threads=2), dense(field, SHAPE))
    seen = moving > 0
    assert_array_equal(lands_on(seen, field, threads=2), lands_on(seen, field))


def test_opposite_constant_fields_are_consistent_already() -> None:
    forward = np.full((3, 6, 6, 6), 0.75, dtype=np.float32)
    a, b = make_consistent(forward, -forward, 10)
    assert_allclose(a, forward)
    assert_allclose(b, -forward)


def test_one_round_halves_the_difference_to_the_inverse() -> None:
    forward, backward = np.full((3, 6, 6, 6), 1.0, dtype=np.float32), np.zeros((3, 6, 6, 6), dtype=np.float32)
    a, b = make_consistent(forward, backward, 1)
    assert_allclose(a, 0.5)
    assert_allclose(b, -0.5)


def test_rounds_bring_the_fields_closer_to_inverses() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(0, 0.1, (3, *NODES)).astype(np.float32) for _ in range(2))

    def residual(one: FloatArray, other: FloatArray) -> float:
        nodes = np.stack(np.meshgrid(*[np.arange(n) for n in NODES], indexing="ij"))
        carried = [map_coordinates(c, nodes + one, order=1, mode="nearest") for c in other]
        return float(np.abs(one + np.stack(carried)).mean())

    assert residual(*make_consistent(a, b, 10)) < 0.1 * residual(a, b)


@pytest.mark.parametrize(("factor", "expected"), [(0.0, 1.0), (0.5, 1.5 * 1.25), (-2.0, 0.0)])
def test_the_jacobian_of_a_stretch_is_its_change_of_volume(factor: float, expected: float) -> None:
    stretch = np.zeros((3, 5, 6, 7), dtype=np.float32)
    stretch[0] = factor * np.arange(5)[:, None, None]
    stretch[2] = 0.5 * factor * np.arange(7)
    determinant = jacobian_determinant(stretch)
    assert_allclose(determinant, expected, atol=1e-6)


def test_shear_keeps_the_volume_and_a_reflection_folds() -> None:
    shear = np.zeros((3, 5, 6, 7), dtype=np.float32)
    shear[0] = 0.4 * np.arange(6)[:, None]
    assert_allclose(jacobian_determinant(shear), 1.0, atol=1e-6)
    shear[1] = -2.0 * np.arange(6)[:, None]
    assert_allclose(jacobian_determinant(shear), -1.0, atol=1e-5)
