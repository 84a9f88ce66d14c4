"""A registration answers for any grid: fields in mm, images read once, labels by the nearest voxel."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample
from lymphct.registration.deeds import ControlField
from lymphct.registration.field import dense
from lymphct.registration.result import Registration, RegistrationReport

OBLIQUE: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0))
WORK = Geometry(shape=(22, 20, 18), spacing=(2.0, 2.0, 2.0), origin=(-3.0, 5.0, 40.0), direction=OBLIQUE)
OTHER = Geometry(
    shape=(15, 17, 13),
    spacing=(1.5, 1.1, 2.3),
    origin=(-20.0, 8.0, 12.0),
    direction=((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
)
AFFINE = np.array([[1.02, 0.03, 0.0, 1.5], [-0.03, 0.98, 0.01, -2.0], [0.0, 0.0, 1.05, 0.5], [0, 0, 0, 1]])


def report() -> RegistrationReport:
    return RegistrationReport(
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


def registration(*, scale: float = 1.5, affine: DoubleArray | None = None) -> Registration:
    displacement = np.random.default_rng(0).normal(0.0, scale, (3, 5, 5, 4)).astype(np.float32)
    control = ControlField(displacement=displacement, spacing=4)
    matrix = np.eye(4) if affine is None else affine
    return Registration(grid=WORK, control=control, affine=matrix, report=report())


def smooth(grid: Geometry) -> Volume:
    """A linear function of the position: linear interpolation is exact."""
    world = grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return Volume(array=(world @ [1.5, -2.0, 0.75]).astype(np.float32), geometry=grid)


def test_on_the_work_grid_the_displacement_is_the_dense_field_in_mm_along_lps() -> None:
    found = registration()
    voxels = np.moveaxis(dense(found.control, WORK.shape), 0, -1)
    wanted = 2.0 * voxels @ np.asarray(OBLIQUE).T
    assert_allclose(found.displacement(WORK), wanted, atol=1e-4)


def test_the_affine_part_comes_before_the_field() -> None:
    found = registration(affine=AFFINE)
    index = np.moveaxis(np.indices(WORK.shape), 0, -1)
    there = index @ AFFINE[:3, :3].T + AFFINE[:3, 3] + np.moveaxis(dense(found.control, WORK.shape), 0, -1)
    wanted = WORK.world(there) - WORK.world(index)
    assert_allclose(found.displacement(WORK), wanted, atol=1e-4)


@pytest.mark.parametrize("affine", [None, AFFINE])
def test_a_warped_image_shows_the_moving_image_at_p_plus_u(affine: DoubleArray | None) -> None:
    found = registration(affine=affine)
    large = Geometry(shape=(60, 60, 60), spacing=(2.5, 2.0, 3.0), origin=(-90.0, -60.0, -60.0))
    warped = found.warp_image(smooth(large), OTHER)
    assert warped.geometry == OTHER
    assert warped.array.dtype == np.float32
    p = OTHER.world(np.moveaxis(np.indices(OTHER.shape), 0, -1))
    u = found.displacement(OTHER)
    assert np.abs(u).max() > 1.0
    assert_allclose(warped.array, (p + u) @ [1.5, -2.0, 0.75], atol=2e-3)


def test_beyond_the_work_grid_the_edge_of_the_field_holds() -> None:
    found = registration()
    far = Geometry(
        shape=(1, 1, 1), spacing=(1.0, 1.0, 1.0), origin=tuple(WORK.world((-50, -50, -50)).tolist())
    )
    corner = 2.0 * np.asarray(OBLIQUE) @ found.control.displacement[:, 0, 0, 0]
    assert_allclose(found.displacement(far)[0, 0, 0], corner, atol=1e-5)


def test_without_displacement_an_image_is_resampled_through_the_patient_s_coordinates() -> None:
    still = registration(scale=0.0)
    values = np.random.default_rng(1).normal(size=WORK.shape).astype(np.float32)
    image = Volume(array=values, geometry=WORK)
    wanted = resample(image, OTHER, fill=-1024.0)
    assert 0.05 < np.mean(wanted.array == -1024.0) < 0.95
    assert_allclose(still.warp_image(image, OTHER).array, wanted.array, atol=1e-4)
    assert_array_equal(still.warp_image(image, WORK).array, values)


def test_labels_keep_their_numbers_and_type_and_are_zero_outside() -> None:
    found = registration()
    labels = Volume(array=np.random.default_rng(2).integers(5, 9, WORK.shape).astype(np.uint8), geometry=WORK)
    warped = found.warp_labels(labels, OTHER)
    assert warped.array.dtype == np.uint8
    assert set(np.unique(warped.array)) == {0, 5, 6, 7, 8}
    index = np.floor(WORK.index(OTHER.world((7, 8, 6)) + found.displacement(OTHER)[7, 8, 6]) + 0.5).astype(
        int
    )
    i, j, k = index
    assert warped.array[7, 8, 6] == labels.array[i, j, k]


def test_a_mask_of_truth_values_can_be_warped() -> None:
    mask = Volume(array=np.ones(WORK.shape, dtype=np.bool_), geometry=WORK)
    assert registration().warp_labels(mask, WORK).array.dtype == np.bool_


def test_labels_that_are_no_whole_numbers_are_refused() -> None:
    image = Volume(array=np.ones(WORK.shape, dtype=np.float32), geometry=WORK)
    with pytest.raises(InputError, match="a label map holds whole numbers, not float32 values") as caught:
        registration().warp_labels(image, WORK)
    assert caught.value.exit_code == 3


def test_one_thread_and_two_give_the_same_bits() -> None:
    one, two = registration(), replace(registration(), threads=2)
    image = smooth(OTHER)
    assert_array_equal(one.warp_image(image, WORK).array, two.warp_image(image, WORK).array)
    assert_array_equal(one.displacement(OTHER), two.displacement(OTHER))


def test_warping_needs_little_beside_its_output() -> None:
    found = registration(affine=AFFINE)
    large = Geometry(shape=(160, 150, 100), spacing=(0.68, 0.68, 0.8), origin=(-60.0, -50.0, -10.0))
    image = Volume(array=np.zeros(large.shape, dtype=np.int16), geometry=large)
    found.warp_image(smooth(OTHER), OTHER)  # compiles
    tracemalloc.start()
    try:
        warped = found.warp_image(image, large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < warped.array.nbytes + 1_000_000


def test_a_report_with_flags_makes_a_registration_suspicious() -> None:
    found = registration()
    assert not found.is_flagged
    assert replace(found, report=replace(found.report, flags=("it folds",))).is_flagged


def test_the_record_of_a_report_holds_plain_values() -> None:
    record = replace(report(), flags=("it folds",)).record()
    assert record["flags"] == ["it folds"]
    assert record["method"] == "deeds"
    assert list(record)[-1] == "flags"
