import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import IntensityStatistics
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


def _raw(intensity: tuple[IntensityStatistics | None, ...] | None, **more: object) -> TrainingCase:
    image = np.array([-500, 0, 100, 500], np.int16).reshape(1, 1, 2, 2).repeat(2, axis=0)
    parts = {"labels": np.zeros((1, 2, 2), np.uint8), "attention": None, "intensity": intensity} | more
    return TrainingCase(patient="p1", image=image, **parts)  # type: ignore[arg-type] # as the test gives them


def test_hu_are_normalised_channel_by_channel_and_a_missing_phase_is_0() -> None:
    case = _raw((None, IntensityStatistics(-100.0, 200.5, 50.0, 50.0)))
    image = case.normalized_image()
    assert image.dtype == np.float32
    assert not image[0].any()
    assert_allclose(image[1].ravel(), [-3.0, -1.0, 1.0, 3.01], rtol=1e-6)
    assert case.is_acquired == (False, True)
    assert case.outside == (0.0, -100)


def test_outside_lie_whole_hu_at_or_below_the_lower_clip_value() -> None:
    case = _raw((IntensityStatistics(-79.5, 200.0, 0.0, 1.0),) * 2)
    assert case.outside == (-80, -80)
    assert_allclose(case.normalized(np.full((2, 1, 1, 1), -80, np.int16)).ravel(), -79.5)


def test_there_is_one_value_for_each_channel() -> None:
    with pytest.raises(InputError, match="p1: 2 channels, but statistics or fill values of 1"):
        _raw((None,))
    with pytest.raises(InputError, match="2 channels, but statistics or fill values of 3"):
        _raw(None, fill=(0.0, 1.0, 2.0))
    assert _raw(None, fill=(0.5, 1.5)).outside == (0.5, 1.5)
    assert _raw(None, fill=0.5).outside == (0.5, 0.5)


def test_attention_in_bytes_is_read_as_a_share_of_255() -> None:
    stored = np.array([0, 51, 128, 255], np.uint8).reshape(1, 2, 2)
    case = _raw(None, attention=stored)
    found = case.whole_attention()
    assert found is not None
    assert_allclose(found.ravel(), [0, 0.2, 128 / 255, 1])
    assert found[0, 0, 0] == 0
    assert _raw(None).whole_attention() is None
