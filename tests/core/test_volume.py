"""An image knows where it lies and cannot be written to."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume

GRID = Geometry(
    shape=(4, 5, 6),
    spacing=(0.68, 0.68, 0.8),
    origin=(9.0, -4.0, 2.0),
    direction=((0, -1, 0), (1, 0, 0), (0, 0, -1)),
)


def numbered() -> Volume:
    return Volume(array=np.arange(120).reshape(GRID.shape), geometry=GRID)


def test_nobody_writes_into_a_volume() -> None:
    with pytest.raises(ValueError, match="read-only"):
        numbered().array[0, 0, 0] = 1


def test_the_owner_of_the_array_may_still_write() -> None:
    array = np.zeros(GRID.shape)
    Volume(array=array, geometry=GRID)
    array[0, 0, 0] = 1
    assert array.flags.writeable


def test_an_array_of_another_shape_is_refused() -> None:
    with pytest.raises(GeometryMismatchError, match=r"\(4, 5, 7\) does not fit a grid of \(4, 5, 6\) voxels"):
        Volume(array=np.zeros((4, 5, 7)), geometry=GRID)
    with pytest.raises(GeometryMismatchError, match="does not fit"):
        numbered().with_array(np.zeros((6, 5, 4)))


def test_a_vector_field_has_its_components_last() -> None:
    field = Volume(array=np.zeros((4, 5, 6, 3)), geometry=GRID)
    assert field.cropped((1, 1, 1), (2, 2, 9)).array.shape == (2, 2, 9, 3)


def test_a_crop_inside_is_a_part_of_the_image() -> None:
    crop = numbered().cropped((1, 2, 3), (2, 3, 2))
    assert_array_equal(crop.array, numbered().array[1:3, 2:5, 3:5])
    assert_allclose(crop.geometry.origin, GRID.world((1, 2, 3)))
    assert crop.array.dtype == numbered().array.dtype


def test_beyond_the_image_a_crop_is_filled() -> None:
    crop = numbered().cropped((-1, 3, 4), (3, 4, 4), fill=-7)
    assert_array_equal(crop.array[1:, :2, :2], numbered().array[:2, 3:, 4:])
    assert (crop.array == -7).sum() == 48 - 8


@pytest.mark.parametrize("start", [(-9, 0, 0), (0, 5, 0), (0, 0, 100)])
def test_a_crop_beside_the_image_holds_only_the_fill(start: tuple[int, int, int]) -> None:
    assert (numbered().cropped(start, (2, 2, 2), fill=3).array == 3).all()


def test_images_on_one_grid_are_accepted() -> None:
    assert numbered().geometry.matches(numbered().geometry)
    numbered().require_same_grid(numbered(), name="mask", reference="CT")


def test_images_on_two_grids_are_refused_by_name_with_their_spacing() -> None:
    other = Volume(
        array=np.zeros((4, 5, 6)), geometry=GRID.resampled((0.5, 0.5, 0.5)).cropped((0, 0, 0), (4, 5, 6))
    )
    with pytest.raises(GeometryMismatchError) as caught:
        other.require_same_grid(numbered(), name="tumor mask", reference="venous phase")
    message = str(caught.value)
    assert "the tumor mask lies on another voxel grid than the venous phase" in message
    assert "0.5×0.5×0.5 mm against (4, 5, 6) of 0.68×0.68×0.8 mm" in message
    assert "resample the tumor mask" in message
