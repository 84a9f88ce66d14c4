"""Boxes cut out of an image, within it, across its border and beside it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import Index3
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop, crop_volume

GRID = Geometry(
    shape=(4, 5, 6),
    spacing=(0.68, 0.68, 0.8),
    origin=(-31.0, 12.0, 77.0),
    direction=((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)),
)
places = st.tuples(*[st.integers(-9, 9)] * 3)
sizes = st.tuples(*[st.integers(1, 9)] * 3)


def numbered() -> Volume:
    return Volume(array=np.arange(120, dtype=np.int16).reshape(GRID.shape), geometry=GRID)


@given(places, sizes, st.integers(0, 1))
def test_every_voxel_is_that_of_the_image_or_the_fill(start: Index3, size: Index3, channels: int) -> None:
    image = np.arange(120, dtype=np.int16).reshape(GRID.shape)
    array = np.stack([image, -image]) if channels else image
    box = crop(array, start, size, fill=-999)
    assert box.shape == (*array.shape[:-3], *size)
    assert box.dtype == array.dtype
    for place in np.ndindex(size):
        index = tuple(np.add(place, start).tolist())
        within = all(0 <= at < full for at, full in zip(index, GRID.shape, strict=True))
        expected = array[(..., *index)] if within else np.full(array.shape[:-3], -999)
        assert_array_equal(box[(..., *place)], expected)


@pytest.mark.parametrize("size", [(2, 2, 2), (4, 5, 6)])
def test_a_crop_is_a_copy_even_of_the_whole_image(size: Index3) -> None:
    image = np.zeros(GRID.shape)
    crop(image, (0, 0, 0), size, fill=0.0)[:] = 1.0
    assert not image.any()


def test_a_crop_of_a_volume_lies_where_its_voxels_lie() -> None:
    cut = crop_volume(numbered(), (1, 2, 3), (2, 3, 2))
    assert_array_equal(cut.array, numbered().array[1:3, 2:5, 3:5])
    assert_allclose(cut.geometry.origin, GRID.world((1, 2, 3)))
    assert cut.array.dtype == np.int16


def test_beyond_the_volume_a_crop_is_filled() -> None:
    cut = crop_volume(numbered(), (-1, 3, 4), (3, 4, 4), fill=-7)
    assert_array_equal(cut.array[1:, :2, :2], numbered().array[:2, 3:, 4:])
    assert (cut.array == -7).sum() == 48 - 8


def test_the_components_of_a_vector_field_stay_last() -> None:
    array = np.random.default_rng(0).normal(size=(*GRID.shape, 3))
    cut = crop_volume(Volume(array=array, geometry=GRID), (1, 1, 1), (2, 2, 9))
    assert cut.array.shape == (2, 2, 9, 3)
    assert_array_equal(cut.array[:, :, :5], array[1:3, 1:3, 1:])
    assert not cut.array[:, :, 5:].any()
