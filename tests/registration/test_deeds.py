"""DEEDS between arrays: what it must find exactly, nearly, and refuse."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.ndimage import gaussian_filter

from lymphct.core.arrays import FloatArray
from lymphct.core.errors import InputError
from lymphct.registration.deeds import deeds
from lymphct.registration.deeds_settings import DeedsSettings
from lymphct.registration.field import dense, warp

SHAPE = (52, 47, 58)
SHIFT = (3, -5, 7)
SMALL = DeedsSettings(grid_spacing=(6, 4), search_radius=(4, 3), step=(2, 1))


def texture(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> FloatArray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return (gaussian_filter(noise, 1.5) * 3000).astype(np.float32)


def shifted_pair(margin: int = 8) -> tuple[FloatArray, FloatArray]:
    """Cut two windows out of one image: fixed(x) = moving(x + SHIFT)."""
    large = texture((SHAPE[0] + 2 * margin, SHAPE[1] + 2 * margin, SHAPE[2] + 2 * margin))
    inner = tuple(slice(margin, margin + n) for n in SHAPE)
    beside = tuple(slice(margin + s, margin + s + n) for n, s in zip(SHAPE, SHIFT, strict=True))
    return large[beside].copy(), large[inner].copy()


@pytest.mark.parametrize("field_of_view_rule", [False, True])
def test_an_image_registered_to_itself_does_not_move(*, field_of_view_rule: bool) -> None:
    image = texture()
    result = deeds(image, image, DeedsSettings(field_of_view_rule=field_of_view_rule))
    assert_array_equal(result.forward.displacement, 0)
    assert_array_equal(result.backward.displacement, 0)
    assert_array_equal(result.affine, np.eye(4))
    assert result.distance_before == result.distance_after == 0


@pytest.mark.parametrize("field_of_view_rule", [False, True])
def test_a_shift_by_whole_voxels_is_recovered(*, field_of_view_rule: bool) -> None:
    fixed, moving = shifted_pair()
    result = deeds(fixed, moving, DeedsSettings(field_of_view_rule=field_of_view_rule))
    inner = (slice(None), *(slice(12, n - 12) for n in SHAPE))
    for field, sign in ((result.forward, 1), (result.backward, -1)):
        error = dense(field, SHAPE) - sign * np.array(SHIFT, dtype=np.float32)[:, None, None, None]
        assert np.linalg.norm(error[inner], axis=0).mean() <= 0.35
    assert result.distance_after < 0.5 * result.distance_before
    assert result.forward.spacing == 4


def test_contrast_may_change_and_even_turn_round() -> None:
    fixed, moving = shifted_pair()
    plain, inverted = (deeds(fixed, image, SMALL) for image in (moving, 100 - 2 * moving))
    assert_array_equal(plain.forward.displacement, inverted.forward.displacement)


def test_one_thread_and_two_give_the_same_bits() -> None:
    fixed, moving = shifted_pair()
    one, two = (deeds(fixed, moving, SMALL, affine=True, threads=threads) for threads in (1, 2))
    assert_array_equal(one.forward.displacement, two.forward.displacement)
    assert_array_equal(one.backward.displacement, two.backward.displacement)
    assert_array_equal(one.affine, two.affine)
    assert one.distance_after == two.distance_after


def test_the_affine_part_is_told_apart_from_the_displacement() -> None:
    fixed, moving = shifted_pair()
    result = deeds(fixed, moving, SMALL, affine=True)
    inner = tuple(slice(12, n - 12) for n in SHAPE)
    assert np.abs(result.affine[:3, 3] - SHIFT).max() < 1.5
    warped = warp(moving, result.forward, result.affine)
    assert np.abs(warped - fixed)[inner].mean() < 0.25 * np.abs(moving - fixed)[inner].mean()


def test_padding_of_the_moving_array_does_not_mislead_where_it_is_declared() -> None:
    fixed, moving = shifted_pair()
    padded = moving.copy()
    padded[:, :, -22:] = -1024
    valid = np.ones(SHAPE, dtype=np.bool_)
    valid[:, :, -22:] = False
    settings = DeedsSettings(field_of_view_rule=True)
    errors = []
    for seen in (None, valid):
        found = dense(deeds(fixed, padded, settings, valid=seen).forward, SHAPE)
        error = found - np.array(SHIFT, dtype=np.float32)[:, None, None, None]
        errors.append(np.linalg.norm(error[:, 12:-12, 12:-12, 12:-22], axis=0).mean())
    assert errors[1] < 0.7 * errors[0]


def test_progress_runs_from_nothing_to_all() -> None:
    fixed, moving = shifted_pair()
    heard: list[tuple[str, float]] = []
    deeds(fixed, moving, SMALL, affine=True, progress=lambda stage, share: heard.append((stage, share)))
    assert heard[0] == ("affine", 0.0)
    shares = [share for stage, share in heard if stage == "deeds"]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_images_of_different_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(52, 47, 58\) voxels, the moving one \(20, 20, 20\)"):
        deeds(texture(), texture((20, 20, 20)))


def test_a_mask_of_another_size_is_refused() -> None:
    image = texture((20, 20, 20))
    with pytest.raises(InputError, match=r"the valid one \(20, 20, 19\)"):
        deeds(image, image, valid=np.ones((20, 20, 19), dtype=np.bool_))


def test_an_image_of_few_voxels_is_refused() -> None:
    with pytest.raises(InputError, match=r"moving array has \(20, 20, 15\) voxels; registration needs"):
        deeds(texture((20, 20, 20)), texture((20, 20, 15)))


def test_an_image_that_shows_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="all voxels of the fixed array are -1000"):
        deeds(np.full((20, 20, 20), -1000.0, dtype=np.float32), texture((20, 20, 20)))


def test_values_that_are_not_finite_are_refused() -> None:
    broken = texture((20, 20, 20))
    broken[3, 4, 5] = np.nan
    with pytest.raises(InputError, match="fixed array holds values that are not finite"):
        deeds(broken, texture((20, 20, 20)))
