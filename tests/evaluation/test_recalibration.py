"""Isotonic regression and Venn-Abers against their definitions, laws, and calibration in simulation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import expit

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError, LeakageError
from lymphct.evaluation.recalibration import fit_isotonic, fit_venn_abers

IDS = ["a", "b"]


def cohort(seed: int, n: int = 40) -> tuple[DoubleArray, AnyArray]:
    """Return scores with ties and labels of both classes."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 3 == 0).astype(int)
    return np.round(rng.normal(size=n) + labels, 1), labels


def isotonic_by_definition(scores: DoubleArray, labels: AnyArray, at: float) -> float:
    """Return the least squares rising fit at one of the scores: the max-min of means over ranges."""
    means = [
        [labels[(scores >= low) & (scores <= high)].mean() for high in np.unique(scores[scores >= at])]
        for low in np.unique(scores[scores <= at])
    ]
    return float(max(min(row) for row in means))


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_isotonic_is_the_max_min_of_means(seed: int) -> None:
    scores, labels = cohort(seed)
    found = fit_isotonic(scores, labels, IDS).value.probability(scores)
    assert_allclose(found, [isotonic_by_definition(scores, labels, score) for score in scores], atol=1e-12)
    assert found.mean() == pytest.approx(labels.mean())


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=10)
def test_venn_abers_joins_each_patient_twice(seed: int) -> None:
    scores, labels = cohort(seed, n=25)
    asked = np.concatenate([scores[:5], np.random.default_rng(seed).normal(size=8) * 2])
    low, high = fit_venn_abers(scores, labels, IDS).value.limits(asked)
    for place, score in enumerate(asked):
        joined = np.append(scores, score)
        for limit, label in ((low, 0), (high, 1)):
            expected = isotonic_by_definition(joined, np.append(labels, label), score)
            assert limit[place] == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_both_keep_the_order_of_scores_and_stay_probabilities(seed: int) -> None:
    scores, labels = cohort(seed)
    asked = np.linspace(scores.min() - 1, scores.max() + 1, 60)
    venn_abers = fit_venn_abers(scores, labels, IDS).value
    low, high = venn_abers.limits(asked)
    merged = venn_abers.probability(asked)
    for curve in (fit_isotonic(scores, labels, IDS).value.probability(asked), low, high, merged):
        assert (np.diff(curve) >= -1e-12).all()
        assert (curve >= 0).all()
        assert (curve <= 1).all()
    assert (low < high).all()
    assert ((low <= merged) & (merged <= high)).all()


def test_overconfident_scores_become_calibrated() -> None:
    rng = np.random.default_rng(11)
    truth = expit(rng.normal(size=3000))
    labels = (rng.random(3000) < truth).astype(int)
    boasting = expit(3 * np.log(truth / (1 - truth)))  # in the right order, far too extreme
    used, new = slice(0, 1500), slice(1500, 3000)
    before = np.abs(boasting[new] - truth[new]).mean()
    for fit in (fit_isotonic, fit_venn_abers):
        fitted: Any = fit(boasting[used], labels[used], IDS)
        assert np.abs(fitted.value.probability(boasting[new]) - truth[new]).mean() < before / 3


def test_the_true_share_lies_between_venn_abers_limits_on_average() -> None:
    """Perfect calibration of one of the two in expectation: the mean label lies between the mean limits."""
    rng = np.random.default_rng(3)
    below, above, truth = 0.0, 0.0, 0.0
    for _ in range(300):
        labels = (rng.random(31) < 0.4).astype(int)
        labels[:2] = 0, 1
        scores = rng.normal(size=31) + labels
        low, high = fit_venn_abers(scores[:30], labels[:30], IDS).value.limits(scores[30:])
        below, above, truth = below + low[0], above + high[0], truth + labels[30]
    assert below < truth < above


def test_it_agrees_with_mapie() -> None:
    mapie: Any = pytest.importorskip("mapie._venn_abers")
    rng = np.random.default_rng(5)
    labels = (np.arange(200) % 2).astype(int)
    scores = expit(rng.normal(size=200) + labels)
    asked = expit(rng.normal(size=50) * 2)
    oracle = mapie.VennAbers()
    with np.errstate(invalid="ignore"):  # it divides 0 by 0 and leaves that out
        oracle.fit(np.column_stack((1 - scores, scores)), labels)
    merged, limits = oracle.predict_proba(np.column_stack((1 - asked, asked)))
    ours = fit_venn_abers(scores, labels, IDS).value
    assert_allclose(np.column_stack(ours.limits(asked)), limits, atol=1e-12)
    assert_allclose(ours.probability(asked), merged[:, 1], atol=1e-12)


def test_nobody_it_was_fitted_on_is_judged_by_it() -> None:
    scores, labels = cohort(1)
    for fitted in (fit_isotonic(scores, labels, IDS), fit_venn_abers(scores, labels, IDS)):
        assert fitted.patients == {"a", "b"}
        with pytest.raises(LeakageError, match="b"):
            fitted.for_unseen(["b", "c"])


def test_one_class_or_scores_that_are_none_are_refused() -> None:
    scores, labels = cohort(1)
    with pytest.raises(InputError, match="all 40 labels are 0"):
        fit_isotonic(scores, labels * 0, IDS)
    for fitted in (fit_isotonic(scores, labels, IDS), fit_venn_abers(scores, labels, IDS)):
        with pytest.raises(InputError, match="1 of 2 scores are not finite"):
            fitted.value.probability([0.0, np.nan])
