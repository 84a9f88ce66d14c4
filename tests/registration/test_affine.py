"""The affine stage finds a known transform, and keeps still where it sees too little."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter

from lymphct.core.arrays import DoubleArray, FloatArray
from lymphct.registration.affine import align_affine, fit_trimmed
from lymphct.registration.deeds_settings import DeedsSettings
from lymphct.registration.field import warp

SETTINGS = DeedsSettings(affine_grid_spacing=(6, 5, 4), affine_search_radius=(3, 3, 3), affine_step=(2, 2, 1))


def texture(shape: tuple[int, int, int]) -> FloatArray:
    noise = np.random.default_rng(0).normal(size=shape)
    return (600 * gaussian_filter(noise, 2.0) / 0.06).clip(-900, 900).astype(np.float32)


def slight_turn() -> DoubleArray:
    matrix = np.eye(4)
    angle = np.deg2rad(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = 3.0, -2.0, 1.0
    return matrix


def test_a_known_turn_and_shift_are_found() -> None:
    moving, truth = texture((56, 52, 48)), slight_turn()
    fixed = warp(moving, None, truth)
    found = align_affine(fixed, moving, SETTINGS)
    corners = np.array([[10.0, 10, 10, 1], [45, 10, 38, 1], [10, 42, 38, 1], [45, 42, 10, 1]])
    assert np.abs(corners @ (found - truth).T).max() < 0.7


def test_too_few_matches_leave_the_identity() -> None:
    image = texture((56, 52, 48))
    settings = SETTINGS.model_copy(update={"affine_least_points": 10_000_000})
    assert_array_equal(align_affine(image, warp(image, None, slight_turn()), settings), np.eye(4))


def test_empty_blocks_are_no_matches() -> None:
    air = texture((56, 52, 48)) * 1e-3 - 1024
    assert_array_equal(align_affine(air, warp(air, None, slight_turn()), SETTINGS), np.eye(4))


def test_outliers_do_not_bend_the_fit() -> None:
    rng = np.random.default_rng(1)
    source = rng.uniform(0, 50, (200, 3))
    truth = slight_turn()
    target = source @ truth[:3, :3].T + truth[:3, 3]
    target[:60] += rng.uniform(5, 20, (60, 3))
    assert_allclose(fit_trimmed(source, target, 15), truth, atol=1e-6)
    assert np.abs(fit_trimmed(source, target, 0) - truth).max() > 0.1
