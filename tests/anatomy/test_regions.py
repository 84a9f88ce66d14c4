import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.anatomy.regions import body_region, grown, pasted, region_around, whole
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.learning.windows import Box

GRID = Geometry(
    shape=(70, 60, 40),
    spacing=(1.5, 2.0, 2.5),
    direction=((0.8660254037844387, -0.5, 0.0), (0.5, 0.8660254037844387, 0.0), (0.0, 0.0, 1.0)),
)
AIR = -3.0


def bounds(box: Box) -> list[tuple[int, int]]:
    return [(part.start, part.stop) for part in box]


@pytest.fixture
def ct() -> Volume:
    """A body of fat and muscle over the whole length, a table below it and a speck of noise."""
    array = np.full(GRID.shape, AIR, dtype=np.float32)
    array[12:58, 10:45, :] = 0.4
    array[24:46, 19:36, 5:35] = AIR  # lungs, as dark as air once clipped
    array[5:65, 56, :] = 0.1
    array[2, 2, 2] = 1.0
    return Volume(array=array, geometry=GRID)


def test_the_margin_is_in_millimetres_and_ends_with_the_image() -> None:
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[2:5, 10, 7:9] = True
    box = region_around(mask, (1.0, 2.5, 4.0), 5.0)
    assert box is not None
    assert bounds(box) == [(0, 10), (8, 13), (5, 11)]


def test_nothing_has_no_box() -> None:
    assert region_around(np.zeros((3, 4, 5), dtype=bool), (1.0, 1.0, 1.0), 5.0) is None


def test_the_body_is_found_with_its_margin_without_table_and_speck(ct: Volume) -> None:
    i, j, k = body_region(ct, 6.0)
    # 6 mm around the body, and up to twice the 4 mm between samples.
    assert 12 - 10 <= i.start <= 12 - 4
    assert 58 + 4 <= i.stop <= 58 + 10
    assert 10 - 8 <= j.start <= 10 - 3
    assert 45 + 3 <= j.stop <= 45 + 8
    assert (k.start, k.stop) == (0, 40)


def test_an_image_of_one_value_is_body_throughout(ct: Volume) -> None:
    assert body_region(ct.with_array(np.full_like(ct.array, 0.3)), 4.0) == whole(ct)


def test_a_part_is_pasted_back_where_it_was(ct: Volume) -> None:
    box = (slice(20, 50), slice(15, 41), slice(0, 40))
    back = pasted(ct.array[box], box, GRID.shape)
    assert_array_equal(back[box], ct.array[box])
    assert np.count_nonzero(back) == np.count_nonzero(ct.array[box])


@pytest.mark.parametrize(
    ("voxel", "expected"),
    [
        ((3, 3, 3), [(0, 10), (5, 15), (4, 14)]),
        ((0, 3, 3), [(0, 10), (5, 15), (4, 14)]),  # the image ends there
        ((3, 9, 3), [(0, 10), (5, 15), (4, 14)]),
        ((9, 3, 3), [(0, 16), (5, 15), (4, 14)]),
        ((9, 0, 9), [(0, 16), (0, 15), (4, 18)]),
        ((3, 3, 0), [(0, 10), (5, 15), (0, 14)]),
    ],
)
def test_a_box_grows_where_a_mask_reaches_its_faces(
    voxel: tuple[int, int, int], expected: list[tuple[int, int]]
) -> None:
    grid = Geometry(shape=(30, 15, 20), spacing=(1.5, 2.0, 2.5), direction=GRID.direction)
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[voxel] = True
    box = (slice(0, 10), slice(5, 15), slice(4, 14))
    assert bounds(grown(box, mask, grid, 8.5)) == expected
