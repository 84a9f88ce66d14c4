"""An image behind a file is cut, sampled and computed with like one in memory."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.imaging.crop import crop
from lymphct.learning.lazy_array import LazyArray
from lymphct.learning.tensors import to_network
from lymphct.learning.windows import Box

IMAGE = np.random.default_rng(0).normal(size=(2, 6, 5, 4)).astype(np.float32)
"""(c, i, j, k)."""


class Reader:
    """Reads boxes and remembers them."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []

    def __call__(self, box: Box) -> AnyArray:
        self.boxes.append(box)
        part: AnyArray = IMAGE[:, *box]
        return part


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def lazy(reader: Reader) -> LazyArray:
    return LazyArray(reader, (2, 4, 5, 6), np.dtype(np.float32))


def test_it_has_the_shape_of_the_networks_before_anything_is_read(lazy: LazyArray, reader: Reader) -> None:
    assert (lazy.ndim, len(lazy)) == (4, 2)
    assert lazy.dtype == np.float32
    assert not reader.boxes


def test_a_box_along_k_j_i_is_read_alone_along_i_j_k(lazy: LazyArray, reader: Reader) -> None:
    part = lazy[..., 1:3, 0:5, 2:4]
    assert_array_equal(part, to_network(IMAGE)[:, 1:3, 0:5, 2:4])
    assert reader.boxes == [(slice(2, 4), slice(0, 5), slice(1, 3))]


def test_the_whole_becomes_an_array_of_any_type(lazy: LazyArray) -> None:
    assert_array_equal(np.asarray(lazy), to_network(IMAGE))
    assert np.asarray(lazy, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("start", [(-1, 0, 1), (0, 0, 0), (3, -2, 5), (9, 9, 9)])
def test_a_crop_of_it_is_the_crop_of_the_array(lazy: LazyArray, start: tuple[int, int, int]) -> None:
    expected = crop(to_network(IMAGE), start, (3, 4, 2), fill=-7.0)
    assert_array_equal(crop(lazy, start, (3, 4, 2), fill=-7.0), expected)
