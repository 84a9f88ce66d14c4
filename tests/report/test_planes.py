import math
from itertools import permutations, product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.volume import Volume
from lymphct.report.planes import (
    Frame,
    Marks,
    Plane,
    as_displayed,
    display_order,
    edge_marks,
    frame_around,
    patch_of,
    picture_position,
    slice_number,
    slice_picture,
    whole_slice,
)

GRID = Geometry(shape=(12, 10, 8), spacing=(1.0, 2.0, 2.5), origin=(-6.0, -10.0, -10.0))
ORDERS = [
    AxisOrder(axes=(axes[0], axes[1], axes[2]), flipped=(flips[0], flips[1], flips[2]))
    for axes in permutations(range(3))
    for flips in product((False, True), repeat=3)
]


@pytest.fixture(scope="module")
def cube() -> Volume:
    """A bright cube at the patient's left, in front, near the head."""
    array = np.zeros(GRID.shape, dtype=np.int16)
    array[9:12, 0:3, 6:8] = 1000
    return Volume(array=array, geometry=GRID)


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_a_cube_at_the_patients_left_front_top_lies_at_right_and_top_of_pictures(
    cube: Volume, order: AxisOrder
) -> None:
    shown = as_displayed(order.apply(cube))
    axial = slice_picture(shown.array, Plane.AXIAL, 7)
    assert axial.shape == (10, 12)
    assert_array_equal(np.argwhere(axial)[[0, -1]], [[0, 9], [2, 11]])
    coronal = slice_picture(shown.array, Plane.CORONAL, 0)
    assert coronal.shape == (8, 12)
    assert_array_equal(np.argwhere(coronal)[[0, -1]], [[0, 9], [1, 11]])
    sagittal = slice_picture(shown.array, Plane.SAGITTAL, 11)
    assert sagittal.shape == (8, 10)
    assert_array_equal(np.argwhere(sagittal)[[0, -1]], [[0, 0], [1, 2]])
    assert shown.geometry.matches(GRID)


@pytest.mark.parametrize("order", ORDERS[::5], ids=str)
def test_marks_follow_the_patient_not_the_file(cube: Volume, order: AxisOrder) -> None:
    geometry = as_displayed(order.apply(cube)).geometry
    assert edge_marks(geometry, Plane.AXIAL) == Marks(left="R", right="L", top="A", bottom="P")
    assert edge_marks(geometry, Plane.CORONAL) == Marks(left="R", right="L", top="H", bottom="F")
    assert edge_marks(geometry, Plane.SAGITTAL) == Marks(left="A", right="P", top="H", bottom="F")


def test_an_oblique_grid_gets_two_letters_the_stronger_first() -> None:
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    turned = Geometry(
        shape=(4, 4, 4), spacing=(1, 1, 1), direction=((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))
    )
    marks = edge_marks(turned, Plane.AXIAL)
    assert (marks.left, marks.right, marks.top, marks.bottom) == ("RA", "LP", "AL", "PR")
    assert edge_marks(turned, Plane.CORONAL).top == "H"


def test_a_slightly_tilted_grid_keeps_single_letters() -> None:
    c, s = math.cos(math.radians(15)), math.sin(math.radians(15))
    tilted = Geometry(
        shape=(4, 4, 4), spacing=(1, 1, 1), direction=((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c))
    )
    assert edge_marks(tilted, Plane.SAGITTAL) == Marks(left="A", right="P", top="H", bottom="F")


@pytest.mark.parametrize("order", ORDERS[::5], ids=str)
def test_slices_are_counted_from_1_along_the_axis_of_the_file(cube: Volume, order: AxisOrder) -> None:
    filed = order.apply(cube)
    shown = as_displayed(filed)
    back = display_order(filed.geometry)
    for plane, index in ((Plane.AXIAL, 6), (Plane.CORONAL, 2), (Plane.SAGITTAL, 11)):
        number = slice_number(back, shown.geometry, plane, index)
        in_file = np.take(filed.array, number - 1, axis=back.axes[plane.normal])
        in_picture = slice_picture(shown.array, plane, index)
        assert np.count_nonzero(in_file) == np.count_nonzero(in_picture) > 0
        opposite = shown.geometry.shape[plane.normal] - number
        assert not np.any(np.take(filed.array, opposite, axis=back.axes[plane.normal]))


def test_nothing_is_copied_for_display(cube: Volume) -> None:
    filed = AxisOrder(axes=(2, 1, 0), flipped=(True, False, True)).apply(cube)
    assert np.shares_memory(as_displayed(filed).array, filed.array)


def test_pictures_keep_true_proportions() -> None:
    axial, coronal = whole_slice(GRID, Plane.AXIAL, 0), whole_slice(GRID, Plane.CORONAL, 0)
    assert (axial.width, axial.height) == (12.0, 20.0)
    assert (coronal.width, coronal.height) == (12.0, 20.0)
    sagittal = whole_slice(GRID, Plane.SAGITTAL, 3)
    assert (sagittal.left, sagittal.top, sagittal.width, sagittal.height) == (0.0, 0.0, 20.0, 20.0)


def test_voxels_and_pixels_agree_on_their_place() -> None:
    array = np.zeros(GRID.shape)
    array[9, 4, 6] = 1
    for plane, index in ((Plane.AXIAL, 6), (Plane.CORONAL, 4), (Plane.SAGITTAL, 9)):
        ((row, column),) = np.argwhere(slice_picture(array, plane, index))
        patch = patch_of(GRID, whole_slice(GRID, plane, index))
        high, wide = patch.spacing
        center = ((column + 0.5) * wide, (row + 0.5) * high)
        assert_allclose(picture_position(GRID, plane, (9.0, 4.0, 6.0)), center)


def test_a_frame_is_centered_on_its_voxel() -> None:
    frame = frame_around(GRID, Plane.CORONAL, (9, 4, 6), 6.0)
    assert frame.index == 4
    assert_allclose((frame.left, frame.top), (9.5 - 3.0, 3.75 - 3.0))
    assert (frame.width, frame.height) == (6.0, 6.0)


def test_a_patch_reaches_one_pixel_beyond_its_frame_and_stops_at_the_image() -> None:
    inside = patch_of(GRID, Frame(plane=Plane.AXIAL, index=0, left=3.2, top=4.1, width=2.0, height=3.0))
    assert (inside.columns, inside.rows) == ((2, 7), (1, 5))
    assert inside.corner == (2.0, 2.0)
    corner = patch_of(GRID, frame_around(GRID, Plane.AXIAL, (0, 0, 0), 6.0))
    assert (corner.columns, corner.rows) == ((0, 5), (0, 3))


def test_a_frame_outside_the_image_has_no_pixels() -> None:
    outside = Frame(plane=Plane.AXIAL, index=0, left=40.0, top=4.0, width=2.0, height=3.0)
    assert patch_of(GRID, outside).is_empty
    before = Frame(plane=Plane.AXIAL, index=0, left=0.0, top=-9.0, width=2.0, height=3.0)
    assert patch_of(GRID, before).is_empty
