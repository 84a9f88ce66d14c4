"""The arithmetic of printed tables: by hand, by enumeration, and silent about tables that are right."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lymphct.evaluation.classification import classification_scores
from lymphct.evaluation.comparison import call_intervals
from lymphct.evaluation.printed import Figure, Finding, Printed, PrintedRow, findings
from lymphct.evaluation.printed_counts import Shares, fitting_numbers, largest_fits
from lymphct.evaluation.statistics import delong


def row(
    positives: int = 40, negatives: int = 60, method: str = "ours", **figures: float | Printed
) -> PrintedRow:
    named: dict[Figure, Printed] = {}
    for name, figure in figures.items():
        named[name] = figure if isinstance(figure, Printed) else Printed(figure)  # type: ignore[index]
    return PrintedRow(
        method=method, cohort="c", figures=named, positives=positives, negatives=negatives, rounding=0.0005
    )


def only(rows: list[PrintedRow]) -> Finding:
    found = findings(rows)
    assert len(found) == 1
    return found[0]


def test_balanced_accuracy_is_the_mean_of_both_rates_within_rounding() -> None:
    assert not findings([row(balanced_accuracy=0.601, sensitivity=0.525, specificity=0.675, positives=0)])
    assert not findings([row(balanced_accuracy=0.600, sensitivity=0.525, specificity=0.676, positives=0)])
    found = only([row(balanced_accuracy=0.602, sensitivity=0.525, specificity=0.675, positives=0)])
    assert (found.check, found.certain, found.method, found.cohort) == (
        "balanced_accuracy",
        True,
        "ours",
        "c",
    )
    assert found.text == (
        "balanced accuracy 0.602, but sensitivity 0.525 and specificity 0.675 have the mean 0.6000"
    )


def test_accuracy_follows_from_both_rates_and_the_share_of_positives() -> None:
    # 21 of 40 and 42 of 60: 63 of 100.
    assert not findings([row(accuracy=0.63, sensitivity=0.525, specificity=0.7)])
    found = only([row(accuracy=0.65, sensitivity=0.525, specificity=0.7)])
    assert (found.check, found.certain) == ("accuracy", True)
    assert "of 40 N+ and 60 N- make 0.6300; it would take 28.6% N+, not 40.0%" in found.text
    # Outside both rates no share will do, whatever the numbers.
    outside = only([row(accuracy=0.71, sensitivity=0.525, specificity=0.7, positives=0, negatives=0)])
    assert outside.text.endswith("specificity 0.700: it cannot lie outside them")


def test_rates_are_whole_numbers_of_patients_or_other_numbers_are_named() -> None:
    # 15/26 = 0.5769, 11/14 = 0.7857, 26/40 = 0.65: Tab. VII, external 2, ResNet2D.
    found = findings(
        [row(37, 22, sensitivity=0.577, specificity=0.786, accuracy=0.65, balanced_accuracy=0.681)]
    )
    assert [finding.check for finding in found] == ["accuracy", "counts"]
    assert found[1].text == (
        "sensitivity 0.577 is no whole number of 37 N+ (21.35); specificity 0.786 is no whole number of 22 "
        "N- (17.29); fits 26 N+ and 14 N-, or a mean over folds"
    )
    nothing_fits = only([row(3, 3, sensitivity=0.45)])
    assert "no smaller number of patients fits either" in nothing_fits.text


def test_an_estimate_outside_its_interval_is_told() -> None:
    found = only([row(0, 0, auc=Printed(0.7, (0.71, 0.8)))])
    assert (found.check, found.certain, found.text) == (
        "interval",
        True,
        "AUC 0.700 lies outside [0.71, 0.8]",
    )


def test_the_auc_lies_within_what_the_calls_leave_open() -> None:
    # The curve passes (0.4, 0.5): at worst 0.5 · 0.6 = 0.30, at best 1 - 0.5 · 0.4 = 0.80.
    calls: Any = {"sensitivity": 0.5, "specificity": 0.6}
    assert not findings([row(**calls, auc=0.56)])
    assert not findings([row(**calls, auc=0.799)])
    assert only([row(**calls, auc=0.81)]).text.endswith("it lies between 0.300 and 0.800")
    assert [f.certain for f in findings([row(**calls, auc=0.29)])] == [True]
    dent = only([row(**calls, auc=0.5)])
    assert (dent.check, dent.certain) == ("auc", False)
    assert "below the balanced accuracy" in dent.text


def test_an_interval_of_another_number_of_patients_is_told() -> None:
    # 2 · 1.96 · √(0.5 · 0.5 / 400) = 0.098 of 400 N+; of 100 it is twice as wide.
    rates: Any = {"specificity": 0.5}
    assert not findings([row(400, 400, sensitivity=Printed(0.5, (0.451, 0.549)), **rates)])
    found = only([row(400, 400, sensitivity=Printed(0.5, (0.402, 0.598)), **rates)])
    assert (found.check, found.certain) == ("width", False)
    assert found.text == (
        "the interval of sensitivity 0.500 is 0.196 wide, of 400 N+ and 400 N- 0.098 is expected: as if "
        "there were 0.3 times as many"
    )
    # Resampled by class, the accuracy of unlike rates varies less than a binomial: 0.0816 instead of 0.160.
    assert not findings(
        [row(39, 93, accuracy=Printed(0.674, (0.633, 0.715)), sensitivity=0.051, specificity=0.935)]
    )


def test_rows_that_no_number_of_patients_fits_together_are_told_apart() -> None:
    whole = row(37, 22, method="a", sensitivity=0.514, specificity=0.727)  # 19 of 37, 16 of 22
    part = row(37, 22, method="b", sensitivity=0.577, specificity=0.786, accuracy=0.65)
    found = [finding for finding in findings([whole, part]) if finding.check == "same_patients"]
    assert [(finding.method, finding.cohort) for finding in found] == [("", "c")]
    assert found[0].text == (
        "no number of patients fits every row: 37 N+ and 22 N- fit a; other numbers fit at most b (26 and 14)"
    )
    assert not findings([whole, row(37, 22, method="c", sensitivity=0.459, specificity=0.818)])


@given(
    st.integers(0, 10**6),
    st.integers(1, 20),
    st.integers(1, 20),
)
@settings(deadline=None, max_examples=30)
def test_the_numbers_that_fit_are_those_of_the_enumeration(seed: int, positives: int, negatives: int) -> None:
    rng = np.random.default_rng(seed)
    found, spared = int(rng.integers(0, positives + 1)), int(rng.integers(0, negatives + 1))
    shares = Shares(
        sensitivity=round(found / positives, 2),
        specificity=round(spared / negatives, 2),
        accuracy=round((found + spared) / (positives + negatives), 2),
        balanced_accuracy=None,
        rounding=0.005,
    )
    fits = fitting_numbers(shares, 20, 20)

    def by_enumeration(p: int, n: int) -> bool:
        return any(
            abs(tp / p - shares.sensitivity) <= 0.005 + 1e-9  # type: ignore[operator]
            and abs(tn / n - shares.specificity) <= 0.005 + 1e-9  # type: ignore[operator]
            and abs((tp + tn) / (p + n) - shares.accuracy) <= 0.005 + 1e-9  # type: ignore[operator]
            for tp in range(p + 1)
            for tn in range(n + 1)
        )

    expected = [[by_enumeration(p, n) for n in range(1, 21)] for p in range(1, 21)]
    assert fits.tolist() == expected
    assert fits[positives - 1, negatives - 1]
    assert largest_fits(fits)[0][0] + largest_fits(fits)[0][1] >= positives + negatives


@pytest.mark.parametrize("seed", range(6))
def test_a_table_of_true_figures_is_left_in_peace(seed: int) -> None:
    """Three methods on one cohort, rounded as the paper rounds, with bootstrap and DeLong intervals."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [60 + seed, 90 - seed])
    rows = []
    for strength in (0.5, 1.0, 1.5):
        scores = rng.normal(size=150) + strength * labels
        true = classification_scores(labels, scores, 0.4)
        calls = call_intervals(labels, scores >= 0.4, rng, n=400)
        figures: Any = {"auc": _printed(true.auc, *delong(labels, scores).interval)}
        for name in ("balanced_accuracy", "accuracy", "sensitivity", "specificity"):
            interval = getattr(calls, name)
            figures[name] = _printed(interval.estimate, interval.low, interval.high)
        rows.append(row(60 + seed, 90 - seed, method=f"m{strength}", **figures))
    assert [finding for finding in findings(rows) if finding.certain or finding.check == "width"] == []


def _printed(value: float, low: float, high: float) -> Printed:
    return Printed(round(value, 3), (round(low, 3), round(high, 3)))
