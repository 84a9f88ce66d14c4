import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage, stats

from lymphct.core.arrays import FloatArray
from lymphct.imaging.blur_kernels import blur
from lymphct.imaging.intensity_kernels import add_noise, bend, moments, stretch


def noise(low: int, high: int, count: int = 200_000) -> FloatArray:
    values = np.zeros(count, np.float32)
    add_noise(values, np.uint32(low), np.uint32(high), np.float32(1.0))
    return values


def test_noise_is_normal() -> None:
    values = noise(12345, 678)
    assert stats.kstest(values, "norm").pvalue > 0.001
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)
    assert stats.kurtosis(values) == pytest.approx(0, abs=0.05)
    assert np.abs(values).max() > 3.9


@pytest.mark.parametrize("shift", [1, 2, 7, 160, 160 * 192])
def test_neighbours_have_nothing_to_do_with_each_other(shift: int) -> None:
    values = noise(1, 2)
    assert abs(np.corrcoef(values[shift:], values[:-shift])[0, 1]) < 0.01


@pytest.mark.parametrize("other", [(2, 2), (1, 3), (1 ^ 2**31, 2), (0, 0)])
def test_other_seeds_give_other_numbers(other: tuple[int, int]) -> None:
    one, two = noise(1, 2), noise(*other)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.01
    assert len(np.intersect1d(one[:2000], two[:2000])) < 100


@pytest.mark.parametrize("size", [1, 2, 5, 2047, 2049, 10_000])
def test_moments_are_numpys(size: int) -> None:
    values = np.random.default_rng(size).normal(-0.3, 2, size).astype(np.float32)
    low, high, mean, deviation = moments(values)
    assert (low, high) == (values.min(), values.max())
    assert mean == pytest.approx(values.mean(dtype=float), abs=1e-6)
    expected = values.std(ddof=1, dtype=float) if size > 1 else 0.0
    assert deviation == pytest.approx(expected, rel=1e-5)


def test_stretching_keeps_bounds() -> None:
    values = np.array([-2, -1, 0, 1, 2], np.float32)
    stretch(values, np.float32(2), np.float32(0.5), np.float32(-2), np.float32(1.5))
    assert values.tolist() == [-2, -1.5, 0.5, 1.5, 1.5]


@pytest.mark.parametrize("exponent", [0.3, 0.7, 1.0, 1.5, 4.0])
def test_powers_are_exact_to_a_hundred_thousandth(exponent: float) -> None:
    base = np.concatenate([np.linspace(0, 1, 10_001), np.geomspace(1e-12, 1, 1000)]).astype(np.float32)
    values = base.copy()
    mean, deviation = bend(values, np.float32(1), np.float32(0), np.float32(exponent))
    expected = base.astype(float) ** exponent
    assert_allclose(values, expected, atol=5e-6)
    assert mean == pytest.approx(expected.mean(), abs=1e-5)
    assert deviation == pytest.approx(expected.std(ddof=1), abs=1e-5)


@pytest.mark.parametrize("radii", [(0, 1, 2), (3, 2, 1), (1, 3, 0), (4, 0, 5)])
@pytest.mark.parametrize("shape", [(9, 12, 40), (1, 5, 7), (2, 1, 33)])
def test_blurring_is_a_convolution_mirrored_about_the_border_voxels(
    radii: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=shape).astype(np.float32)
    weights = np.zeros((3, 6), np.float32)
    expected = image.astype(float)
    for axis, radius in enumerate(radii):
        weights[axis, : radius + 1] = rng.uniform(0.1, 1, radius + 1)
        kernel = np.concatenate([weights[axis, radius:0:-1], weights[axis, : radius + 1]])
        expected = ndimage.correlate1d(expected, kernel, axis, mode="mirror")
    blur(image, weights, np.array(radii))
    assert_allclose(image, expected, rtol=1e-4, atol=1e-4)
