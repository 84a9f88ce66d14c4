"""Resampling through positions in the patient, and intensities measured on training patients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import DoubleArray, Vector3
from lymphct.core.errors import GeometryMismatchError, InputError, LeakageError
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.volume import Volume
from lymphct.imaging import preprocess
from lymphct.imaging.preprocess import (
    DEFAULT_INTENSITY,
    IntensityStatistics,
    fit_intensity,
    normalize,
    resample,
    resample_labels,
    working_grid,
)
from lymphct.imaging.resampling import Interpolation
from lymphct.imaging.settings import ImagingSettings

OBLIQUE: Direction = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0))
"""Turned about the cranio-caudal axis by 37 degrees and mirrored: determinant -1."""
GRID = Geometry(shape=(12, 10, 9), spacing=(0.7, 0.9, 2.5), origin=(-31.0, 42.0, 105.0), direction=OBLIQUE)

ORDERS = st.builds(
    AxisOrder,
    axes=st.permutations([0, 1, 2]).map(tuple),
    flipped=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)


def noise(grid: Geometry = GRID, seed: int = 0) -> Volume:
    return Volume(array=np.random.default_rng(seed).normal(size=grid.shape).astype(np.float32), geometry=grid)


def ramp(grid: Geometry) -> DoubleArray:
    """A linear function of the position in the patient."""
    positions = grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))
    values: DoubleArray = positions @ np.array([1.5, -2.0, 0.75]) + 12.0
    return values


def test_the_paper_s_spacing_is_the_default() -> None:
    assert ImagingSettings().spacing == (0.68, 0.68, 0.80)


@settings(max_examples=24, deadline=None)
@given(ORDERS)
def test_on_the_same_lattice_voxels_are_moved_not_interpolated(order: AxisOrder) -> None:
    reordered = order.apply(noise())
    for interpolation in ("nearest", "linear", "cubic"):
        back = resample(reordered, GRID, interpolation=interpolation)
        assert_array_equal(back.array, noise().array)
        assert back.geometry == GRID


def test_on_its_own_grid_an_image_is_returned_as_it_is() -> None:
    volume = noise()
    assert np.shares_memory(resample(volume, GRID).array, volume.array)


@settings(max_examples=24, deadline=None)
@given(ORDERS, st.sampled_from([(0.5, 0.5, 0.5), (1.3, 0.4, 3.1), (0.7, 0.9, 1.25)]))
def test_a_linear_ramp_is_reproduced_inside(order: AxisOrder, spacing: Vector3) -> None:
    image = Volume(array=ramp(GRID).astype(np.float32), geometry=GRID)
    grid = order.apply_to_grid(GRID).resampled(spacing)
    found = resample(image, grid)
    index = GRID.index(grid.world(np.moveaxis(np.indices(grid.shape), 0, -1)))
    inside = ((index >= 0) & (index <= np.array(GRID.shape) - 1)).all(axis=-1)
    assert inside.mean() > 0.4
    assert_allclose(found.array[inside], ramp(grid)[inside], rtol=0, atol=1e-4)


def test_a_rotated_target_grid_reads_the_ramp_too() -> None:
    image = Volume(array=ramp(GRID).astype(np.float32), geometry=GRID)
    center = GRID.world((np.array(GRID.shape) - 1) / 2)
    start = tuple((center - 1.5).tolist())
    grid = Geometry(shape=(4, 4, 4), spacing=(1.0, 1.0, 1.0), origin=(start[0], start[1], start[2]))
    for interpolation, tolerance in (("linear", 1e-4), ("cubic", 0.05)):
        found = resample(image, grid, interpolation=interpolation)  # type: ignore[arg-type] # of a tuple of str
        assert_allclose(found.array, ramp(grid), rtol=0, atol=tolerance)


def test_to_a_finer_grid_and_back_returns() -> None:
    labels = Volume(
        array=np.random.default_rng(3).integers(0, 20, GRID.shape).astype(np.uint8), geometry=GRID
    )
    fine = GRID.resampled((0.7 / 3, 0.3, 0.5))
    there = resample_labels(labels, fine)
    assert there.array.shape == (36, 30, 45)
    assert_array_equal(resample_labels(there, GRID).array, labels.array)


def test_a_smooth_image_survives_there_and_back() -> None:
    grid = Geometry(shape=(24, 24, 24), spacing=(1.0, 1.0, 1.0))
    wave = np.sin(np.indices(grid.shape).sum(axis=0) / 6).astype(np.float32)
    there = resample(
        Volume(array=wave, geometry=grid), grid.resampled((0.5, 0.5, 0.5)), interpolation="cubic"
    )
    back = resample(there, grid, interpolation="cubic")
    assert_allclose(back.array[2:-2, 2:-2, 2:-2], wave[2:-2, 2:-2, 2:-2], rtol=0, atol=0.02)


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_up_to_the_faces_of_the_image_the_edge_value_holds(interpolation: Interpolation) -> None:
    # Voxel faces lie at 0 and 4; centres of the finer grid at -1/6, 1/6, ... 4 - 1/6 and beyond.
    line = Geometry(shape=(4, 1, 1), spacing=(1.0, 1.0, 1.0), origin=(0.5, 0.0, 0.0))
    image = Volume(array=np.arange(4, dtype=np.float32).reshape(4, 1, 1) + 5, geometry=line)
    finer = Geometry(shape=(14, 1, 1), spacing=(1 / 3, 1.0, 1.0), origin=(-1 / 6, 0.0, 0.0))
    found = resample(image, finer, fill=-9.0, interpolation=interpolation).array.ravel()
    assert found[[0, -1]].tolist() == [-9.0, -9.0]
    assert_allclose(found[[1, 2, -3, -2]], [5.0, 5.0, 8.0, 8.0])


@pytest.mark.parametrize("voxels", [1, 3, 5, 511])
def test_a_centre_on_the_very_face_of_the_image_is_inside(voxels: int) -> None:
    line = Geometry(shape=(voxels, 1, 1), spacing=(0.3, 1.0, 1.0), origin=(-177.7, 3.1, 1000.3))
    image = Volume(array=np.full((voxels, 1, 1), 7.0, dtype=np.float32), geometry=line)
    faces = line.world([(-0.5, 0, 0), (voxels - 0.5, 0, 0)])
    grid = Geometry(
        shape=(2, 1, 1), spacing=(voxels * 0.3, 1.0, 1.0), origin=(float(faces[0, 0]), 3.1, 1000.3)
    )
    assert resample(image, grid, fill=-1.0).array.ravel().tolist() == [7.0, 7.0]


@pytest.mark.parametrize("voxels", [1, 2, 3])
def test_images_of_few_slices_can_be_resampled(voxels: int) -> None:
    grid = Geometry(shape=(6, 6, voxels), spacing=(1.0, 1.0, 5.0), direction=OBLIQUE)
    image = Volume(array=np.full(grid.shape, 3.0, dtype=np.float32), geometry=grid)
    for interpolation in ("nearest", "linear", "cubic"):
        found = resample(image, grid.resampled((0.6, 1.2, 2.0)), fill=-1.0, interpolation=interpolation)
        assert_allclose(found.array, 3.0, rtol=1e-5)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.bool_])
def test_labels_keep_their_type_and_their_numbers(kind: type[np.generic]) -> None:
    labels = (np.random.default_rng(2).integers(0, 2, GRID.shape) * 200).astype(kind)
    found = resample_labels(Volume(array=labels, geometry=GRID), working_grid(GRID, (1.0, 1.0, 1.0)))
    assert found.array.dtype == kind
    assert set(np.unique(found.array).tolist()) <= set(np.unique(labels).tolist())
    assert found.array.any()


@pytest.mark.parametrize("kind", [np.int16, np.float64, np.float32])
def test_interpolated_values_are_single_precision(kind: type[np.generic]) -> None:
    image = Volume(array=np.ones(GRID.shape, dtype=kind), geometry=GRID)
    assert resample(image, GRID.resampled((1.0, 1.0, 1.0))).array.dtype == np.float32
    assert resample(image, GRID).array.dtype == np.float32


def test_the_working_grid_points_left_posterior_cranial_over_the_same_box() -> None:
    order = AxisOrder(axes=(2, 0, 1), flipped=(True, False, True))
    plain = Geometry(shape=(20, 30, 40), spacing=(0.7, 0.8, 5.0), origin=(-100.0, -50.0, 7.0))
    grid = working_grid(order.apply_to_grid(plain), (1.4, 0.8, 2.5))
    assert_allclose(np.asarray(grid.direction), np.eye(3), atol=1e-12)
    assert grid.shape == (10, 30, 80)
    assert_allclose(grid.world((-0.5, -0.5, -0.5)), plain.world((-0.5, -0.5, -0.5)))
    assert_allclose(grid.world((9.5, 29.5, 79.5)), plain.world((19.5, 29.5, 39.5)))


def test_an_oblique_grid_keeps_its_axes() -> None:
    order = AxisOrder(axes=(1, 2, 0), flipped=(False, True, True))
    grid = working_grid(order.apply_to_grid(GRID), (0.7, 0.9, 2.5))
    cosines = np.asarray(grid.direction)
    assert_allclose(cosines, np.asarray(OBLIQUE) * (1, 1, -1), atol=1e-12)
    assert np.argmax(np.abs(cosines), axis=0).tolist() == [0, 1, 2]
    assert (np.diag(cosines) > 0).all()


def test_to_the_working_grid_and_back_every_label_is_where_it_was() -> None:
    order = AxisOrder(axes=(2, 1, 0), flipped=(True, True, False))
    acquired = order.apply_to_grid(GRID)
    labels = Volume(
        array=np.random.default_rng(5).integers(0, 9, acquired.shape).astype(np.uint8), geometry=acquired
    )
    grid = working_grid(acquired, (0.35, 0.3, 0.5))
    assert_array_equal(resample_labels(resample_labels(labels, grid), acquired).array, labels.array)


def patients(count: int) -> list[tuple[Volume, Volume]]:
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        ct = Volume(array=rng.normal(70, 40, GRID.shape).astype(np.float32), geometry=GRID)
        pairs.append((ct, ct.with_array((ct.array > 0).astype(np.uint8))))
    return pairs


def test_intensities_are_those_of_the_foreground() -> None:
    pairs = patients(3)
    foreground = np.concatenate([ct.array[mask.array != 0] for ct, mask in pairs]).astype(np.float64)
    low, high = np.percentile(foreground, (0.5, 99.5))
    found = fit_intensity(pairs, ["a", "b", "c"]).value
    assert_allclose((found.low, found.high), (low, high), rtol=1e-6)
    assert_allclose(
        (found.mean, found.sd), (np.clip(foreground, low, high).mean(), np.clip(foreground, low, high).std())
    )


def test_the_foreground_has_mean_zero_and_deviation_one_once_normalized() -> None:
    pairs = patients(1)
    (ct, mask), statistics = pairs[0], fit_intensity(pairs, ["a"]).for_unseen(["b"])
    values = normalize(ct, statistics).array[mask.array != 0].astype(np.float64)
    assert_allclose((values.mean(), values.std()), (0, 1), atol=1e-5)


def test_a_large_patient_does_not_outweigh_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "VALUES_PER_PATIENT", 50)
    large = Geometry(shape=(40, 40, 40), spacing=(1.0, 1.0, 1.0))
    small = Geometry(shape=(5, 5, 2), spacing=(1.0, 1.0, 1.0))
    rng = np.random.default_rng(1)
    pairs = [
        (
            Volume(array=rng.uniform(0, 10, large.shape), geometry=large),
            Volume(array=np.ones(large.shape), geometry=large),
        ),
        (
            Volume(array=rng.uniform(90, 100, small.shape), geometry=small),
            Volume(array=np.ones(small.shape), geometry=small),
        ),
    ]
    assert fit_intensity(pairs, ["a", "b"]).value.mean == pytest.approx(50, abs=0.5)


def test_fitted_intensities_refuse_the_patients_they_were_fitted_on() -> None:
    with pytest.raises(LeakageError, match="cannot be evaluated: b"):
        fit_intensity(patients(2), ["a", "b"]).for_unseen(["b"])


def test_intensities_without_foreground_are_refused() -> None:
    ct, mask = patients(1)[0]
    empty = mask.with_array(np.zeros_like(mask.array))
    with pytest.raises(InputError, match="no foreground voxel in any training patient"):
        fit_intensity([(ct, empty)], ["a"])
    with pytest.raises(InputError, match="no foreground voxel in any training patient"):
        fit_intensity([], [])


def test_a_foreground_mask_on_another_grid_is_refused() -> None:
    ct, mask = patients(1)[0]
    moved = Volume(array=mask.array, geometry=GRID.cropped((1, 0, 0), GRID.shape))
    with pytest.raises(
        GeometryMismatchError, match="the foreground mask lies on another voxel grid than the CT"
    ):
        fit_intensity([(ct, moved)], ["a"])


@pytest.mark.parametrize(
    "values", [(5, 5, 5, 1), (0, 5, 1, 0), (0, 5, float("nan"), 1), (0, float("inf"), 1, 1)]
)
def test_statistics_that_cannot_normalize_are_refused(values: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="finite values, low < high and sd > 0"):
        IntensityStatistics(*values)


def test_normalizing_clips_then_scales() -> None:
    grid = Geometry(shape=(4, 1, 1), spacing=(1.0, 1.0, 1.0))
    ct = Volume(array=np.array([-1000, -100, 155, 3000], dtype=np.int16).reshape(4, 1, 1), geometry=grid)
    found = normalize(ct, DEFAULT_INTENSITY)
    assert found.array.dtype == np.float32
    assert_allclose(found.array.ravel(), [-2, -2, 1, 2])
    assert DEFAULT_INTENSITY.fill == -2.0
    assert ct.array.ravel().tolist() == [-1000, -100, 155, 3000]
