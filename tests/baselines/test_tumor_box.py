"""The box around the tumor: where it lies, what it shows, and what lies beyond the image."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.baselines.settings import TumorBoxSettings
from lymphct.baselines.tumor_box import tumor_box
from lymphct.core.arrays import AnyArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume

SPACING = (0.68, 0.5, 0.8)


def volume(array: AnyArray) -> Volume:
    turned = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
    grid = Geometry(shape=array.shape, spacing=SPACING, origin=(1.0, 2.0, 3.0), direction=turned)
    return Volume(array=array, geometry=grid)


def tumor(shape: tuple[int, int, int], box: tuple[slice, slice, slice]) -> Volume:
    mask = np.zeros(shape, np.uint8)
    mask[box] = 1
    return volume(mask)


def test_a_ramp_along_each_axis_is_read_in_millimetres_around_the_tumor() -> None:
    """The middle of the box is the centroid, (20, 30, 16) voxels; a step of the box is 1.5 mm."""
    shape = (41, 61, 33)
    mask = tumor(shape, (slice(18, 23), slice(26, 35), slice(15, 18)))
    for axis, (spacing, center) in enumerate(zip(SPACING, (20, 30, 16), strict=True)):
        ramp = volume(np.indices(shape)[axis] * np.float32(spacing))
        box = tumor_box([ramp], mask, TumorBoxSettings(size=6, extent=9.0), fill=[0.0])
        assert box.shape == (2, 6, 6, 6)
        along = np.moveaxis(box[0], 2 - axis, 0)  # axes of a network are k, j, i
        expected = center * spacing + 1.5 * (np.arange(6) - 2.5)
        assert_allclose(along, np.broadcast_to(expected[:, None, None], along.shape), rtol=1e-4)


def test_the_mask_keeps_its_volume() -> None:
    mask = tumor((40, 50, 30), (slice(10, 30), slice(12, 40), slice(8, 22)))
    box = tumor_box([], mask, TumorBoxSettings(size=90, extent=18.0), fill=[])
    drawn = float(mask.array.sum() * np.prod(SPACING))
    assert box[0].sum() * 0.2**3 == pytest.approx(drawn, rel=0.05)
    assert set(np.unique(box[0])) == {0.0, 1.0}


def test_beyond_the_image_lies_the_value_that_was_asked_for() -> None:
    mask = tumor((10, 10, 10), (slice(0, 3), slice(0, 3), slice(0, 3)))
    late = volume(np.full((10, 10, 10), 4.0, np.float32))
    box = tumor_box([late], mask, TumorBoxSettings(size=20, extent=40.0), fill=[-3.0])
    assert_array_equal(box[:, 0, 0, 0], [-3.0, 0.0])
    assert_array_equal(box[:, -1, -1, -1], [-3.0, 0.0])
    assert box[0].max() == pytest.approx(4.0)


def test_a_voxel_that_is_larger_than_those_of_the_image_is_their_average() -> None:
    rng = np.random.default_rng(0)
    noise = volume(rng.normal(size=(60, 60, 60)).astype(np.float32))
    mask = tumor((60, 60, 60), (slice(28, 32), slice(28, 32), slice(28, 32)))
    coarse = tumor_box([noise], mask, TumorBoxSettings(size=8, extent=16.0), fill=[0.0])
    assert coarse[0].std() < 0.4


def test_an_empty_mask_and_another_grid_are_refused() -> None:
    late = volume(np.zeros((9, 9, 9), np.float32))
    empty = volume(np.zeros((9, 9, 9), np.uint8))
    with pytest.raises(InputError, match="the tumor mask is empty: there is nothing to cut a box around"):
        tumor_box([late], empty, TumorBoxSettings(), fill=[0.0])
    with pytest.raises(GeometryMismatchError):
        tumor_box([late], volume(np.ones((9, 9, 8), np.uint8)), TumorBoxSettings(), fill=[0.0])
