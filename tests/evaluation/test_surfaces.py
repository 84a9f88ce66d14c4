import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from scipy import ndimage
from scipy.spatial.distance import cdist
from surface_distance import metrics as peer

from lymphct.core.arrays import BoolArray, DoubleArray, Vector3
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.evaluation.surfaces import SurfaceDefinition, SurfaceDistances, surface_distances

SPACING: Vector3 = (0.68, 0.7, 0.8)
masks = hnp.arrays(np.bool_, st.tuples(*[st.integers(1, 6)] * 3))


def mask_pairs() -> st.SearchStrategy[tuple[BoolArray, BoolArray]]:
    shapes = st.tuples(*[st.integers(1, 6)] * 3)
    return shapes.flatmap(lambda shape: st.tuples(*[hnp.arrays(np.bool_, shape)] * 2))


def blobs(seed: int = 0, shape: tuple[int, int, int] = (30, 34, 26)) -> tuple[BoolArray, BoolArray]:
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 4)
    other = np.roll(field, 2, axis=1) + 0.4 * ndimage.gaussian_filter(rng.normal(size=shape), 3)
    return (field > 0.01, other > 0.01)


def boundary(mask: BoolArray) -> DoubleArray:
    inner = ndimage.binary_erosion(mask)
    points: DoubleArray = np.argwhere(mask & ~inner) * np.asarray(SPACING)
    return points


def test_a_shifted_cube_has_distances_worked_out_by_hand() -> None:
    truth = np.zeros((9, 9, 9), dtype=bool)
    truth[3:6, 3:6, 3:6] = True  # 26 boundary voxels around one inner voxel
    distances = surface_distances(np.roll(truth, 1, axis=2), truth, SPACING)
    # Of the prediction's layers k = 4, 5, 6: in k = 6 all nine are 0.8 mm from k = 5; in k = 4 and k = 5 the
    # eight outer ones coincide; the middle of k = 4 is the inner voxel of the truth, 0.68 mm from its
    # boundary; the middle of k = 5 is the inner voxel of the prediction and no element.
    assert_allclose(np.sort(distances.prediction_to_truth), [0.0] * 16 + [0.68] + [0.8] * 9)
    assert distances.asd == pytest.approx((0.68 + 9 * 0.8) / 26)
    assert distances.assd == pytest.approx(distances.asd)  # by symmetry
    assert distances.hd == pytest.approx(0.8)
    assert distances.nsd(0.7) == pytest.approx(17 / 26)


def test_asd_runs_from_the_prediction_to_the_truth() -> None:
    truth, prediction = np.zeros((2, 12, 3, 3), dtype=bool)
    truth[2, 1, 1] = truth[10, 1, 1] = True
    prediction[2, 1, 1] = True
    distances = surface_distances(prediction, truth, SPACING)
    assert distances.asd == 0.0
    assert_allclose(np.sort(distances.truth_to_prediction), [0.0, 8 * 0.68])
    assert distances.assd == pytest.approx(8 * 0.68 / 3)  # over three elements, not the mean of 0 and 2.72
    assert distances.hd == pytest.approx(8 * 0.68)


@settings(deadline=None, max_examples=60)
@given(mask_pairs())
def test_voxel_distances_equal_brute_force(pair: tuple[BoolArray, BoolArray]) -> None:
    prediction, truth = pair
    distances = surface_distances(prediction, truth, SPACING)
    if prediction.any() and truth.any():
        table = cdist(boundary(prediction), boundary(truth))
        assert_allclose(distances.prediction_to_truth, table.min(axis=1), atol=1e-12)
        assert_allclose(distances.truth_to_prediction, table.min(axis=0), atol=1e-12)


@pytest.mark.parametrize("spacing", [SPACING, (0.8, 0.8, 5.0), (4.0, 0.5, 1.0)])
def test_near_and_far_searches_are_both_exact(spacing: Vector3) -> None:
    prediction, truth = blobs(shape=(60, 34, 26))
    prediction[:20] = False
    prediction[0, 0, 0] = True  # further from the truth than the search ball reaches
    truth[:30] = False
    distances = surface_distances(prediction, truth, spacing)
    edge = truth & ~ndimage.binary_erosion(truth)
    to_truth = ndimage.distance_transform_edt(~edge, sampling=spacing)
    assert_allclose(
        distances.prediction_to_truth, to_truth[prediction & ~ndimage.binary_erosion(prediction)], atol=1e-9
    )
    assert distances.prediction_to_truth.max() > 12 * min(spacing)


def test_elements_give_the_figures_of_surface_distance() -> None:
    prediction, truth = blobs()
    ours = surface_distances(prediction, truth, SPACING, definition="elements")
    theirs = peer.compute_surface_distances(truth, prediction, SPACING)
    to_prediction, to_truth = peer.compute_average_surface_distance(theirs)
    assert ours.asd == pytest.approx(to_truth, abs=1e-9)
    weights = ours.truth_weights
    assert np.average(ours.truth_to_prediction, weights=weights) == pytest.approx(to_prediction, abs=1e-9)
    assert ours.truth_weights.sum() == pytest.approx(theirs["surfel_areas_gt"].sum())
    for percent in (50, 90, 95, 100):
        assert ours.hd_percentile(percent) == pytest.approx(peer.compute_robust_hausdorff(theirs, percent))
    for tolerance in (0.0, 0.7, 1.0, 2.0):
        theirs_nsd = peer.compute_surface_dice_at_tolerance(theirs, tolerance)
        assert ours.nsd(tolerance) == pytest.approx(theirs_nsd, abs=1e-9)


def test_the_two_definitions_differ_as_the_module_says() -> None:
    prediction, truth = blobs()
    voxels = surface_distances(prediction, truth, SPACING, definition="voxels")
    elements = surface_distances(prediction, truth, SPACING, definition="elements")
    assert 0.01 < abs(voxels.asd - elements.asd) / voxels.asd < 0.3
    assert voxels.hd != elements.hd or voxels.hd_percentile(95) != elements.hd_percentile(95)


@given(masks.filter(np.any), st.sampled_from(["voxels", "elements"]))
@settings(deadline=None, max_examples=40)
def test_a_perfect_prediction_has_no_distance(mask: BoolArray, definition: SurfaceDefinition) -> None:
    distances = surface_distances(mask, mask, SPACING, definition=definition)
    assert distances.asd == distances.assd == distances.hd == distances.hd_percentile(95) == 0.0
    assert distances.nsd(0.0) == 1.0


@given(mask_pairs(), st.permutations(range(3)), st.integers(0, 2))
@settings(deadline=None, max_examples=40)
def test_flipping_or_swapping_axes_changes_no_distance(
    pair: tuple[BoolArray, BoolArray], order: list[int], flipped: int
) -> None:
    def sorted_distances(one: BoolArray, other: BoolArray, spacing: Vector3) -> DoubleArray:
        return np.sort(surface_distances(one, other, spacing).prediction_to_truth)

    moved = [np.flip(mask, flipped).transpose(order) for mask in pair]
    spacing = (SPACING[order[0]], SPACING[order[1]], SPACING[order[2]])
    assert_allclose(
        sorted_distances(moved[0], moved[1], spacing), sorted_distances(*pair, SPACING), atol=1e-12
    )


@given(mask_pairs())
@settings(deadline=None, max_examples=40)
def test_the_order_in_memory_changes_nothing(pair: tuple[BoolArray, BoolArray]) -> None:
    rows = surface_distances(*pair, SPACING, definition="elements")
    by_columns = [np.asfortranarray(mask) for mask in pair]
    columns = surface_distances(by_columns[0], by_columns[1], SPACING, definition="elements")
    assert_allclose([rows.asd, rows.assd, rows.hd], [columns.asd, columns.assd, columns.hd])


@pytest.mark.parametrize("definition", ["voxels", "elements"])
def test_an_empty_mask_is_infinitely_far_and_has_no_mean(definition: SurfaceDefinition) -> None:
    full, empty = np.ones((3, 3, 3), dtype=bool), np.zeros((3, 3, 3), dtype=bool)
    nothing_found = surface_distances(empty, full, SPACING, definition=definition)
    assert np.isnan(nothing_found.asd)
    assert nothing_found.assd == nothing_found.hd == nothing_found.hd_percentile(95) == np.inf
    assert nothing_found.nsd(2.0) == 0.0
    nothing_there = surface_distances(full, empty, SPACING, definition=definition)
    assert nothing_there.asd == nothing_there.assd == nothing_there.hd == np.inf
    both = surface_distances(empty, empty, SPACING, definition=definition)
    assert np.isnan([both.asd, both.assd, both.hd, both.hd_percentile(95), both.nsd(2.0)]).all()


def test_what_lies_outside_the_image_is_outside_the_mask() -> None:
    full = np.ones((4, 5, 6), dtype=bool)
    voxels = surface_distances(full, full, SPACING)
    assert voxels.prediction_weights.size == 4 * 5 * 6 - 2 * 3 * 4
    elements = surface_distances(full, full, (1.0, 1.0, 1.0), definition="elements")
    # All faces without their outer half voxels, 12 bevelled edges, 8 corners of sqrt(3)/8.
    flat = 2 * (3 * 4 + 4 * 5 + 3 * 5)
    bevels = 4 * (3 + 4 + 5) * np.sqrt(0.5)
    assert elements.truth_weights.sum() == pytest.approx(flat + bevels + np.sqrt(3))


def test_percentiles_of_voxels_interpolate_and_of_elements_cover_area() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0])
    alike = (values, values, weights, weights)
    assert SurfaceDistances(*alike).hd_percentile(75) == pytest.approx(2.5)
    by_area = SurfaceDistances(*alike, definition="elements")
    assert [by_area.hd_percentile(p) for p in (25, 26, 75, 76)] == [1.0, 2.0, 2.0, 3.0]


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(
        GeometryMismatchError, match=r"prediction \(2×3×4 voxels\) and truth \(4×3×2 voxels\)"
    ):
        surface_distances(np.ones((2, 3, 4), dtype=bool), np.ones((4, 3, 2), dtype=bool), SPACING)


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, float("nan")), (1.0, 1.0)])
def test_a_spacing_that_is_no_length_is_refused(spacing: Vector3) -> None:
    mask = np.ones((2, 2, 2), dtype=bool)
    with pytest.raises(InputError, match="not three positive, finite lengths"):
        surface_distances(mask, mask, spacing)
