"""Conformal sets and guaranteed sensitivity: by hand, against MAPIE, and their promises in simulation."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.special import expit
from scipy.stats import binom, norm

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError, LeakageError, UsageError
from lymphct.evaluation.conformal import fit_conformal_sets, fit_sensitivity_threshold

IDS = ["a", "b"]


def cohort(rng: np.random.Generator, positives: int, negatives: int) -> tuple[DoubleArray, AnyArray]:
    labels = np.repeat([1, 0], [positives, negatives])
    return expit(rng.normal(size=labels.size) + 1.2 * labels), labels


def test_sets_by_hand() -> None:
    # Nine of each class: floor(0.2 · 10) = 2, the second lowest N+ and the second highest N-.
    scores = [10, 11, 12, 13, 14, 15, 16, 17, 18, 1, 2, 3, 4, 5, 6, 7, 12.5, 14.5]
    fitted = fit_conformal_sets(scores, [1] * 9 + [0] * 9, IDS, error=0.2).value
    assert (fitted.positive_from, fitted.negative_to, fitted.needed) == (11.0, 12.5, 4)
    sets = fitted.sets([10.9, 11.0, 12.5, 12.6])
    assert sets.negative.tolist() == [True, True, True, False]
    assert sets.positive.tolist() == [False, True, True, True]
    assert sets.decided.tolist() == [True, False, False, True]
    # Far apart, a score between the classes is like neither.
    apart = fit_conformal_sets([1, 2, 3, 7, 8, 9], [0, 0, 0, 1, 1, 1], IDS, error=0.25).value.sets([5])
    assert (apart.negative.tolist(), apart.positive.tolist()) == ([False], [False])


@pytest.mark.parametrize(("positives", "negatives"), [(30, 80), (59, 40)])
def test_each_class_keeps_its_own_promise(positives: int, negatives: int) -> None:
    """Over many calibrations the truth is in the set of 90 % of either class, however rare it is."""
    rng = np.random.default_rng(4)
    held = np.zeros(2)
    runs = 3000
    for _ in range(runs):
        fitted = fit_conformal_sets(*cohort(rng, positives, negatives), IDS, error=0.1).value
        # The share of each class that keeps the truth, exactly: the scores are normal on the logit.
        lowest, highest = (np.log(t / (1 - t)) for t in (fitted.positive_from, fitted.negative_to))
        held += norm.sf(lowest - 1.2), norm.cdf(highest)
    expected = [1 - math.floor(0.1 * (n + 1)) / (n + 1) for n in (positives, negatives)]
    assert held / runs == pytest.approx(expected, abs=0.004)
    assert min(expected) >= 0.9


def test_with_too_few_of_a_class_nothing_is_excluded() -> None:
    rng = np.random.default_rng(4)
    fitted = fit_conformal_sets(*cohort(rng, 8, 80), IDS, error=0.1).value
    assert (fitted.needed, fitted.abstains) == (9, True)
    sets = fitted.sets([-1e9, 0.5, 1e9])
    assert sets.negative.all()
    assert sets.positive.all()
    assert not fit_conformal_sets(*cohort(rng, 9, 9), IDS, error=0.1).value.abstains
    assert fit_conformal_sets([0.5], [1], IDS).value.abstains


@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.1, 0.2, 0.3]))
@settings(deadline=None, max_examples=20)
def test_a_smaller_error_never_excludes_more(seed: int, error: float) -> None:
    rng = np.random.default_rng(seed)
    calibration = cohort(rng, 40, 40)
    strict, loose = (fit_conformal_sets(*calibration, IDS, error=e).value for e in (error / 2, error))
    asked = rng.random(50)
    assert not (loose.sets(asked).positive & ~strict.sets(asked).positive).any()
    assert not (loose.sets(asked).negative & ~strict.sets(asked).negative).any()


class Passing:
    """A classifier as MAPIE wants one, which passes the probabilities it is given on."""

    classes_ = np.array([0, 1])
    is_fitted_ = True

    def fit(self, *_: AnyArray) -> "Passing":
        return self

    def predict_proba(self, probabilities: AnyArray) -> AnyArray:
        return np.column_stack((1 - probabilities[:, 0], probabilities[:, 0]))

    def predict(self, probabilities: AnyArray) -> AnyArray:
        return (probabilities[:, 0] >= 0.5).astype(int)


@pytest.mark.filterwarnings("ignore:WARNING. your conformalization dataset has less labels")
@pytest.mark.parametrize("error", [0.05, 0.1, 0.25])
def test_sets_are_mapies_of_each_class_alone(error: float) -> None:
    mapie: Any = pytest.importorskip("mapie.classification")
    base: Any = pytest.importorskip("sklearn.base")
    estimator = type("Estimator", (Passing, base.ClassifierMixin, base.BaseEstimator), {})()
    rng = np.random.default_rng(8)
    scores, labels = cohort(rng, 45, 70)
    asked = rng.random(200)
    found = fit_conformal_sets(scores, labels, IDS, error=error).value.sets(asked)
    for outcome, ours in ((0, found.negative), (1, found.positive)):
        of_class = labels == outcome
        oracle = mapie.SplitConformalClassifier(estimator, confidence_level=1 - error, prefit=True)
        oracle.conformalize(scores[of_class, None], labels[of_class])
        assert_array_equal(ours, oracle.predict_set(asked[:, None])[1][:, outcome, 0])


def test_the_threshold_by_hand() -> None:
    # 1 - 0.9^29 = 0.953: the lowest of 29 N+ misses at most a tenth with 95 % confidence; of 28 it does not.
    scores = np.arange(29.0)
    fitted = fit_sensitivity_threshold(scores, np.ones(29), IDS).value
    assert (fitted.threshold, fitted.positives, fitted.needed) == (0.0, 29, 29)
    too_few = fit_sensitivity_threshold(scores[1:], np.ones(28), IDS).value
    assert (too_few.threshold, too_few.positives, too_few.needed) == (None, 28, 29)
    # 46 N+: P(Binomial(46, 0.1) >= 2) = 0.952; N- do not matter.
    both = fit_sensitivity_threshold(np.arange(92.0), np.repeat([0, 1], 46), IDS).value
    assert both.threshold == 47.0


def test_the_promised_sensitivity_is_kept_as_often_as_promised() -> None:
    rng = np.random.default_rng(6)
    kept = []
    for _ in range(2000):
        scores, labels = cohort(rng, 80, 40)
        threshold = fit_sensitivity_threshold(
            scores, labels, IDS, sensitivity=0.85, confidence=0.9
        ).value.threshold
        assert threshold is not None
        kept.append(norm.sf(np.log(threshold / (1 - threshold)) - 1.2) >= 0.85)
    # The eighth score is taken: P(Binomial(80, 0.15) >= 8) = 0.927, with the ninth 0.866 (2 SE: 0.012).
    assert np.mean(kept) == pytest.approx(binom.sf(7, 80, 0.15), abs=0.012)


def test_mapies_threshold_is_no_higher() -> None:
    """Its learn-then-test bounds the same risk less sharply than the binomial itself."""
    mapie: Any = pytest.importorskip("mapie.risk_control")
    scores, labels = cohort(np.random.default_rng(9), 120, 120)
    ours = fit_sensitivity_threshold(scores, labels, IDS).value.threshold
    assert ours is not None
    candidates = np.sort(scores[labels == 1])
    controller = mapie.BinaryClassificationController(
        Passing().predict_proba,
        risk="recall",
        target_level=0.9,
        confidence_level=0.95,
        list_predict_params=candidates,
        fwer_method="fixed_sequence",
    )
    controller.calibrate(scores[:, None], labels)
    theirs = float(np.max(controller.valid_predict_params))
    assert theirs <= ours
    assert np.searchsorted(candidates, ours) - np.searchsorted(candidates, theirs) <= 3


def test_nobody_it_was_fitted_on_is_judged_by_it() -> None:
    scores, labels = cohort(np.random.default_rng(1), 30, 30)
    for fitted in (fit_conformal_sets(scores, labels, IDS), fit_sensitivity_threshold(scores, labels, IDS)):
        with pytest.raises(LeakageError, match="b"):
            fitted.for_unseen(["b", "c"])


def test_impossible_promises_and_scores_are_refused() -> None:
    with pytest.raises(UsageError, match="the error cannot be 1"):
        fit_conformal_sets([0.1, 0.2], [0, 1], IDS, error=1)
    with pytest.raises(UsageError, match="the sensitivity cannot be 0"):
        fit_sensitivity_threshold([0.1, 0.2], [0, 1], IDS, sensitivity=0)
    with pytest.raises(UsageError, match=r"the confidence cannot be 1\.2"):
        fit_sensitivity_threshold([0.1, 0.2], [0, 1], IDS, confidence=1.2)
    with pytest.raises(InputError, match="not finite"):
        fit_conformal_sets([0.1, np.nan], [0, 1], IDS)
