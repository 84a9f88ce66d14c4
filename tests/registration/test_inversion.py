"""A registration turned round leads back to where one came from."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import DoubleArray
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.registration.field import ControlField, resample_nodes
from lymphct.registration.inversion import inverted
from lymphct.registration.pulling import NO_CONTROL
from lymphct.registration.result import Registration, RegistrationReport

GRID = Geometry(shape=(48, 40, 36), spacing=(2.0, 2.0, 2.0), origin=(-40.0, -30.0, 10.0))
AFFINE = np.array([[1.02, 0.03, 0.0, 1.5], [-0.03, 0.98, 0.01, -2.0], [0.0, 0.0, 1.05, 0.5], [0, 0, 0, 1]])
REPORT = RegistrationReport(
    method="deeds",
    min_jacobian=0.5,
    folding_percent=0.0,
    sd_log_jacobian=0.1,
    consistency_mean_mm=0.1,
    consistency_p95_mm=0.2,
    distance_before=9.0,
    distance_after=5.0,
    overlap=1.0,
    seconds=1.0,
    peak_memory_mb=300.0,
)


def breathing(affine: DoubleArray | None = None) -> Registration:
    """Some mm, smooth over 2 cm."""
    coarse = np.random.default_rng(4).normal(0.0, 1.2, (3, 5, 4, 4)).astype(np.float32)
    control = ControlField(displacement=resample_nodes(coarse, (24, 20, 18)), spacing=2)
    return Registration(
        grid=GRID, control=control, affine=np.eye(4) if affine is None else affine, report=REPORT
    )


def there(registration: Registration, points: DoubleArray) -> DoubleArray:
    """Where points of the fixed image, mm, lie in the moving one."""
    found = np.empty_like(points)
    for number, point in enumerate(points):
        x, y, z = (float(value) for value in point)
        one = Geometry(shape=(1, 1, 1), spacing=(1.0, 1.0, 1.0), origin=(x, y, z))
        found[number] = point + registration.displacement(one)[0, 0, 0]
    return found


@pytest.mark.parametrize("affine", [None, AFFINE])
def test_there_and_back_ends_where_it_began(affine: DoubleArray | None) -> None:
    forward = breathing(affine)
    index = np.random.default_rng(1).uniform(10, 26, (200, 3))
    points = GRID.world(index)
    moved = there(forward, points)
    assert np.linalg.norm(moved - points, axis=1).max() > 3
    back = there(inverted(forward), moved)
    # The way back is read between control points 4 mm apart.
    misses = np.linalg.norm(back - points, axis=1)
    assert misses.mean() < 0.1
    assert misses.max() < 1.0  # half a voxel, where the field has a crease


def test_a_mask_comes_back_nearly_as_it_was() -> None:
    index = np.moveaxis(np.indices(GRID.shape), 0, -1)
    ball = (np.linalg.norm((index - (22, 20, 18)) * 2.0, axis=-1) < 14).astype(np.uint8)
    mask = Volume(array=ball, geometry=GRID)
    forward = breathing()
    on_moving = inverted(forward).warp_labels(mask, GRID)
    again = forward.warp_labels(on_moving, GRID).array
    both = 2 * np.sum((again > 0) & (ball > 0)) / (again.sum() + ball.sum())
    assert both > 0.97
    assert np.mean(on_moving.array != ball) > 0.002  # it did go somewhere


def test_what_is_affine_alone_is_turned_round_exactly() -> None:
    control = ControlField(displacement=NO_CONTROL, spacing=1)
    back = inverted(Registration(grid=GRID, control=control, affine=AFFINE, report=REPORT))
    assert_allclose(back.affine @ AFFINE, np.eye(4), atol=1e-12)
    assert_array_equal(back.control.displacement, NO_CONTROL)
