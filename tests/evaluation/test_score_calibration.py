"""The calibration of a score: choice of the method, promises, abstention, its JSON."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError, LeakageError, UsageError
from lymphct.evaluation.calibration import calibration
from lymphct.evaluation.calibration_record import calibration_of, calibration_record
from lymphct.evaluation.recalibration import fit_platt
from lymphct.evaluation.score_calibration import METHODS, Promises, fit_score_calibration, wilson


def cohort(seed: int, n: int = 120, *, too_sure: float = 1.0) -> tuple[DoubleArray, AnyArray, DoubleArray]:
    """Return scores whose logits are `too_sure` times those of the risk, the truth, and the risk."""
    rng = np.random.default_rng(seed)
    risk = expit(rng.normal(scale=1.2, size=n))
    return expit(too_sure * logit(risk)), (rng.random(n) < risk).astype(int), risk


def names(n: int) -> list[str]:
    return [f"p{number:04d}" for number in range(n)]


def test_platt_is_the_logistic_regression_on_the_logit() -> None:
    scores, truth, _ = cohort(0, 400, too_sure=2.0)
    fitted = fit_platt(scores, truth, names(400)).value
    assert fitted.slope == pytest.approx(0.5, abs=0.12)
    # At the optimum the residuals are orthogonal to the design, with Platt's own labels.
    ones = truth.sum()
    wanted = np.where(truth == 1, (ones + 1) / (ones + 2), 1 / (400 - ones + 2))
    off = fitted.probability(scores) - wanted
    assert_allclose([off.sum(), (off * logit(scores)).sum()], 0, atol=1e-3)


def test_platt_stays_finite_where_classes_do_not_overlap_and_never_turns_the_order_round() -> None:
    apart = fit_platt([0.0, 0.1, 0.9, 1.0], [0, 0, 1, 1], names(4)).value
    assert 0 < apart.slope < 10
    assert apart.probability([0.0, 1.0])[1] < 1
    reversed_order = fit_platt([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], names(4)).value
    assert reversed_order.slope == 0
    assert reversed_order.probability([0.1, 0.9]).tolist() == pytest.approx([0.5, 0.5])


def test_a_score_that_is_too_sure_is_not_taken_at_its_word() -> None:
    scores, truth, risk = cohort(1, 200, too_sure=3.0)
    fitted = fit_score_calibration(scores, truth, names(200)).value
    assert set(fitted.brier) == set(METHODS)
    assert fitted.method != "identity"
    losses = fitted.log_loss
    assert losses[fitted.method or "identity"] == min(losses.values()) < losses["identity"]
    calibrated = np.array([fitted.of(score).probability for score in scores])
    assert np.mean((calibrated - risk) ** 2) < np.mean((scores - risk) ** 2) / 2


def test_steps_that_are_sure_are_not_taken_for_the_sake_of_a_little_squared_error() -> None:
    slopes = []
    for seed in range(4):
        scores, truth, _ = cohort(seed, 160)
        fitted = fit_score_calibration(scores, truth, names(160)).value
        assert fitted.method != "isotonic"  # 0 or 1 at an end, where the next patient may differ
        assert fitted.curve is not None
        asked, outcome, _ = cohort(seed + 100, 2000)
        slopes.append(calibration(outcome, fitted.curve.probability(asked)).slope)
    assert 0.75 < np.median(slopes) < 1.3


def test_a_score_that_is_right_already_is_hardly_changed() -> None:
    off = []
    for seed in range(6):
        scores, truth, risk = cohort(seed, 100)
        fitted = fit_score_calibration(scores, truth, names(100)).value
        off += [(fitted.of(s).probability or 0.0) - true for s, true in zip(scores, risk, strict=True)]
    assert np.sqrt(np.mean(np.square(off))) < 0.1


def test_the_choice_is_the_same_for_a_seed_and_for_any_order_of_the_patients() -> None:
    scores, truth, _ = cohort(2)
    first = fit_score_calibration(scores, truth, names(120), seed=3).value
    order = np.random.default_rng(0).permutation(120)
    again = fit_score_calibration(
        scores[order], truth[order], [names(120)[row] for row in order], seed=3
    ).value
    assert again.method == first.method
    assert again.brier == pytest.approx(first.brier, abs=1e-12)


@pytest.mark.parametrize("too_sure", [1.0, 2.5])
def test_the_interval_holds_the_true_risk_nearly_always(too_sure: float) -> None:
    held, width = [], []
    for seed in range(12):
        scores, truth, _ = cohort(seed, 120, too_sure=too_sure)
        fitted = fit_score_calibration(scores, truth, names(120)).value
        asked, _, risk = cohort(seed + 1000, 40, too_sure=too_sure)
        for score, true in zip(asked, risk, strict=True):
            told = fitted.of(score)
            assert told.low is not None
            assert told.probability is not None
            assert told.high is not None
            assert 0 <= told.low <= told.probability <= told.high <= 1
            held.append(told.low <= true <= told.high)
            width.append(told.high - told.low)
    assert np.mean(held) > 0.9
    assert np.mean(width) < 0.45


def test_sets_cover_each_class_and_the_threshold_keeps_its_promise() -> None:
    covered: dict[int, list[bool]] = {0: [], 1: []}
    kept = []
    for seed in range(60):
        scores, truth, _ = cohort(seed, 60)
        fitted = fit_score_calibration(scores, truth, names(60)).value
        asked, labels, _ = cohort(seed + 500, 400)
        threshold = fitted.of(0.5).guaranteed_threshold
        assert threshold is not None
        kept.append(np.mean(asked[labels == 1] >= threshold) >= 0.8)
        for label in (0, 1):
            first = asked[labels == label][:4]
            covered[label] += [("N-", "N+")[label] in fitted.of(score).outcomes for score in first]
    assert np.mean(covered[0]) > 0.86
    assert np.mean(covered[1]) > 0.86
    assert np.mean(kept) > 0.83  # 0.9 promised, 60 cohorts, and 400 patients show a sensitivity roughly


@pytest.mark.parametrize(
    ("ones", "zeros", "withheld"),
    [
        (10, 10, ["no guaranteed threshold"]),
        (11, 10, []),
        (9, 40, ["no calibrated probability", "no guaranteed threshold"]),
        (40, 8, ["no calibrated probability", "no outcome is ever excluded"]),
        (1, 0, ["no calibrated probability", "no outcome is ever excluded", "no guaranteed threshold"]),
        (0, 12, ["no calibrated probability", "no outcome is ever excluded", "no guaranteed threshold"]),
    ],
)
def test_with_too_few_patients_of_a_class_each_part_abstains_on_its_own(
    ones: int, zeros: int, withheld: list[str]
) -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.uniform(0.3, 0.9, ones), rng.uniform(0.1, 0.7, zeros)])
    fitted = fit_score_calibration(scores, [1] * ones + [0] * zeros, names(ones + zeros)).value
    told = fitted.of(0.99)
    assert [text.split(":")[0] for text in told.abstentions] == withheld
    assert (told.probability is None) == ("no calibrated probability" in withheld)
    assert (told.guaranteed_threshold is None) == ("no guaranteed threshold" in withheld)
    assert told.outcomes == (("N-", "N+") if "no outcome is ever excluded" in withheld else ("N+",))
    assert (told.positives, told.negatives) == (ones, zeros)
    assert (told.method, told.interval) != ("", "") or told.probability is None


@pytest.mark.parametrize("method", METHODS)
def test_a_calibration_comes_back_from_json_as_it_was(method: str) -> None:
    scores, truth, _ = cohort(4)
    fitted = fit_score_calibration(np.round(scores, 2), truth, names(120)).value
    chosen = replace(fitted, method=method, curve=METHODS[method](scores, truth, names(120)))  # type: ignore[index,arg-type]
    again = calibration_of(json.loads(json.dumps(calibration_record(chosen), allow_nan=False)))
    assert again == chosen
    for score in (0.0, 0.31, 0.5, 1.0):
        assert again is not None
        assert again.of(score) == chosen.of(score)
        assert (again.of(score).interval == "wilson and venn_abers") == (method == "venn_abers")


def test_one_that_abstains_comes_back_from_json_too() -> None:
    few = fit_score_calibration([0.2, 0.8], [0, 1], names(2)).value
    again = calibration_of(json.loads(json.dumps(calibration_record(few), allow_nan=False)))
    assert again is not None
    assert again == few
    assert again.of(0.5) == few.of(0.5)


def test_a_record_without_logarithmic_losses_is_of_a_method_chosen_by_the_brier_score() -> None:
    scores, truth, _ = cohort(5)
    fitted = fit_score_calibration(scores, truth, names(120)).value
    record = {key: value for key, value in calibration_record(fitted).items() if key != "log_loss"}
    assert calibration_of(record) == replace(fitted, log_loss={})


def test_a_record_of_another_version_is_none_and_a_damaged_one_is_refused() -> None:
    scores, truth, _ = cohort(5)
    record = calibration_record(fit_score_calibration(scores, truth, names(120)).value)
    assert calibration_of({"version": 2}) is None
    assert calibration_of({}) is None
    damages: list[dict[str, Any]] = [
        {"method": "magic"},
        {"method": "platt", "curve": {"slope": -1, "intercept": 0}},
        {"method": "platt", "curve": {"slope": float("nan"), "intercept": 0}},
        {"method": "platt", "curve": None},
        {"method": "isotonic", "curve": {"scores": [0.1, 0.2], "probabilities": [0.6, 0.5]}},
        {"method": "isotonic", "curve": {"scores": [0.2, 0.1], "probabilities": [0.5, 0.6]}},
        {"method": "isotonic", "curve": {"scores": [], "probabilities": []}},
        {"method": "venn_abers", "curve": {"scores": [0.1], "patients": [1], "positives": [2]}},
        {"method": "venn_abers", "curve": {"scores": [0.1], "patients": [0], "positives": [0]}},
        {"method": "venn_abers", "curve": {"scores": [0.1], "patients": [1.5], "positives": [1]}},
        {"brier": []},
        {"log_loss": {"platt": -0.1}},
        {"sets": {}},
        {"threshold": None},
    ]
    for damage in damages:
        with pytest.raises(InputError, match="calibration of the score is damaged"):
            calibration_of({**record, **damage})


def test_what_is_fitted_refuses_its_own_patients_and_odd_input() -> None:
    scores, truth, _ = cohort(6, 30)
    with pytest.raises(LeakageError):
        fit_score_calibration(scores, truth, names(30)).for_unseen(["p0003"])
    with pytest.raises(InputError, match="ids of 1 patients"):
        fit_score_calibration([0.1, 0.9], [0, 1], ["a", "a"])
    with pytest.raises(InputError, match="no probabilities"):
        fit_score_calibration([0.1, 1.9], [0, 1], ["a", "b"])
    with pytest.raises(UsageError, match="the error cannot be 0"):
        fit_score_calibration([0.1, 0.9], [0, 1], ["a", "b"], promises=Promises(error=0))


def test_wilson_of_whole_patients_is_that_of_the_statistics() -> None:
    low, high = wilson(0.3, 10)
    assert_allclose((low, high), proportion_confint(3, 10, method="wilson"), atol=1e-9)
    assert wilson(1.0, 5)[1] == 1.0
