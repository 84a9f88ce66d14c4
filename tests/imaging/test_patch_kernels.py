import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.imaging.crop import crop
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.augmentation import PatchPlace, SpatialTransform, cut_attention, cut_image, cut_labels
from lymphct.learning.augmentation_drawing import rotation

SHAPE = (11, 14, 17)
PATCH = (6, 9, 8)
STATISTICS = IntensityStatistics(-100.5, 240.0, 70.0, 85.0)
STARTS = st.tuples(*(st.integers(-n - 2, n + 2) for n in SHAPE))
MIRRORED = st.tuples(st.booleans(), st.booleans(), st.booleans())


def image(dtype: type = np.int16) -> AnyArray:
    return np.random.default_rng(0).integers(-300, 500, size=(2, *SHAPE)).astype(dtype)


def z_scored(array: AnyArray) -> AnyArray:
    clipped: DoubleArray = np.clip(array.astype(float), STATISTICS.low, STATISTICS.high)
    return (clipped - STATISTICS.mean) / STATISTICS.sd


@settings(max_examples=60, deadline=None)
@given(start=STARTS, mirrored=MIRRORED)
def test_a_plain_patch_is_the_box_mirrored_with_what_lies_outside(
    start: tuple[int, int, int], mirrored: tuple[bool, bool, bool]
) -> None:
    place = PatchPlace(start, PATCH, SpatialTransform(None, mirrored))
    axes = tuple(axis - 3 for axis in range(3) if mirrored[axis])
    boxes = np.flip(crop(image().astype(float), start, PATCH, STATISTICS.low), axes)
    assert_allclose(cut_image(image(), place, [STATISTICS] * 2), z_scored(boxes), atol=1e-5)
    labels = np.random.default_rng(1).integers(1, 256, size=SHAPE).astype(np.uint8)
    assert_array_equal(cut_labels(labels, place), np.flip(crop(labels, start, PATCH, 0), axes))
    assert_allclose(cut_attention(labels, place), np.flip(crop(labels, start, PATCH, 0), axes) / 255)


@settings(max_examples=40, deadline=None)
@given(start=STARTS, mirrored=MIRRORED, seed=st.integers(0, 99))
def test_a_turned_patch_is_scipys(
    start: tuple[int, int, int], mirrored: tuple[bool, bool, bool], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(0.6, 1.5) * rotation(rng.uniform(-0.6, 0.6, 3))
    place = PatchPlace(start, PATCH, SpatialTransform(matrix, mirrored))
    size = place.source_size
    box = crop(image().astype(float), start, size, STATISTICS.low)
    # Two voxels more on each side: the same box when it is wholly given.
    offset = (np.array(size) - 1) / 2 - matrix @ ((np.array(PATCH) - 1) / 2)
    axes = tuple(axis for axis in range(3) if mirrored[axis])
    for channel, patch in zip(z_scored(box), cut_image(image(), place, [STATISTICS] * 2), strict=True):
        expected = ndimage.affine_transform(channel, matrix, offset, PATCH, order=1, mode="nearest")
        assert_allclose(patch, np.flip(expected, axes), atol=2e-5)


def test_a_box_read_from_an_image_gives_the_patch_of_the_image() -> None:
    place = PatchPlace(
        (1, 2, 3), PATCH, SpatialTransform(rotation(np.array([0.3, -0.2, 0.1])), (True, False, True))
    )
    size = place.source_size
    low = [max(s, 0) for s in place.start]
    high = [min(s + n, full) for s, n, full in zip(place.start, size, SHAPE, strict=True)]
    box = image()[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    start = (place.start[0] - low[0], place.start[1] - low[1], place.start[2] - low[2])
    found = cut_image(box, PatchPlace(start, PATCH, place.transform), [STATISTICS] * 2)
    assert_array_equal(found, cut_image(image(), place, [STATISTICS] * 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_attention_that_is_zero_stays_exactly_zero_and_one_stays_one(dtype: type) -> None:
    attention: AnyArray = np.zeros((20, 20, 20), dtype)
    attention[:, :, 10:] = 255 if dtype is np.uint8 else 1
    place = PatchPlace((2, 2, 2), (8, 8, 8), SpatialTransform(rotation(np.array([0.0, 0.3, 0.0]))))
    patch = cut_attention(attention, place)
    steps = place.steps() / 2.0**32
    voxel = np.moveaxis(np.indices((8, 8, 8)), 0, -1)
    x = (steps[0] + voxel @ steps[1:])[..., 2]
    assert np.all(patch[x <= 9] == 0)
    assert np.all(patch[x >= 10] == 1)
    assert np.all(patch[(x > 9.01) & (x < 9.99)] > 0)
    assert patch.max() <= 1


def test_outside_lies_each_channels_own_lower_clip_value() -> None:
    other = IntensityStatistics(-50.0, 300.0, 10.0, 20.0)
    for matrix in (None, 1.1 * np.eye(3)):
        place = PatchPlace((100, 0, 0), PATCH, SpatialTransform(matrix))
        patch = cut_image(image(), place, [STATISTICS, other])
        assert_allclose(patch[0], STATISTICS.fill, rtol=1e-5)
        assert_allclose(patch[1], other.fill, rtol=1e-5)
        normalised = cut_image(image(np.float32), place, -3.5)
        assert_allclose(normalised, -3.5)


def test_a_patch_can_be_written_into_memory_that_is_there() -> None:
    out = np.full((2, *PATCH), np.nan, np.float32)
    place = PatchPlace((0, 0, 0), PATCH)
    assert cut_image(image(), place, [STATISTICS] * 2, out) is out
    assert_allclose(out, z_scored(image()[:, :6, :9, :8]), atol=1e-5)
