"""The compiled loops of resampling, called with taps and weights written by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from lymphct.core.arrays import DoubleArray
from lymphct.imaging import resampling_kernels as kernels


def image() -> DoubleArray:
    return np.random.default_rng(0).normal(size=(4, 5, 6))


def every(size: int) -> tuple[kernels.TapArray, DoubleArray]:
    """Taps and weights of linear interpolation at the voxel centres themselves."""
    lower = np.minimum(np.arange(size), size - 2)
    fraction = (np.arange(size) - lower).astype(np.float64)
    return np.stack([lower, lower + 1], axis=1), np.stack([1 - fraction, fraction], axis=1)


def test_an_array_is_copied_into_another_order_of_memory() -> None:
    source = np.asfortranarray(np.random.default_rng(1).normal(size=(3, 70, 40)))
    source = np.ascontiguousarray(source.transpose(0, 2, 1)).transpose(0, 2, 1)
    target = np.zeros(source.shape)
    kernels.reorder(source, target)
    assert_array_equal(target, source)


def test_the_nearest_voxels_are_copied() -> None:
    source = image()
    picks = [np.array([[3], [0]]), np.array([[1]]), np.array([[5], [5], [2]])]
    out = np.zeros((2, 1, 3))
    kernels.nearest(source, (picks[0], picks[1], picks[2]), out)
    assert_array_equal(out, source[np.ix_([3, 0], [1], [5, 5, 2])])


def test_at_the_voxel_centres_linear_interpolation_copies() -> None:
    source = image()
    along = [every(size) for size in source.shape]
    out = np.zeros(source.shape, dtype=np.float32)
    taps, weights = [t for t, _ in along], [w for _, w in along]
    kernels.linear(source, (taps[0], taps[1], taps[2]), (weights[0], weights[1], weights[2]), out)
    assert_allclose(out, source, rtol=1e-6)


def test_halfway_linear_interpolation_is_the_mean_of_eight_voxels() -> None:
    source = image()
    middle = (np.array([[0, 1]]), np.array([[0.5, 0.5]]))
    out = np.zeros((1, 1, 1), dtype=np.float32)
    kernels.linear(source, (middle[0],) * 3, (middle[1],) * 3, out)
    assert_allclose(out[0, 0, 0], source[:2, :2, :2].mean(), rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 6, 7), (3, 30, 25)])
def test_cubic_interpolation_in_two_passes_equals_that_of_scipy(shape: tuple[int, int, int]) -> None:
    source = np.random.default_rng(2).normal(size=shape)
    grid = [np.linspace(1.2, size - 2.2, 4) if size > 3 else np.array([1.0]) for size in shape]
    taps, weights = zip(*(cubic(places, size) for places, size in zip(grid, shape, strict=True)), strict=True)
    planes = np.zeros((shape[0], len(grid[1]), len(grid[2])), dtype=np.float32)
    kernels.cubic_in_planes(source, taps, weights, planes)
    out = np.zeros([len(places) for places in grid], dtype=np.float32)
    kernels.cubic_along_columns(planes, taps[0], weights[0], out)
    expected = ndimage.map_coordinates(source, np.meshgrid(*grid, indexing="ij"), order=3, mode="mirror")
    assert_allclose(out, expected, atol=1e-5)


def cubic(places: DoubleArray, size: int) -> tuple[kernels.TapArray, DoubleArray]:
    """Four taps and the weights of a cubic B-spline, mirrored at the ends."""
    base = np.floor(places).astype(np.int64)
    t = places - base
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    taps = np.abs(base[:, None] + np.arange(-1, 3))
    taps = np.where(taps >= size, 2 * size - 2 - taps, taps)
    return taps, np.stack(weights, axis=1) / 6
