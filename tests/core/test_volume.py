"""An image knows where it lies and cannot be written to."""

from typing import Any

import numpy as np
import pytest

from lymphct.core.errors import GeometryMismatchError, InputError
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


def test_a_volume_is_shown_in_one_line() -> None:
    assert repr(numbered()) == "Volume(int64, 4×5×6 voxels of 0.68×0.68×0.8 mm, axes PRI)"
    field = Volume(array=np.zeros((4, 5, 6, 3), np.float32), geometry=GRID)
    assert repr(field).startswith("Volume(float32×3, 4×5×6 voxels")


def test_an_array_becomes_a_volume_where_it_is_said_to_lie() -> None:
    volume = Volume.from_array(
        np.arange(120).reshape(4, 5, 6), GRID.spacing, origin=GRID.origin, direction=np.array(GRID.direction)
    )
    assert volume.geometry == GRID
    assert np.array_equal(volume.array, numbered().array)
    assert Volume.from_array(np.zeros((2, 2, 2)), [1, 2, 3]).geometry == Geometry(
        shape=(2, 2, 2), spacing=(1.0, 2.0, 3.0)
    )
    assert Volume.from_array(np.zeros((2, 2, 2, 3)), (1, 1, 1)).array.shape == (2, 2, 2, 3)


@pytest.mark.parametrize(
    ("array", "arguments", "words"),
    [
        (np.zeros((4, 5)), {}, r"an image has three axes i, j, k, got an array of shape \(4, 5\)"),
        (np.zeros((4, 5, 6)), {"spacing": (1, 1)}, "three spacings are needed, got 2"),
        (np.zeros((4, 5, 6)), {"origin": (1, 1, 1, 1)}, "three coordinates of the origin are needed, got 4"),
        (np.zeros((4, 5, 6)), {"direction": np.eye(4)}, r"a 3×3 matrix, got shape \(4, 4\)"),
        (np.zeros((4, 5, 6)), {"spacing": (1, 1, -1)}, "is not positive and finite"),
        (np.zeros((4, 5, 6)), {"direction": np.ones((3, 3))}, "not orthonormal"),
    ],
)
def test_an_array_that_lies_nowhere_is_refused(
    array: np.ndarray, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Volume.from_array(array, **{"spacing": (1, 1, 1), **arguments})
