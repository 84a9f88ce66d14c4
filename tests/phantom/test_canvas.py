"""The canvas on which a patient is painted."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.geometry import Geometry
from lymphct.phantom.canvas import Canvas, Fat, Tissue
from lymphct.phantom.deformation import positions
from lymphct.phantom.shapes import Ellipsoid

GRID = Geometry(shape=(24, 20, 16), spacing=(2.0, 2.0, 2.5), origin=(-23.0, -19.0, -18.75))
WHOLE = (slice(None), slice(None), slice(None))
BALL = Ellipsoid((0.0, 0.0, 0.0), (10.0, 10.0, 10.0))
BRIGHT = Tissue(arterial=100.0, venous=200.0)


@pytest.fixture
def canvas() -> Canvas:
    world = positions(GRID)
    return Canvas(GRID, world, world)


def test_an_empty_canvas_is_air_without_labels_or_fat(canvas: Canvas) -> None:
    assert (canvas.arterial == -1000).all()
    assert (canvas.venous == -1000).all()
    assert not canvas.labels.any()
    assert not canvas.fat.any()


def test_a_shape_is_painted_where_its_distance_is_negative(canvas: Canvas) -> None:
    canvas.paint(BALL, BRIGHT, label=5)
    inside = BALL.distance(canvas.atlas) < 0
    assert_array_equal(canvas.labels == 5, inside)
    deep = BALL.distance(canvas.atlas) < -canvas.edge
    assert_allclose(canvas.venous[deep], 200.0)
    assert_allclose(canvas.arterial[deep], 100.0)


def test_an_edge_is_spread_over_one_voxel(canvas: Canvas) -> None:
    assert canvas.edge == pytest.approx(10 ** (1 / 3))
    at = np.array([-canvas.edge, 0.0, canvas.edge / 4, canvas.edge], dtype=np.float32)
    assert_allclose(canvas.amount(at), [1.0, 0.5, 0.25, 0.0], atol=1e-6)


def test_the_box_holds_all_of_a_shape(canvas: Canvas) -> None:
    box = canvas.box(BALL)
    assert box is not None
    outside = np.ones(GRID.shape, dtype=bool)
    outside[box] = False
    assert not (outside & (BALL.distance(canvas.atlas) < 0)).any()


def test_what_is_out_of_view_is_not_painted(canvas: Canvas) -> None:
    away = Ellipsoid((500.0, 0.0, 0.0), (10.0, 10.0, 10.0))
    assert canvas.box(away) is None
    canvas.paint(away, BRIGHT, label=5)
    assert not canvas.labels.any()


def test_a_shape_without_a_label_keeps_the_labels_but_takes_the_fat(canvas: Canvas) -> None:
    canvas.labels[:] = 7
    canvas.fat[:] = Fat.INNER
    canvas.paint(BALL, BRIGHT, label=None)
    assert (canvas.labels == 7).all()
    assert_array_equal(canvas.fat == 0, BALL.distance(canvas.atlas) < 0)


def test_a_label_may_reach_further_than_its_tissue(canvas: Canvas) -> None:
    distance = BALL.distance(canvas.atlas)
    canvas.paint_distance(WHOLE, distance, BRIGHT, 8, 4.0)
    assert_array_equal(canvas.labels == 8, distance < 4.0)
    assert (canvas.venous[(distance > canvas.edge) & (distance < 4.0)] == -1000).all()


def test_room_given_back_to_fat_has_no_label(canvas: Canvas) -> None:
    canvas.labels[:] = 7
    distance = BALL.distance(canvas.atlas)
    canvas.paint_fat(WHOLE, distance, Tissue(-100.0, -100.0))
    assert_array_equal(canvas.fat == Fat.INNER, distance < 0)
    assert_array_equal(canvas.labels == 0, distance < 0)
