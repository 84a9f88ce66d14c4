"""One pass over the output: the field looked up, the image read once, against scipy's interpolation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.registration import pulling
from lymphct.registration.pulling import (
    Mapping,
    affine_mapping,
    inside,
    mapping_of,
    places,
    read_linear,
    read_nearest,
)

SHAPE = (14, 12, 10)
TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, -1.0]])
BASE = np.c_[TURN, [3.0, -4.0, 9.5]]
NODES = np.c_[TURN * 0.3, [1.0, -0.5, 3.0]]


@pytest.fixture
def mapping() -> Mapping:
    """A rotated, mirrored grid with a random field of a few voxels."""
    control = np.random.default_rng(1).normal(0.0, 2.0, (3, 5, 4, 3)).astype(np.float32)
    return mapping_of(BASE, TURN, NODES, control)


def expected_places(mapping: Mapping) -> DoubleArray:
    index = np.indices(SHAPE).reshape(3, -1).astype(float)
    at_nodes = NODES[:, :3] @ index + NODES[:, 3:]
    field = [
        ndimage.map_coordinates(component.astype(float), at_nodes, order=1, mode="nearest")
        for component in mapping.control
    ]
    found: DoubleArray = BASE[:, :3] @ index + BASE[:, 3:] + TURN @ np.stack(field)
    return found


def outside(at: DoubleArray, size: tuple[int, int, int]) -> BoolArray:
    far: BoolArray = np.any((at < -0.5) | (at > np.array(size)[:, None] - 0.5), axis=0)
    return far


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8, np.float64])
def test_an_image_is_read_as_scipy_reads_it_where_the_field_points(
    mapping: Mapping, dtype: type[np.generic]
) -> None:
    image = np.random.default_rng(2).integers(0, 200, (11, 13, 9)).astype(dtype)
    at = expected_places(mapping)
    wanted = ndimage.map_coordinates(image.astype(float), at, order=1, mode="nearest")
    wanted[outside(at, (11, 13, 9))] = -1024.0
    found = read_linear(image, mapping, SHAPE, fill=-1024.0)
    assert found.dtype == np.float32
    assert 0.1 < np.mean(found == -1024.0) < 0.9
    assert_allclose(found.ravel(), wanted, atol=1e-3)


def test_the_nearest_voxel_is_read_half_rounding_up_and_zero_outside(mapping: Mapping) -> None:
    labels = np.random.default_rng(3).integers(1, 2**40, (11, 13, 9))
    at = expected_places(mapping)
    index = np.clip(np.floor(at + 0.5).astype(int), 0, np.array([[10], [12], [8]]))
    wanted = labels[tuple(index)]
    wanted[outside(at, (11, 13, 9))] = 0
    found = read_nearest(labels, mapping, SHAPE)
    assert found.dtype == labels.dtype
    assert_array_equal(found.ravel(), wanted)
    assert_array_equal(inside((11, 13, 9), mapping, SHAPE).ravel(), ~outside(at, (11, 13, 9)))


def test_places_are_those_that_are_read(mapping: Mapping) -> None:
    assert_allclose(places(mapping, SHAPE).reshape(-1, 3).T, expected_places(mapping), atol=1e-5)


def test_up_to_the_face_of_the_image_the_edge_holds_and_beyond_it_lies_the_fill() -> None:
    image = np.array([5, 9], dtype=np.int16).reshape(2, 1, 1)
    step = np.diag([0.25, 1.0, 1.0, 1.0])
    step[0, 3] = -0.75
    found = read_linear(image, affine_mapping(step), (10, 1, 1), fill=-7.0)
    assert found.ravel().tolist() == [-7.0, 5.0, 5.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0]


def test_threads_and_slabs_do_not_change_a_bit(mapping: Mapping, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(4).normal(size=(11, 13, 9)).astype(np.float32)
    whole = read_linear(image, mapping, SHAPE, fill=0.0), read_nearest(image, mapping, SHAPE)
    monkeypatch.setattr(pulling, "SLAB_VOXELS", 1)
    assert_array_equal(read_linear(image, mapping, SHAPE, fill=0.0, threads=2), whole[0])
    assert_array_equal(read_nearest(image, mapping, SHAPE, threads=2), whole[1])


def test_arrays_in_any_memory_order_are_read(mapping: Mapping) -> None:
    image = np.asfortranarray(np.random.default_rng(5).normal(size=(11, 13, 9)).astype(np.float32))
    wanted = read_linear(np.ascontiguousarray(image), mapping, SHAPE, fill=0.0)
    assert_array_equal(read_linear(image, mapping, SHAPE, fill=0.0), wanted)
