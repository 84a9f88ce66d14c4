import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage

from lymphct.core.geometry import Geometry
from lymphct.phantom.acquisition import add_noise, blur, displaced

SPACING = (0.68, 0.68, 0.8)


@pytest.mark.parametrize("spacing", [SPACING, (2.0, 2.0, 2.5)])
def test_noise_has_its_standard_deviation_and_is_correlated_on_fine_voxels(
    spacing: tuple[float, float, float],
) -> None:
    image = add_noise(np.random.default_rng(0), np.zeros((60, 50, 40), np.float32), spacing, 12.0)
    assert image.dtype == np.int16
    assert_allclose(image.std(), 12.0, rtol=0.02)
    neighbours = np.corrcoef(image[1:].ravel(), image[:-1].ravel())[0, 1]
    assert (neighbours > 0.5) == (spacing == SPACING)


def test_stored_hu_stay_within_what_a_scanner_stores() -> None:
    image = np.full((8, 8, 8), -1020.0, np.float32)
    image[:4] = 4000
    stored = add_noise(np.random.default_rng(0), image, SPACING, 12.0)
    assert stored.min() == -1024
    assert stored.max() == 3071


def test_blur_widens_a_point_to_its_full_width_at_half_maximum() -> None:
    image = np.zeros((41, 41, 41), np.float32)
    image[20, 20, 20] = 1000
    blurred = blur(image, (0.2, 0.2, 0.2), 1.2)
    assert_allclose(blurred[23, 20, 20] / blurred[20, 20, 20], 0.5, atol=0.02)
    assert blur(image, SPACING, 0.0) is image


def test_displacing_by_whole_voxels_moves_the_image_against_the_vector() -> None:
    grid = Geometry(shape=(12, 14, 16), spacing=SPACING)
    image = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=grid.shape), 1).astype(np.float32)
    push = np.zeros((*grid.shape, 3), np.float32)
    push[..., 2] = 2 * SPACING[2]
    moved = displaced(image, grid, push)
    assert_allclose(moved[:, :, :-2], image[:, :, 2:], atol=1e-4)
