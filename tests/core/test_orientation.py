"""Axes are reordered exactly: every voxel keeps its value and its place in the patient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.orientation import AxisOrder, order_towards, reordered_like, to_working_axes
from lymphct.core.volume import Volume

OBLIQUE: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
WORKING = Geometry(shape=(3, 4, 5), spacing=(0.68, 0.7, 0.8), origin=(-31.0, 42.0, 105.0), direction=OBLIQUE)

orders = st.builds(
    AxisOrder,
    axes=st.permutations([0, 1, 2]).map(tuple),
    flipped=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)


def numbered() -> Volume:
    return Volume(array=np.arange(60).reshape(WORKING.shape), geometry=WORKING)


@given(orders)
def test_every_voxel_keeps_its_place(order: AxisOrder) -> None:
    reordered = order.apply(numbered())
    for value in (0, 17, 42, 59):
        place = WORKING.world(np.argwhere(numbered().array == value)[0])
        assert_allclose(reordered.geometry.world(np.argwhere(reordered.array == value)[0]), place)
    assert reordered.array.flags.c_contiguous


@given(orders)
def test_the_working_axes_are_found_from_any_order(order: AxisOrder) -> None:
    back = to_working_axes(order.apply(numbered()))
    assert_array_equal(back.array, numbered().array)
    assert back.geometry.matches(WORKING, tolerance_voxels=1e-9)
    assert back.geometry.spacing == WORKING.spacing
    assert back.geometry.direction == WORKING.direction


@given(orders, orders)
def test_an_image_takes_the_order_of_any_reference(order: AxisOrder, other: AxisOrder) -> None:
    reference = other.apply(numbered())
    found = reordered_like(order.apply(numbered()), reference.geometry, name="mask", reference_name="CT")
    assert_array_equal(found.array, reference.array)
    assert found.geometry == reference.geometry


@given(orders)
def test_the_vectors_of_a_field_stay_in_patient_space(order: AxisOrder) -> None:
    field = Volume(array=np.arange(180).reshape(3, 4, 5, 3), geometry=WORKING)
    reordered = order.apply(field)
    index = reordered.geometry.index(WORKING.world((2, 1, 3))).round().astype(int)
    assert_array_equal(reordered.array[tuple(index)], field.array[2, 1, 3])


def test_working_axes_point_left_posterior_cranial() -> None:
    # Columns as in a file whose first axis runs cranial, its second to the right, its third anterior.
    direction: Direction = ((0, -1, 0), (0, 0, -1), (1, 0, 0))
    grid = Geometry(shape=(5, 3, 4), spacing=(0.8, 0.6, 0.7), direction=direction)
    assert order_towards(grid, Geometry(shape=(1, 1, 1), spacing=(1, 1, 1))) == AxisOrder(
        axes=(1, 2, 0), flipped=(True, True, False)
    )
    turned = to_working_axes(Volume(array=np.zeros(grid.shape), geometry=grid)).geometry
    assert turned.shape == (3, 4, 5)
    assert turned.spacing == (0.6, 0.7, 0.8)
    assert_allclose(np.asarray(turned.direction), np.eye(3))


@pytest.mark.parametrize(
    "moved",
    [
        WORKING.cropped((1, 0, 0), WORKING.shape),
        WORKING.resampled((0.68, 0.7, 0.4)),
        WORKING.cropped((0, 0, 0), (3, 4, 4)),
    ],
)
def test_another_lattice_is_refused_with_the_grid_of_the_file(moved: Geometry) -> None:
    flipped = AxisOrder(axes=(2, 0, 1), flipped=(True, False, False))
    mask = flipped.apply(Volume(array=np.zeros(moved.shape), geometry=moved))
    with pytest.raises(
        GeometryMismatchError, match="the mask lies on another voxel grid than the CT"
    ) as caught:
        reordered_like(mask, WORKING, name="mask", reference_name="CT")
    assert str(mask.geometry.shape) in str(caught.value)
