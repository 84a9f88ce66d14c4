import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lymphct.core.arrays import AnyArray, BoolArray, Vector3
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.evaluation.segmentation import (
    SegmentationScores,
    VoxelCounts,
    dice,
    label_counts,
    label_scores,
    segmentation_scores,
    summarize,
    voxel_counts,
)
from lymphct.evaluation.surfaces import SurfaceSettings

SPACING: Vector3 = (0.68, 0.7, 0.8)


def bars() -> tuple[BoolArray, BoolArray]:
    prediction, truth = np.zeros((2, 10, 6, 6), dtype=bool)
    truth[2:8, 2:4, 2:4] = True  # 24 voxels
    prediction[4:9, 2:4, 2:4] = True  # 20 voxels, 16 of them true
    return (prediction, truth)


def random_maps(seed: int, dtype: str = "uint8") -> tuple[AnyArray, AnyArray]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 4, (5, 6, 4))
    truth = coarse.repeat(4, 0).repeat(3, 1).repeat(3, 2)
    return (np.roll(truth, 1, axis=0).astype(dtype), truth.astype(dtype))


def test_overlap_and_volumes_are_those_worked_out_by_hand() -> None:
    scores = segmentation_scores(*bars(), SPACING)
    assert scores.dice == pytest.approx(2 * 16 / 44)
    assert scores.recall == pytest.approx(16 / 24)
    assert scores.precision == pytest.approx(16 / 20)
    assert scores.volume_truth_mm3 == pytest.approx(24 * 0.68 * 0.7 * 0.8)
    assert scores.volume_prediction_mm3 == pytest.approx(20 * 0.68 * 0.7 * 0.8)
    # All voxels are boundary. Predicted bar: layers 4-7 coincide, layer 8 is one step off.
    assert scores.asd == pytest.approx(4 * 0.68 / 20)
    # True bar: layers 2 and 3 are two and one steps off.
    assert scores.assd == pytest.approx((4 + 12) * 0.68 / 44)
    assert scores.hd == pytest.approx(2 * 0.68)
    assert scores.nsd == 1.0
    assert segmentation_scores(*bars(), SPACING, tolerance=0.7).nsd == pytest.approx(40 / 44)


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.bool_, st.tuples(*[st.integers(1, 6)] * 3)).filter(np.any))
def test_a_perfect_prediction_scores_1(mask: BoolArray) -> None:
    scores = segmentation_scores(mask, mask, SPACING)
    assert (scores.dice, scores.recall, scores.precision, scores.nsd) == (1.0, 1.0, 1.0, 1.0)
    assert (scores.asd, scores.assd, scores.hd, scores.hd95) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "int64"])
def test_labels_scored_together_equal_labels_scored_alone(dtype: str) -> None:
    prediction, truth = random_maps(1, dtype)
    together = label_scores(prediction, truth, [1, 2, 3], SPACING)
    for label, scores in together.items():
        assert scores == segmentation_scores(prediction == label, truth == label, SPACING)


def test_maps_of_unlike_types_and_orders_score_the_same() -> None:
    prediction, truth = random_maps(2)
    expected = label_scores(prediction, truth, [1, 2, 3], SPACING)
    assert label_scores(prediction.astype(np.int64), truth.astype(np.uint16), [1, 2, 3], SPACING) == expected
    assert label_scores(prediction, np.asfortranarray(truth), [1, 2, 3], SPACING) == expected
    columns = label_scores(np.asfortranarray(prediction), np.asfortranarray(truth), [1, 2, 3], SPACING)
    for label, scores in expected.items():
        assert columns[label].record() == pytest.approx(scores.record())


def test_the_size_of_label_numbers_does_not_matter() -> None:
    prediction, truth = random_maps(3, "int64")
    scale = 10**12
    large = label_scores(prediction * scale, truth * scale, [2 * scale, 3 * scale], SPACING)
    small = label_scores(prediction, truth, [2, 3], SPACING)
    assert large == {label * scale: scores for label, scores in small.items()}


def test_an_absent_label_has_undefined_scores_and_no_volume() -> None:
    prediction, truth = random_maps(4)
    scores = label_scores(prediction, truth, [300, 9], SPACING)
    for absent in scores.values():
        assert absent.volume_truth_mm3 == absent.volume_prediction_mm3 == 0.0
        undefined = (absent.dice, absent.recall, absent.precision, absent.asd, absent.hd, absent.nsd)
        assert np.isnan(undefined).all()


def test_a_missed_and_an_invented_mask_score_0_and_lie_infinitely_far() -> None:
    _, truth = bars()
    missed = segmentation_scores(np.zeros_like(truth), truth, SPACING)
    assert (missed.dice, missed.recall, missed.hd, missed.hd95, missed.nsd) == (0.0, 0.0, np.inf, np.inf, 0.0)
    assert np.isnan([missed.precision, missed.asd]).all()
    invented = segmentation_scores(truth, np.zeros_like(truth), SPACING)
    assert (invented.dice, invented.precision, invented.asd, invented.hd) == (0.0, 0.0, np.inf, np.inf)
    assert np.isnan(invented.recall)


def test_the_record_for_json_has_none_where_a_score_is_not_a_number() -> None:
    _, truth = bars()
    record = segmentation_scores(np.zeros_like(truth), truth, SPACING).record()
    assert record["hd"] is record["asd"] is record["precision"] is None
    assert record["dice"] == 0.0


def test_masks_of_any_type_count_every_value_but_0() -> None:
    prediction, truth = bars()
    assert dice(prediction.astype(np.uint8) * 255, truth.astype(np.float32) * 0.5) == dice(prediction, truth)


def test_dice_of_two_empty_masks_is_undefined() -> None:
    empty = np.zeros((2, 2, 2), dtype=bool)
    assert np.isnan(dice(empty, empty))


def test_counts_of_patients_add_up_to_pooled_scores() -> None:
    first, second = voxel_counts(*bars()), VoxelCounts(prediction=0, truth=6, both=0)
    pooled = first + second
    assert first == VoxelCounts(prediction=20, truth=24, both=16)
    assert (pooled.recall, pooled.precision) == (16 / 30, 16 / 20)
    assert pooled.dice == pytest.approx(32 / 50)


def test_counts_of_all_labels_come_from_one_pass() -> None:
    prediction, truth = random_maps(5)
    counts = label_counts(prediction, truth, range(1, 4))
    for label, count in counts.items():
        assert count == voxel_counts(prediction == label, truth == label)


def test_the_surface_definition_and_tolerance_are_settings() -> None:
    prediction, truth = random_maps(6)
    loose = label_scores(prediction, truth, [1], SPACING, surface=SurfaceSettings(tolerance=100.0))[1]
    areas = label_scores(prediction, truth, [1], SPACING, surface=SurfaceSettings(definition="elements"))[1]
    assert loose.nsd == 1.0
    assert areas == segmentation_scores(prediction == 1, truth == 1, SPACING, definition="elements")
    assert areas.asd != loose.asd


def scores_with(dice_value: float, hd: float) -> SegmentationScores:
    same = dict.fromkeys(("recall", "precision", "asd", "asd_from_truth", "assd", "hd95", "nsd"), 1.0)
    return SegmentationScores(dice=dice_value, hd=hd, volume_truth_mm3=1.0, volume_prediction_mm3=1.0, **same)


def test_averages_leave_out_the_undefined_and_show_the_infinite() -> None:
    patients = [scores_with(0.5, 1.0), scores_with(0.7, np.inf), scores_with(np.nan, np.nan)]
    summary = summarize([*patients, scores_with(0.9, 4.0)])
    assert summary["dice"].mean == pytest.approx(0.7)
    assert summary["dice"].sd == pytest.approx(0.2)
    assert (summary["dice"].n, summary["dice"].undefined, summary["dice"].infinite) == (3, 1, 0)
    assert summary["hd"].mean == np.inf
    assert np.isnan(summary["hd"].sd)
    assert (summary["hd"].median, summary["hd"].infinite) == (4.0, 1)


def test_a_score_nobody_has_is_undefined() -> None:
    summary = summarize([scores_with(np.nan, np.inf), scores_with(np.nan, np.inf)])
    assert np.isnan([summary["dice"].mean, summary["dice"].median]).all()
    assert (summary["dice"].n, summary["dice"].undefined) == (0, 2)
    assert summary["hd"].median == np.inf


def test_no_patients_have_no_average() -> None:
    with pytest.raises(InputError, match="no patients to average over"):
        summarize([])


def test_the_background_is_not_scored() -> None:
    with pytest.raises(InputError, match="label 0 cannot be scored"):
        label_scores(*random_maps(7), [0, 1], SPACING)


def test_labels_that_are_not_whole_numbers_are_refused() -> None:
    prediction, truth = random_maps(8)
    halves: AnyArray = truth / 2
    with pytest.raises(InputError, match="labels of the truth are of type float64, not whole numbers"):
        label_scores(prediction, halves, [1], SPACING)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_negative_labels_are_refused(dtype: str) -> None:
    prediction, truth = random_maps(9, dtype)
    truth[0, 0, 0] = -3
    with pytest.raises(InputError, match="negative label -3"):
        label_scores(prediction, truth, [1], SPACING)


def test_labels_beyond_64_bits_are_refused() -> None:
    prediction, truth = random_maps(10)
    huge = truth.astype(np.uint64)
    huge[0, 0, 0] = 2**63
    with pytest.raises(InputError, match="beyond the range of 64-bit integers"):
        label_scores(prediction, huge, [1], SPACING)


def test_maps_of_different_grids_are_refused() -> None:
    prediction, truth = random_maps(11)
    with pytest.raises(GeometryMismatchError, match="not two images of one three-dimensional grid"):
        label_scores(prediction[1:], truth, [1], SPACING)
    with pytest.raises(GeometryMismatchError, match="not two images of one three-dimensional grid"):
        segmentation_scores(truth[0] > 0, truth[0] > 0, SPACING)
