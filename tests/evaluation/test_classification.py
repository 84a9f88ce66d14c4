import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, roc_auc_score

from lymphct.core.errors import InputError, LeakageError
from lymphct.evaluation.classification import (
    accuracy,
    auc,
    balanced_accuracy,
    classification_scores,
    fit_threshold,
    roc_curve,
    sensitivity,
    specificity,
)

LABELS = [0, 0, 0, 1, 1, 1, 1]
SCORES = [0.1, 0.3, 0.6, 0.2, 0.6, 0.8, 0.9]
samples = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


def test_auc_counts_ordered_pairs_and_half_the_ties() -> None:
    # 0.2 beats one negative, 0.6 beats two and ties with one, 0.8 and 0.9 beat all three: 9.5 of 12 pairs.
    assert auc(LABELS, SCORES) == 9.5 / 12


@given(samples)
@settings(deadline=None, max_examples=40)
def test_auc_is_that_of_scikit_learn_and_exact(pairs: list[tuple[int, int]]) -> None:
    labels, scores = np.array(pairs).T
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert auc(labels, -scores) == pytest.approx(1 - auc(labels, scores))
    wins = np.sign(scores[labels == 1][:, None] - scores[labels == 0][None])
    assert auc(labels, scores) == (wins + 1).sum() / (2 * wins.size)


@given(samples)
@settings(deadline=None, max_examples=25)
def test_the_simple_rates_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, called = np.array(pairs).T[0], np.array(pairs).T[1] > 3
    assert accuracy(labels, called) == pytest.approx(accuracy_score(labels, called))
    assert balanced_accuracy(labels, called) == pytest.approx(balanced_accuracy_score(labels, called))
    assert sensitivity(labels, called) == pytest.approx(recall_score(labels, called, zero_division=0))
    assert specificity(labels, called) == pytest.approx(
        recall_score(labels, called, pos_label=0, zero_division=0)
    )


@given(samples)
@settings(deadline=None, max_examples=25)
def test_a_curve_has_the_rates_at_every_distinct_score_and_the_area_of_the_auc(
    pairs: list[tuple[int, int]],
) -> None:
    labels, scores = np.array(pairs).T
    curve = roc_curve(labels, scores)
    assert curve.thresholds.tolist() == [np.inf, *sorted(set(scores.tolist()), reverse=True)]
    for place, threshold in enumerate(curve.thresholds):
        assert curve.sensitivity[place] == pytest.approx(sensitivity(labels, scores >= threshold))
        assert curve.false_positive_rate[place] == pytest.approx(1 - specificity(labels, scores >= threshold))
    area = np.trapezoid(curve.sensitivity, curve.false_positive_rate)
    assert area == pytest.approx(auc(labels, scores))


def test_the_area_under_the_curve_is_the_auc() -> None:
    curve = roc_curve(LABELS, SCORES)
    assert np.trapezoid(curve.sensitivity, curve.false_positive_rate) == pytest.approx(9.5 / 12)
    assert_allclose(curve.thresholds, [np.inf, 0.9, 0.8, 0.6, 0.3, 0.2, 0.1])
    assert_allclose(curve.sensitivity, [0, 1 / 4, 2 / 4, 3 / 4, 3 / 4, 1, 1])
    assert_allclose(curve.false_positive_rate, [0, 0, 0, 1 / 3, 2 / 3, 2 / 3, 1])


def test_figures_at_a_threshold_are_those_worked_out_by_hand() -> None:
    scores = classification_scores(LABELS, SCORES, 0.6)  # at the threshold is positive
    assert scores.sensitivity == 3 / 4
    assert scores.specificity == 2 / 3
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert scores.accuracy == 5 / 7
    assert (scores.auc, scores.threshold, scores.positives, scores.negatives) == (9.5 / 12, 0.6, 4, 3)


def test_figures_of_calls_agree_with_figures_at_a_threshold() -> None:
    called = np.array(SCORES) >= 0.6
    scores = classification_scores(LABELS, SCORES, 0.6)
    assert sensitivity(LABELS, called) == scores.sensitivity
    assert specificity(LABELS, called) == scores.specificity
    assert accuracy(LABELS, called) == scores.accuracy
    assert balanced_accuracy(LABELS, called) == pytest.approx(balanced_accuracy_score(LABELS, called))


def test_without_a_class_its_figures_are_undefined() -> None:
    scores = classification_scores([1, 1], [0.2, 0.8], 0.5)
    assert np.isnan([scores.auc, scores.specificity, scores.balanced_accuracy]).all()
    assert (scores.sensitivity, scores.accuracy) == (0.5, 0.5)
    assert np.isnan(sensitivity([0, 0], [0, 1]))


def test_the_threshold_lies_midway_between_the_scores_it_parts() -> None:
    fitted = fit_threshold([0.1, 0.3, 0.5, 0.9], [0, 0, 1, 1], "abcd")
    assert fitted.value == pytest.approx(0.4)
    assert fitted.patients == frozenset("abcd")


def test_of_equal_thresholds_the_lowest_is_taken() -> None:
    # From 0.2 on and from 0.4 on both give 3/4: (2/2 + 1/2) / 2 and (1/2 + 2/2) / 2.
    assert fit_threshold([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], "abcd").value == pytest.approx(0.15)


def test_scores_that_say_nothing_call_everybody_positive() -> None:
    assert fit_threshold([5.0, 5.0, 5.0], [0, 1, 0], "abc").value == 5.0


@given(samples)
@settings(deadline=None, max_examples=40)
def test_no_threshold_has_a_better_balanced_accuracy(pairs: list[tuple[int, int]]) -> None:
    labels, scores = np.array(pairs).T
    chosen = fit_threshold(scores, labels, ["a"]).value
    ours = balanced_accuracy(labels, scores >= chosen)
    for other in np.arange(-0.5, 8, 0.5):
        assert ours >= balanced_accuracy(labels, scores >= other) - 1e-12


def test_a_threshold_is_refused_on_the_patients_it_was_fitted_on() -> None:
    fitted = fit_threshold([0.1, 0.9], [0, 1], ["case1", "case2"])
    with pytest.raises(LeakageError, match="cannot be evaluated: case2"):
        fitted.for_unseen(["case2", "case3"])


def test_one_class_alone_gives_no_curve_and_no_threshold() -> None:
    with pytest.raises(InputError, match="all 2 labels are 1: both classes are needed"):
        roc_curve([1, 1], [0.1, 0.2])
    with pytest.raises(InputError, match="all 2 labels are 0: both classes are needed"):
        fit_threshold([0.1, 0.2], [0, 0], "ab")


def test_labels_and_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="do not make one score per label"):
        auc([0, 1], [0.1])
    with pytest.raises(InputError, match="do not make one score per label"):
        auc([], [])
    with pytest.raises(InputError, match=r"labels must be 0 or 1, got \[1, 2\]"):
        auc([1, 2], [0.1, 0.2])
    with pytest.raises(InputError, match="1 of 2 scores are not finite"):
        auc([0, 1], [0.1, float("nan")])
