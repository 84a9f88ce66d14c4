"""Resampling between parallel axes gives the numbers of SimpleITK and scipy."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, Vector3
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import working_grid
from lymphct.imaging.resampling import Interpolation, resample_parallel

OBLIQUE: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0))
GRID = Geometry(shape=(12, 10, 9), spacing=(0.7, 0.9, 2.5), origin=(-31.0, 42.0, 105.0), direction=OBLIQUE)
METHODS = {
    "nearest": SimpleITK.sitkNearestNeighbor,
    "linear": SimpleITK.sitkLinear,
    "cubic": SimpleITK.sitkBSpline,
}
ORDERS = st.builds(
    AxisOrder,
    axes=st.permutations([0, 1, 2]).map(tuple),
    flipped=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
SPACINGS = st.tuples(*[st.floats(0.3, 3.0)] * 3)


def image(grid: Geometry = GRID, kind: type[np.generic] = np.float32) -> Volume:
    values = np.random.default_rng(0).integers(-1000, 3000, grid.shape)
    return Volume(array=values.astype(kind), geometry=grid)


def by_simpleitk(volume: Volume, grid: Geometry, interpolation: str) -> AnyArray:
    """SimpleITK's own numbers, and -7 outside."""
    source = SimpleITK.GetImageFromArray(volume.array.transpose(2, 1, 0).astype(np.float32))
    target = SimpleITK.Image([int(n) for n in grid.shape], SimpleITK.sitkUInt8)
    for made, geometry in ((source, volume.geometry), (target, grid)):
        made.SetSpacing(geometry.spacing)
        made.SetOrigin(geometry.origin)
        made.SetDirection(np.asarray(geometry.direction).ravel().tolist())
    found = SimpleITK.Resample(source, target, SimpleITK.Transform(), METHODS[interpolation], -7.0)
    array: AnyArray = SimpleITK.GetArrayFromImage(found).transpose(2, 1, 0)
    return array


def off_the_ties(grid: Geometry) -> BoolArray:
    """Mark centres that lie neither on a face of the image nor halfway between two voxels."""
    index = GRID.index(grid.world(np.moveaxis(np.indices(grid.shape), 0, -1)))
    safe: BoolArray = np.all(np.abs(index - np.floor(index) - 0.5) > 1e-6, axis=-1)
    return safe


@settings(max_examples=30, deadline=None)
@given(ORDERS, SPACINGS, st.tuples(*[st.integers(-3, 3)] * 3), st.sampled_from(sorted(METHODS)))
def test_the_numbers_are_those_of_simpleitk(
    order: AxisOrder, spacing: Vector3, start: tuple[int, int, int], interpolation: Interpolation
) -> None:
    grid = order.apply_to_grid(GRID).resampled(spacing)
    grid = grid.cropped(start, grid.shape)
    ours = resample_parallel(image(), grid, fill=-7.0, interpolation=interpolation)
    theirs = by_simpleitk(image(), grid, interpolation)
    assert ours is not None
    assert ours.flags.c_contiguous
    safe = off_the_ties(grid)
    assert_allclose(ours[safe], theirs[safe], rtol=0, atol=1e-3)


def test_cubic_splines_are_those_of_scipy_on_short_axes_too() -> None:
    for shape in ((4, 5, 26), (30, 4, 7)):
        grid = Geometry(shape=shape, spacing=(1.0, 1.0, 1.0))
        fine = grid.resampled((0.7, 1.3, 0.6))
        ours = resample_parallel(image(grid), fine, fill=-7.0, interpolation="cubic")
        index = np.moveaxis(grid.index(fine.world(np.moveaxis(np.indices(fine.shape), 0, -1))), -1, 0)
        theirs: DoubleArray = ndimage.map_coordinates(
            image(grid).array.astype(np.float64), index, order=3, mode="mirror"
        )
        assert ours is not None
        assert_allclose(ours, theirs, rtol=0, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(ORDERS, st.sampled_from(sorted(METHODS)))
def test_the_order_of_the_axes_of_an_image_changes_nothing(
    order: AxisOrder, interpolation: Interpolation
) -> None:
    # Twice the spacing of an image of odd size: every new centre lies halfway between two voxels.
    odd = Geometry(shape=(11, 9, 7), spacing=GRID.spacing, direction=OBLIQUE)
    grid = odd.resampled((1.4, 1.8, 5.0))
    expected = resample_parallel(image(odd), grid, fill=0.0, interpolation=interpolation)
    turned = order.apply(image(odd))
    found = resample_parallel(turned, grid, fill=0.0, interpolation=interpolation)
    assert found is not None
    assert expected is not None
    assert_allclose(found, expected, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("interpolation", sorted(METHODS))
@pytest.mark.parametrize("kind", [np.bool_, np.int16, np.float32])
def test_memory_order_byte_order_and_alignment_change_nothing(
    interpolation: Interpolation, kind: type[np.generic]
) -> None:
    grid = working_grid(GRID, (0.68, 0.68, 0.8))
    plain = image(kind=kind)
    expected = resample_parallel(plain, grid, fill=0.0, interpolation=interpolation)
    assert expected is not None
    assert expected.dtype == (kind if interpolation == "nearest" else np.float32)
    stored = np.zeros(plain.array.nbytes + 1, dtype=np.uint8)[1:].view(kind).reshape(GRID.shape)
    stored[...] = plain.array
    other_bytes = plain.array.astype(plain.array.dtype.newbyteorder(">"))
    for same in (np.asfortranarray(plain.array), stored, other_bytes, plain.array[::-1][::-1]):
        found = resample_parallel(plain.with_array(same), grid, fill=0.0, interpolation=interpolation)
        assert found is not None
        assert_array_equal(found, expected)


def test_beside_the_image_all_is_fill() -> None:
    grid = GRID.cropped((40, 0, 0), (5, 6, 7))
    found = resample_parallel(image(), grid, fill=-1024.0, interpolation="linear")
    assert found is not None
    assert set(found.ravel().tolist()) == {-1024.0}


@pytest.mark.parametrize(("turn", "outcome"), [(1e-8, "parallel"), (1e-3, "oblique"), (0.3, "oblique")])
def test_only_rounding_of_the_axes_is_overlooked(turn: float, outcome: str) -> None:
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.asarray(OBLIQUE)
    x, y, z = (tuple(row) for row in matrix.tolist())
    grid = Geometry(shape=(20, 20, 20), spacing=(0.5, 0.5, 0.5), origin=GRID.origin, direction=(x, y, z))
    found = resample_parallel(image(), grid, fill=0.0, interpolation="linear")
    assert (found is not None) == (outcome == "parallel")
