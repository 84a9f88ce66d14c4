"""An image knows where it lies and cannot be written to."""

import numpy as np
import pytest

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
    assert Volume(array=np.zeros((4, 5, 6, 3)), geometry=GRID).array.shape == (4, 5, 6, 3)


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
