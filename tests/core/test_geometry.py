"""A voxel grid maps indices to positions in the patient and back."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from lymphct.core.arrays import DoubleArray, Index3, Vector3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Direction, Geometry

OBLIQUE: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0))
GRID = Geometry(shape=(12, 10, 9), spacing=(0.68, 0.68, 0.8), origin=(-31.0, 42.0, 105.0), direction=OBLIQUE)


def rotated(angles: Vector3, *, mirrored: bool) -> Direction:
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    x, y, z = (matrix * (1, 1, -1 if mirrored else 1)).tolist()
    return ((x[0], x[1], x[2]), (y[0], y[1], y[2]), (z[0], z[1], z[2]))


def triple(low: float, high: float) -> st.SearchStrategy[Vector3]:
    return st.tuples(*[st.floats(low, high)] * 3)


grids = st.builds(
    lambda shape, spacing, origin, angles, mirrored: Geometry(
        shape=shape, spacing=spacing, origin=origin, direction=rotated(angles, mirrored=mirrored)
    ),
    st.tuples(*[st.integers(1, 600)] * 3),
    triple(0.05, 20),
    triple(-2000, 2000),
    triple(-180, 180),
    st.booleans(),
)


def test_a_position_is_origin_plus_turned_steps() -> None:
    # Two steps along i: 1.36 mm along (0.8, 0.6, 0); three along k: 2.4 mm along (0, 0, -1).
    assert_allclose(GRID.world((2, 0, 3)), (-31 + 1.088, 42 + 0.816, 105 - 2.4))


@given(grids, triple(-700, 700))
def test_an_index_returns_from_its_position(grid: Geometry, index: Vector3) -> None:
    assert_allclose(grid.index(grid.world(index)), index, rtol=0, atol=1e-7)


@given(grids)
def test_the_affine_says_the_same_as_the_grid(grid: Geometry) -> None:
    assert_allclose((grid.affine @ (3, 1, 4, 1))[:3], grid.world((3, 1, 4)), rtol=1e-12, atol=1e-9)
    again = Geometry.from_affine(grid.affine, grid.shape)
    assert again.matches(grid, tolerance_voxels=1e-6)
    assert_allclose(again.spacing, grid.spacing)


def test_many_indices_are_mapped_at_once() -> None:
    indices = np.arange(24).reshape(2, 4, 3)
    assert GRID.world(indices).shape == (2, 4, 3)
    assert_allclose(GRID.world(indices)[1, 2], GRID.world(indices[1, 2]))


def test_sizes_and_volumes_are_in_millimetres() -> None:
    assert_allclose(GRID.size, (8.16, 6.8, 7.2))
    assert GRID.voxel_volume == pytest.approx(0.68 * 0.68 * 0.8)


def test_a_grid_matches_itself_within_the_tolerance_only() -> None:
    near = Geometry.from_affine(GRID.affine + shift(0.004), GRID.shape)
    far = Geometry.from_affine(GRID.affine + shift(0.02), GRID.shape)
    assert GRID.matches(near)
    assert not GRID.matches(far)
    assert GRID.matches(far, tolerance_voxels=0.05)


def shift(millimetres: float) -> DoubleArray:
    matrix = np.zeros((4, 4))
    matrix[0, 3] = millimetres
    return matrix


def test_a_slightly_other_spacing_adds_up_to_another_grid() -> None:
    long = Geometry(shape=(500, 1, 1), spacing=(0.7, 1, 1))
    assert not long.matches(Geometry(shape=(500, 1, 1), spacing=(0.7001, 1, 1)))
    assert not long.matches(Geometry(shape=(499, 1, 1), spacing=(0.7, 1, 1)))


def test_a_crop_keeps_every_voxel_where_it_is() -> None:
    crop = GRID.cropped((-2, 3, 1), (5, 4, 4))
    assert crop.shape == (5, 4, 4)
    assert_allclose(crop.world((3, 2, 0)), GRID.world((1, 5, 1)))


@given(grids, triple(0.05, 20))
def test_another_spacing_covers_the_same_box(grid: Geometry, spacing: Vector3) -> None:
    finer = grid.resampled(spacing)
    assert finer.spacing == spacing
    assert_allclose(finer.world((-0.5, -0.5, -0.5)), grid.world((-0.5, -0.5, -0.5)), rtol=0, atol=1e-6)
    missing = np.abs(np.array(finer.size) - grid.size)
    assert ((missing <= np.array(spacing) / 2 + 1e-9) | (np.array(finer.shape) == 1)).all()


def test_resampling_to_the_same_spacing_changes_nothing() -> None:
    assert GRID.resampled(GRID.spacing).matches(GRID, tolerance_voxels=1e-9)


@pytest.mark.parametrize("shape", [(0, 1, 1), (3, 3, -1)])
def test_a_grid_without_voxels_is_refused(shape: Index3) -> None:
    with pytest.raises(InputError, match="at least one voxel along each axis"):
        Geometry(shape=shape, spacing=(1, 1, 1))


@pytest.mark.parametrize("spacing", [(0.0, 1, 1), (1, -0.5, 1), (1, 1, float("nan")), (float("inf"), 1, 1)])
def test_a_spacing_that_is_no_length_is_refused(spacing: Vector3) -> None:
    with pytest.raises(InputError, match="not positive and finite"):
        Geometry(shape=(1, 1, 1), spacing=spacing)


@pytest.mark.parametrize(
    "direction",
    [
        ((1, 0.1, 0), (0, 1, 0), (0, 0, 1)),
        ((2, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((1, 0, 0), (1, 0, 0), (0, 0, 1)),
        ((float("nan"), 0, 0), (0, 1, 0), (0, 0, 1)),
    ],
)
def test_axes_that_are_not_orthonormal_are_refused(direction: Direction) -> None:
    with pytest.raises(InputError, match="not orthonormal and finite"):
        Geometry(shape=(1, 1, 1), spacing=(1, 1, 1), direction=direction)


def test_an_origin_that_is_nowhere_is_refused() -> None:
    with pytest.raises(InputError, match="not orthonormal and finite"):
        Geometry(shape=(1, 1, 1), spacing=(1, 1, 1), origin=(0, float("inf"), 0))


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([0.0, 1, 1, 1]), "not positive and finite"),
        (np.full((4, 4), np.nan), "not positive and finite"),
        (np.eye(4) + np.eye(4, k=1), "not orthonormal"),
    ],
)
def test_an_affine_that_is_no_grid_is_refused(affine: DoubleArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Geometry.from_affine(affine, (2, 2, 2))


def test_a_left_handed_grid_is_common_and_welcome() -> None:
    assert np.linalg.det(np.asarray(GRID.direction)) == pytest.approx(-1)


def test_a_grid_is_shown_in_one_line_with_the_directions_its_axes_point_to() -> None:
    grid = Geometry(shape=(4, 5, 6), spacing=(0.68, 0.68, 1.25), origin=(-90.5, 11.0, -300.25))
    assert (
        repr(grid) == "Geometry(4×5×6 voxels of 0.68×0.68×1.25 mm, axes LPS, origin (-90.5, 11, -300.25) mm)"
    )
    turned = replace(grid, direction=((0.0, -1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)))
    assert turned.outline.endswith("axes IRA")
    c, s = math.cos(0.3), math.sin(0.3)
    tilted = replace(grid, direction=((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))
    assert tilted.outline.endswith("axes LPS (oblique)")
