import numpy as np
from numpy.testing import assert_allclose

from lymphct.core.arrays import FloatArray
from lymphct.phantom.shapes import Ellipsoid, Tube, tube


def at(*points: tuple[float, float, float]) -> FloatArray:
    return np.asarray(points, dtype=np.float32).reshape(-1, 1, 1, 3)


def test_a_straight_tube_has_the_distance_of_a_cylinder_with_round_ends() -> None:
    straight = tube((0, 0, 0, 2), (0, 0, 10, 2))
    points = at((5, 0, 5), (0, 0, 5), (0, 0, 13), (3, 4, 10))
    assert_allclose(straight.distance(points).ravel(), [3, -2, 1, 3], atol=1e-5)


def test_a_tube_widens_between_its_points() -> None:
    cone = Tube(np.array([[0, 0, 0, 1], [0, 0, 10, 3]], dtype=np.float32))
    assert_allclose(cone.distance(at((6, 0, 5))).ravel(), [4.0], atol=1e-5)


def test_a_smooth_tube_passes_through_its_points() -> None:
    rows = [(0.0, 0.0, 0.0, 1.0), (10.0, 5.0, 0.0, 2.0), (12.0, 20.0, 3.0, 1.5)]
    distance = tube(*rows).distance(at(*[row[:3] for row in rows]))
    assert_allclose(distance.ravel(), [-1, -2, -1.5], atol=0.02)


def test_a_resized_tube_keeps_its_path() -> None:
    thin = tube((0, 0, 0, 2), (0, 0, 10, 2)).resized(scale=0.5, add=0.5)
    assert_allclose(thin.path[:, 3], 1.5)
    assert_allclose(tube((0, 0, 0, 2), (0, 0, 9, 2)).resized(add=-5.0).path[:, 3], 0.3)


def test_an_ellipsoid_is_exact_on_its_axes_near_the_surface() -> None:
    egg = Ellipsoid((1, 2, 3), (4, 6, 8))
    points = at((5, 2, 3), (1, 8, 3), (1, 2, 11), (5.1, 2, 3), (1, 2, 10.8))
    assert_allclose(egg.distance(points).ravel(), [0, 0, 0, 0.1, -0.2], atol=0.01)


def test_turning_an_ellipsoid_a_quarter_swaps_its_first_axes() -> None:
    turned = Ellipsoid((0, 0, 0), (2, 9, 5), turn=90)
    plain = Ellipsoid((0, 0, 0), (9, 2, 5))
    points = at((8, 1, 0), (1, 3, 4), (10, 0, 1))
    assert_allclose(turned.distance(points), plain.distance(points), atol=1e-4)


def test_tilting_an_ellipsoid_a_quarter_swaps_its_last_axes() -> None:
    points = at((1, 8, 0), (1, 3, 4))
    tilted, plain = Ellipsoid((0, 0, 0), (2, 9, 5), tilt=90), Ellipsoid((0, 0, 0), (2, 5, 9))
    assert_allclose(tilted.distance(points), plain.distance(points), atol=1e-4)


def test_bounds_hold_every_point_inside() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-30, 30, (20, 20, 20, 3)).astype(np.float32)
    for shape in (
        Ellipsoid((3, -4, 5), (4, 12, 8), turn=30, tilt=-20),
        tube((-9, 0, 0, 3), (0, 9, 4, 5), (8, 3, -9, 2)),
    ):
        low, high = shape.bounds()
        inside = points[shape.distance(points) < 0]
        assert len(inside) > 0
        assert (inside >= low - 0.3).all()
        assert (inside <= high + 0.3).all()


def test_a_grown_ellipsoid_is_larger_on_every_side() -> None:
    assert Ellipsoid((0, 0, 0), (2, 3, 4), turn=5).grown(1.5) == Ellipsoid((0, 0, 0), (3.5, 4.5, 5.5), turn=5)
