"""The work grid: isotropic, on the fixed image's own axes, around the body, no larger than can be reached."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from lymphct.core.arrays import BoolArray, Index3, Vector3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.body import body_mask
from lymphct.registration import work_grid
from lymphct.registration.work_grid import AIR, require_registrable, work_pair

OBLIQUE: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0))
"""Turned about the cranio-caudal axis by 37 degrees and mirrored: determinant -1."""


def ball(
    shape: Index3 = (60, 50, 40),
    spacing: Vector3 = (1.5, 1.8, 2.5),
    *,
    direction: Direction = OBLIQUE,
    middle: Vector3 = (10.0, -20.0, 30.0),
    radius: float = 30.0,
) -> Volume:
    """A ball of tissue with a gradient in air; `middle` is the center of ball and grid, mm."""
    half = np.asarray(direction) @ ((np.asarray(shape) - 1) / 2 * np.asarray(spacing))
    x, y, z = (np.asarray(middle) - half).tolist()
    grid = Geometry(shape=shape, spacing=spacing, origin=(x, y, z), direction=direction)
    world = grid.world(np.moveaxis(np.indices(shape), 0, -1))
    inside = np.linalg.norm(world - np.asarray(middle), axis=-1) < radius
    values = np.where(inside, 40.0 + world[..., 2], -1000.0)
    return Volume(array=values.astype(np.int16), geometry=grid)


def at(volume: Volume, shift: Vector3) -> Volume:
    x, y, z = np.add(volume.geometry.origin, shift).tolist()
    grid = volume.geometry
    moved = Geometry(shape=grid.shape, spacing=grid.spacing, origin=(x, y, z), direction=grid.direction)
    return Volume(array=volume.array, geometry=moved)


def test_the_grid_keeps_the_fixed_axes_is_isotropic_and_closely_around_the_body() -> None:
    pair = work_pair(ball(), ball(), 2.0)
    assert pair.grid.spacing == (2.0, 2.0, 2.0)
    assert pair.grid.direction == OBLIQUE
    assert_allclose(pair.grid.size, 60.0 + 20.0, atol=9.0)
    middle = pair.grid.world((np.asarray(pair.grid.shape) - 1) / 2)
    assert_allclose(middle, (10.0, -20.0, 30.0), atol=3.0)
    assert pair.overlap == 1.0
    assert pair.valid.all()


def test_its_voxels_lie_on_the_lattice_of_the_resampled_fixed_image() -> None:
    whole = ball().geometry.resampled((2.0, 2.0, 2.0))
    start = whole.index(work_pair(ball(), ball(), 2.0).grid.origin)
    assert_allclose(start, np.rint(start), atol=1e-6)
    assert start.min() > 0.5


def test_images_of_other_grids_show_the_same_place() -> None:
    moving = ball(
        (50, 60, 70), (2.0, 1.6, 1.4), direction=((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    )
    pair = work_pair(ball(), moving, 2.0)
    inner = np.linalg.norm(
        pair.grid.world(np.moveaxis(np.indices(pair.grid.shape), 0, -1)) - (10, -20, 30), axis=-1
    )
    assert_allclose(pair.moving[inner < 25], pair.fixed[inner < 25], atol=1.0)
    assert pair.body[inner < 27].all()
    assert not pair.body[inner > 34].any()


def test_outside_the_moving_field_of_view_lies_air_that_is_not_valid() -> None:
    upright = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    moving = ball((30, 30, 40), (2.0, 2.0, 2.5), direction=upright, radius=45.0)
    pair = work_pair(ball(radius=45.0), moving, 2.0)
    assert 0.5 < pair.overlap < 0.99
    assert 0.3 < pair.valid.mean() < 0.9
    assert_array_equal(pair.moving[~pair.valid & ~near(pair.valid)], AIR)
    assert pair.measured.any()
    assert not pair.measured[~pair.valid].any()


def near(mask: BoolArray) -> BoolArray:
    """Voxels whose sub-samples may reach into the mask."""
    grown: BoolArray = ndimage.binary_dilation(mask)
    return grown


def test_what_the_moving_image_cannot_reach_is_left_out() -> None:
    slab = ball((60, 50, 20))
    whole = ball((60, 50, 80), radius=95.0)
    pair = work_pair(whole, slab, 2.0)
    assert 48.0 <= pair.grid.size[2] <= 50.0 + 2 * 4.0
    assert pair.overlap < 0.4


def test_a_coarse_grid_averages_the_noise_of_a_fine_image() -> None:
    rng = np.random.default_rng(0)
    grid = Geometry(shape=(60, 60, 40), spacing=(0.9, 0.9, 3.0), direction=OBLIQUE)
    noise = Volume(array=rng.normal(0.0, 100.0, grid.shape).astype(np.float32), geometry=grid)
    deviations = []
    for spacing in (1.6, 1.9):
        pair = work_pair(noise, noise, spacing)
        deviations.append(pair.fixed[pair.valid].std())
    assert deviations[1] < 0.7 * deviations[0]


def test_averaging_keeps_a_slope_in_place() -> None:
    fine = ball((120, 100, 80), (0.75, 0.9, 1.25))
    pair = work_pair(fine, fine, 2.0)
    world = pair.grid.world(np.moveaxis(np.indices(pair.grid.shape), 0, -1))
    inner = np.linalg.norm(world - (10.0, -20.0, 30.0), axis=-1) < 25
    assert_allclose(pair.fixed[inner], 40.0 + world[..., 2][inner], atol=0.8)


def test_the_body_of_a_displaced_moving_image_stays_inside() -> None:
    apart = (16.0, 12.0, 0.0)  # along the first axis of the fixed grid
    pair = work_pair(ball((90, 50, 40)), at(ball((90, 50, 40)), apart), 2.0)
    assert pair.grid.size[0] >= 60.0 + 20.0 + 10.0


def test_images_without_air_are_body_throughout() -> None:
    volume = ball()
    inverted = volume.with_array((volume.array // 4).astype(np.int16))
    pair = work_pair(inverted, inverted, 3.0)
    assert pair.body.all()
    assert_allclose(pair.grid.size, volume.geometry.size, atol=3.0)


def test_the_largest_region_is_the_body_and_specks_are_not() -> None:
    image = np.full((20, 20, 20), -1000.0, dtype=np.float32)
    assert body_mask(image).all()
    image[1, 1, 1] = 500.0
    assert body_mask(image).all()
    image[5:12, 5:12, 5:12] = 30.0
    assert int(body_mask(image).sum()) == 7**3


def test_images_apart_are_refused() -> None:
    with pytest.raises(InputError, match="no common region") as caught:
        work_pair(ball(), at(ball(), (0.0, 0.0, 300.0)), 2.0)
    assert caught.value.code == "E_OVERLAP"
    assert caught.value.exit_code == 3


def test_values_that_are_not_finite_are_refused() -> None:
    values = ball().array.astype(np.float32)
    values[3, 4, 5] = np.nan
    with pytest.raises(InputError, match="the moving image holds values that are not finite"):
        work_pair(ball(), ball().with_array(values), 2.0)


def test_a_grid_beyond_the_limit_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = Geometry(shape=(900, 900, 700), spacing=(20.0, 20.0, 20.0))
    nothing = Volume(array=np.broadcast_to(np.int16(0), huge.shape), geometry=huge)
    with pytest.raises(InputError, match=r"registration would have .* voxels \(limit 3.2e\+07\)"):
        work_pair(nothing, nothing, 2.0)
    monkeypatch.setattr(work_grid, "MOST_VOXELS", 40_000)
    with pytest.raises(InputError, match="use a larger spacing"):
        work_pair(ball(), ball(), 2.0)


def test_three_slices_are_too_few() -> None:
    thin = ball((60, 50, 3))
    pair = work_pair(ball(), thin, 2.0)
    with pytest.raises(InputError, match=r"the moving image has 60×50×3 voxels, too few to register"):
        require_registrable(ball(), thin, pair)


def test_too_little_in_common_is_refused() -> None:
    small = ball((12, 12, 12), (2.0, 2.0, 2.0), radius=8.0)
    pair = work_pair(small, small, 2.0)
    with pytest.raises(InputError, match=r"only 12×12×12 voxels of 2 mm in common"):
        require_registrable(small, small, pair)


def test_a_constant_image_is_refused() -> None:
    flat = ball().with_array(np.full(ball().geometry.shape, 40, dtype=np.int16))
    pair = work_pair(ball(), flat, 2.0)
    with pytest.raises(InputError, match=r"the moving image shows nothing to register: .* are 40"):
        require_registrable(ball(), flat, pair)
    beside = work_pair(ball(), at(ball(radius=11.0), (0.0, 0.0, 65.0)), 2.0)
    with pytest.raises(InputError, match="all voxels in common are -1000"):
        require_registrable(ball(), ball(), beside)
