import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.learning.cases import TrainingCase, training_case

GRID = Geometry(
    shape=(4, 3, 2),
    spacing=(0.68, 0.68, 0.8),
    origin=(-20.0, 15.0, 40.0),
    direction=((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)),
)
OTHER = Geometry(shape=GRID.shape, spacing=(0.7, 0.68, 0.8), origin=GRID.origin, direction=GRID.direction)


def _volume(start: float = 0.0, geometry: Geometry = GRID) -> Volume:
    return Volume(array=start + np.arange(24.0).reshape(4, 3, 2), geometry=geometry)


def test_a_case_has_the_axes_of_the_network_and_float32_intensities() -> None:
    labels = Volume(array=np.eye(4, 3, dtype=np.uint8)[..., None].repeat(2, axis=2), geometry=GRID)
    case = training_case("p1", [_volume(), _volume(100)], labels, _volume())
    assert case.image.shape == (2, 2, 3, 4)
    assert case.image.dtype == np.float32
    assert np.asarray(case.image)[1, 1, 2, 3] == _volume(100).array[3, 2, 1]
    assert_array_equal(case.labels, labels.array.transpose(2, 1, 0))
    assert case.attention is not None
    assert case.attention.shape == (2, 3, 4)


def test_outside_the_image_lies_its_lowest_value_unless_told_otherwise() -> None:
    labels = _volume()
    assert training_case("p1", [_volume(-7)], labels).fill == -7
    assert training_case("p1", [_volume(-7)], labels, fill=-2.5).fill == -2.5


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (([_volume(), _volume(geometry=OTHER)], _volume(), None), "channel lies on another voxel grid"),
        (([_volume()], _volume(geometry=OTHER), None), "label map lies on another voxel grid"),
        (([_volume()], _volume(), _volume(geometry=OTHER)), "attention map lies on another voxel grid"),
    ],
)
def test_images_on_different_grids_are_refused(
    parts: tuple[list[Volume], Volume, Volume | None], name: str
) -> None:
    with pytest.raises(GeometryMismatchError, match=name):
        training_case("p1", *parts)


def test_arrays_of_different_shapes_are_refused_with_the_patient() -> None:
    with pytest.raises(InputError, match=r"p1: .*do not share one \(k, j, i\) grid"):
        TrainingCase(
            patient="p1",
            image=np.zeros((2, 2, 3, 4), np.float32),
            labels=np.zeros((2, 3, 5), np.uint8),
            attention=None,
            fill=0.0,
        )
