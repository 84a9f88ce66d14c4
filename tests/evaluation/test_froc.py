import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.detection import InstanceMatches, match_instances
from lymphct.evaluation.froc import FrocIntervals, froc, froc_candidates, froc_intervals, size_strata


def two_patients() -> list[InstanceMatches]:
    truth = np.array([[[1, 1, 0, 2, 2, 0, 0, 0, 0, 0]]])
    prediction = np.array([[[1, 1, 0, 0, 2, 0, 3, 3, 3, 0]]])  # 1 and 2 found, 3 spurious
    other_truth = np.array([[[1, 1, 1, 1, 1, 1, 0, 5, 5, 5]]])
    other = np.array([[[8, 8, 8, 9, 9, 0, 0, 0, 0, 0]]])  # 8 found, 9 its duplicate, 5 missed
    return [match_instances(prediction, truth), match_instances(other, other_truth)]


SCORES = [{1: 0.9, 2: 0.4, 3: 0.7}, {8: 0.7, 9: 0.2}]


def test_the_curve_is_the_one_worked_out_by_hand() -> None:
    curve = froc(two_patients(), SCORES)
    assert_allclose(curve.thresholds, [0.9, 0.7, 0.4, 0.2])
    assert_allclose(curve.sensitivity, [1 / 4, 2 / 4, 3 / 4, 3 / 4])
    assert_allclose(curve.false_positives, [0, 1 / 2, 1 / 2, 1])
    assert_allclose(curve.precision, [1, 2 / 3, 3 / 4, 3 / 5])
    assert curve.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 4)


def test_duplicates_may_be_left_out() -> None:
    curve = froc(two_patients(), SCORES, ignore_duplicates=True)
    assert_allclose(curve.thresholds, [0.9, 0.7, 0.4])
    assert_allclose(curve.false_positives, [0, 1 / 2, 1 / 2])


def test_sensitivity_is_read_at_a_number_of_false_positives() -> None:
    curve = froc(two_patients(), SCORES)
    assert [curve.sensitivity_at(fp) for fp in (0, 0.49, 0.5, 8)] == [0.25, 0.25, 0.75, 0.75]


def test_without_predictions_nothing_is_found() -> None:
    match = match_instances(np.zeros((1, 1, 2), dtype=int), np.ones((1, 1, 2), dtype=int))
    curve = froc([match], [{}])
    assert curve.sensitivity_at(100) == curve.average_precision == 0.0


def test_a_curve_needs_true_nodes() -> None:
    match = match_instances(np.ones((1, 1, 2), dtype=int), np.zeros((1, 1, 2), dtype=int))
    with pytest.raises(InputError, match="without true nodes"):
        froc([match], [{1: 0.5}])


def test_scores_of_other_patients_or_nodes_are_refused() -> None:
    with pytest.raises(InputError, match="scores of 1 patients for the matches of 2"):
        froc(two_patients(), SCORES[:1])
    with pytest.raises(InputError, match=r"not the same: \[3, 4\]"):
        froc(two_patients(), [{1: 0.9, 2: 0.4, 4: 0.7}, SCORES[1]])
    with pytest.raises(InputError, match="not finite"):
        froc(two_patients(), [SCORES[0], {8: float("nan"), 9: 0.1}])


def test_recall_is_split_by_true_and_precision_by_predicted_volume() -> None:
    small, middle, large = size_strata(two_patients(), [1.0, 2.0], [3.0, 10.0])
    # mm³ of true nodes: 2 (found), 2 (found), 12 (found), 6 (missed).
    assert [(s.truths, s.found) for s in (small, middle, large)] == [(2, 2), (1, 0), (1, 1)]
    # mm³ of predicted nodes: 2 and 1 (true), 3 (false; in the stratum it limits), 6 (true), 4 (false).
    assert [(s.predictions, s.correct) for s in (small, middle, large)] == [(2, 2), (3, 1), (0, 0)]
    assert (small.recall, middle.recall) == (1.0, 0.0)
    assert middle.precision == pytest.approx(1 / 3)
    assert np.isnan(large.precision)
    assert (small.low, small.high, large.high) == (0.0, 3.0, np.inf)


def test_a_stratum_without_true_nodes_has_no_recall() -> None:
    assert np.isnan(size_strata(two_patients(), [1.0, 1.0], [1e6])[1].recall)


def test_strata_need_one_voxel_volume_per_patient() -> None:
    with pytest.raises(InputError, match="voxel volumes of 1 patients for the matches of 2"):
        size_strata(two_patients(), [1.0], [3.0])


@pytest.mark.parametrize("limits", [(0.0,), (10.0, 3.0), (3.0, 3.0)])
def test_limits_of_strata_must_ascend(limits: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="do not ascend from above 0"):
        size_strata(two_patients(), [1.0, 1.0], limits)


def test_intervals_hold_what_the_curve_says_and_repeat() -> None:
    def intervals() -> FrocIntervals:
        return froc_intervals(
            froc_candidates(two_patients(), SCORES), (0.5, 8.0), np.random.default_rng(3), n=200
        )

    found = intervals()
    curve = froc(two_patients(), SCORES)
    assert found.average_precision.estimate == pytest.approx(curve.average_precision)
    assert [found.sensitivity_at[fp].estimate for fp in (0.5, 8.0)] == [0.75, 0.75]
    assert found == intervals()
    # Twice the first patient: 2 of 2 nodes with 1 false positive; twice the second: 1 of 2.
    assert (found.sensitivity_at[8.0].low, found.sensitivity_at[8.0].high) == (0.5, 1.0)


def test_a_resample_of_one_patient_is_the_curve_of_that_patient() -> None:
    alone = [froc([match], [score]) for match, score in zip(two_patients(), SCORES, strict=True)]
    found = froc_intervals(
        froc_candidates(two_patients(), SCORES), (1.0,), np.random.default_rng(0), n=100, level=0.99
    )
    precisions = [curve.average_precision for curve in alone]
    assert found.average_precision.low == pytest.approx(min(precisions))
    assert found.average_precision.high == pytest.approx(max(precisions))


def test_resamples_without_true_nodes_are_left_out_and_counted() -> None:
    empty = match_instances(np.ones((1, 1, 2), dtype=int), np.zeros((1, 1, 2), dtype=int))
    matches, scores = [two_patients()[0], empty], [SCORES[0], {1: 0.95}]
    found = froc_intervals(froc_candidates(matches, scores), (8.0,), np.random.default_rng(0), n=100)
    assert 10 < found.average_precision.undefined < 40  # a quarter of them
    assert found.sensitivity_at[8.0].low == 1.0


def test_intervals_of_sixty_nodes_and_of_a_patient_without_candidates() -> None:
    truth = np.zeros((1, 1, 180), dtype=int)
    truth[0, 0, ::3] = np.arange(1, 61)
    matches = [match_instances(truth, truth), match_instances(0 * truth, truth)]
    candidates = froc_candidates(matches, [{label: label / 64 for label in range(1, 61)}, {}])
    found = froc_intervals(candidates, (0.0,), np.random.default_rng(1), n=50)
    assert found.sensitivity_at[0.0].estimate == 0.5
    assert (found.sensitivity_at[0.0].low, found.sensitivity_at[0.0].high) == (0.0, 1.0)


def test_intervals_need_resamples_and_a_level() -> None:
    candidates, rng = froc_candidates(two_patients(), SCORES), np.random.default_rng(0)
    with pytest.raises(UsageError, match="0 resamples are none"):
        froc_intervals(candidates, (1.0,), rng, n=0)
    with pytest.raises(UsageError, match="cannot cover a share of 1"):
        froc_intervals(candidates, (1.0,), rng, level=1.0)
