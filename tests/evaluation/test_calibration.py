import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.calibration import (
    CURVE_POINTS,
    calibration,
    calibration_curve,
    expected_calibration_error,
)


def cohort(n: int = 400, *, slope: float = 1.0, shift: float = 0.0) -> tuple[AnyArray, AnyArray]:
    """Labels drawn from logits; the probabilities stated are of logits times `slope` plus `shift`."""
    rng = np.random.default_rng(8)
    logits = rng.normal(0, 1.5, n)
    labels = (rng.uniform(size=n) < 1 / (1 + np.exp(-logits))).astype(int)
    return (labels, 1 / (1 + np.exp(-(slope * logits + shift))))


def test_slope_and_intercept_are_those_of_two_other_implementations() -> None:
    labels, p = cohort(slope=1.6, shift=0.4)
    logits = np.log(p / (1 - p))
    found = calibration(labels, p)
    ours = (found.intercept, found.slope)
    assert ours == pytest.approx(sm.Logit(labels, sm.add_constant(logits)).fit(disp=False).params, abs=1e-6)
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits[:, None], labels)
    assert ours == pytest.approx((other.intercept_[0], other.coef_[0, 0]), abs=1e-4)
    assert found.slope < 0.8  # too extreme
    # The intercept at slope 1 makes the mean risk equal the share of positives.
    moved = 1 / (1 + np.exp(-(logits + found.in_the_large)))
    assert moved.mean() == pytest.approx(labels.mean(), abs=1e-8)


def test_honest_probabilities_are_calibrated() -> None:
    found = calibration(*cohort(20_000))
    assert found.slope == pytest.approx(1, abs=0.05)
    assert found.intercept == pytest.approx(0, abs=0.05)
    assert found.ece < 0.015
    assert found.ici < 0.02


def test_the_brier_score_is_that_of_scikit_learn() -> None:
    labels, p = cohort(slope=0.5)
    assert calibration(labels, p).brier == pytest.approx(brier_score_loss(labels, p), abs=1e-12)


def test_the_calibration_error_by_hand() -> None:
    # Bins 0.0-0.1: two patients, mean 0.05, none positive; 0.9-1.0: three, mean 0.95, two positive.
    labels, p = [0, 0, 1, 1, 0], [0.04, 0.06, 0.9, 1.0, 0.95]
    by_hand = (2 * 0.05 + 3 * abs(0.95 - 2 / 3)) / 5
    assert expected_calibration_error(labels, p) == pytest.approx(by_hand)


def local_line(labels: AnyArray, p: AnyArray, at: float) -> float:
    """Cleveland's local regression at one place: tricube weights over the nearest two thirds."""
    nearest = int(2 / 3 * p.size + 1e-10)
    distance = np.abs(p - at)
    reach = np.sort(distance)[nearest - 1]
    weight = np.sqrt(np.clip(1 - (distance / reach) ** 3, 0, None) ** 3)
    design = np.column_stack((np.ones(p.size), p - at)) * weight[:, None]
    return float(np.linalg.lstsq(design, labels * weight, rcond=None)[0][0])


def test_the_smoothed_curve_is_a_local_regression() -> None:
    labels, p = cohort(150, slope=0.7)
    curve = calibration_curve(labels, p, np.random.default_rng(0), n=20)
    assert curve.predicted.size == CURVE_POINTS
    assert (curve.predicted[0], curve.predicted[-1]) == (p.min(), p.max())
    by_hand = [min(max(local_line(labels, p, at), 0), 1) for at in curve.predicted]
    assert_allclose(curve.observed, by_hand, atol=1e-6)


def test_the_band_holds_the_curve_and_narrows_with_patients() -> None:
    widths = []
    for n in (60, 600):
        curve = calibration_curve(*cohort(n), np.random.default_rng(1), n=200)
        middle = slice(CURVE_POINTS // 4, 3 * CURVE_POINTS // 4)
        assert (curve.low[middle] <= curve.observed[middle]).all()
        assert (curve.observed[middle] <= curve.high[middle]).all()
        widths.append(float(np.nanmean(curve.high - curve.low)))
    assert widths[1] < widths[0] / 2


def test_one_probability_for_everybody_has_no_slope() -> None:
    labels = [0, 1, 0, 1, 0]
    found = calibration(labels, [0.5] * 5)
    assert np.isnan(found.slope)
    assert np.isnan(found.intercept)
    assert found.in_the_large == pytest.approx(np.log(0.4 / 0.6))
    curve = calibration_curve(labels, [0.5] * 5, np.random.default_rng(0), n=10)
    assert curve.predicted.tolist() == [0.5]
    assert curve.observed == pytest.approx([0.4])


def test_probabilities_that_separate_the_classes_have_no_finite_slope() -> None:
    found = calibration([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9])
    assert np.isnan(found.slope)
    assert np.isnan(calibration([1, 1, 0, 0], [0.1, 0.2, 0.7, 0.9]).slope)


def test_probabilities_of_0_and_1_are_moved_and_counted() -> None:
    found = calibration([0, 1, 0, 1, 1], [0.0, 1.0, 0.6, 0.4, 0.7])
    assert found.moved == 2
    assert np.isfinite(found.slope)


def test_neighbourhoods_of_equal_probabilities_give_no_curve() -> None:
    curve = calibration_curve([0, 1, 0, 1, 0, 1], [0.2] * 5 + [0.9], np.random.default_rng(0), n=30)
    assert curve.predicted.size == 0
    assert np.isnan(calibration([0, 1, 0, 1, 0, 1], [0.2] * 5 + [0.9]).ici)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=4, max_size=30))
def test_any_probabilities_give_figures_in_their_ranges(rows: list[tuple[int, int]]) -> None:
    labels, steps = zip(*rows, (0, 3), (1, 9), strict=True)
    p = np.array(steps) / 20
    found = calibration(labels, p)
    assert 0 <= found.brier <= 1
    assert 0 <= found.ece <= 1
    curve = calibration_curve(labels, p, np.random.default_rng(0), n=5)
    assert ((curve.observed >= 0) & (curve.observed <= 1)).all()


def test_what_is_no_probability_or_one_class_is_refused() -> None:
    with pytest.raises(InputError, match=r"values from 0\.2 to 1\.5 are no probabilities"):
        calibration([0, 1], [0.2, 1.5])
    with pytest.raises(InputError, match="all 2 labels are 1: calibration needs both classes"):
        calibration([1, 1], [0.2, 0.5])
    with pytest.raises(InputError, match="no probabilities"):
        expected_calibration_error([1, 1], [-0.2, 0.5])
    with pytest.raises(UsageError, match="0 resamples are none"):
        calibration_curve([0, 1], [0.2, 0.5], np.random.default_rng(0), n=0)
