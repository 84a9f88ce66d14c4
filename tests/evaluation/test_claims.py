"""The probability of a false claim, on the paper's printed tables and against sampling."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lymphct.core.errors import InputError
from lymphct.evaluation.claims import Agreement, agreement, false_claim, printed_agreement
from lymphct.evaluation.classification import balanced_accuracy

# Sensitivity, specificity of the paper's method and of the best other one; N+ and N- patients.
TABLE_VI = (0.618, 0.649, 0.524, 0.684, 351, 398)
EXTERNAL_1 = (0.487, 0.753, 0.308, 0.871, 39, 93)
EXTERNAL_2 = (0.595, 0.773, 0.577, 0.786, 37, 22)


def printed_claim(table: tuple[float, float, float, float, int, int], correlation: float) -> float:
    first_found, first_spared, other_found, other_spared, positives, negatives = table
    return false_claim(
        printed_agreement(first_found, other_found, positives, correlation),
        printed_agreement(first_spared, other_spared, negatives, correlation),
    ).probability


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (TABLE_VI, (0.12, 0.08, 0.03)),
        (EXTERNAL_1, (0.34, 0.31, 0.27)),
        (EXTERNAL_2, (0.49, 0.48, 0.48)),
    ],
)
def test_the_papers_own_claims_are_false_with_these_probabilities(
    table: tuple[float, float, float, float, int, int], expected: tuple[float, float, float]
) -> None:
    found = [printed_claim(table, correlation) for correlation in (0.0, 0.3, 0.6)]
    assert found == pytest.approx(expected, abs=0.01)


def test_the_quadrature_agrees_with_sampling_the_posterior() -> None:
    positives = Agreement(both=14, only_first=8, only_second=5, neither=12)
    negatives = Agreement(both=50, only_first=9, only_second=14, neither=20)
    rng = np.random.default_rng(3)
    cells = [
        rng.dirichlet([c.both + 1, c.only_first + 1, c.only_second + 1, c.neither + 1], 400_000)
        for c in (positives, negatives)
    ]
    difference = sum(drawn[:, 1] - drawn[:, 2] for drawn in cells)
    claim = false_claim(positives, negatives)
    assert claim.claimed == "first"
    assert claim.probability == pytest.approx(float(np.mean(difference <= 0)), abs=0.003)


def test_one_class_of_two_patients_by_hand() -> None:
    # Posterior of the positives: Dirichlet(1, 3, 1, 1); the negatives are so many that they hardly count.
    positives = Agreement(both=0, only_first=2, only_second=0, neither=0)
    settled = Agreement(both=1e9, only_first=0, only_second=0, neither=0)
    # P(Beta(3, 1) <= 1/2) = 1/8.
    assert false_claim(positives, settled).probability == pytest.approx(1 / 8, abs=0.003)


def test_calls_are_counted_by_who_is_right() -> None:
    labels = [1, 1, 1, 1, 0, 0, 0, 0]
    first = [1, 1, 0, 0, 0, 0, 0, 1]
    second = [1, 0, 1, 0, 0, 0, 0, 0]
    positives, negatives = agreement(labels, first, second)
    assert positives == Agreement(both=1, only_first=1, only_second=1, neither=1)
    assert negatives == Agreement(both=3, only_first=0, only_second=1, neither=0)
    claim = false_claim(positives, negatives)
    assert claim.claimed == "second"
    assert claim.difference == pytest.approx(
        balanced_accuracy(labels, first) - balanced_accuracy(labels, second)
    )
    assert claim.probability < 0.5


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=4, max_size=40))
def test_the_claim_does_not_depend_on_the_order_of_the_methods(rows: list[tuple[int, int, int]]) -> None:
    labels, first, second = zip(*rows, (0, 0, 0), (1, 0, 0), strict=True)
    one = false_claim(*agreement(labels, first, second))
    other = false_claim(*agreement(labels, second, first))
    swapped = {"first": "second", "second": "first", "neither": "neither"}
    assert other.claimed == swapped[one.claimed]
    if one.claimed == "neither":
        assert one.probability + other.probability == pytest.approx(1, abs=0.002)
    else:
        assert one.probability == pytest.approx(other.probability, abs=0.002)


def test_more_patients_of_the_same_kind_make_a_claim_safer() -> None:
    times = [Agreement(both=5 * k, only_first=3 * k, only_second=k, neither=k) for k in (1, 2, 4, 8)]
    found = [false_claim(cells, cells).probability for cells in times]
    assert all(later < earlier for earlier, later in pairwise(found))


def test_equal_methods_claim_nothing() -> None:
    cells = Agreement(both=5, only_first=2, only_second=2, neither=5)
    claim = false_claim(cells, cells)
    assert (claim.claimed, claim.difference) == ("neither", 0.0)
    assert claim.probability == pytest.approx(0.5, abs=0.002)


def test_printed_rates_keep_to_the_cells_they_allow() -> None:
    assert printed_agreement(0.9, 0.9, 100, -1.0) == Agreement(
        both=80.0, only_first=10.0, only_second=10.0, neither=0.0
    )
    assert printed_agreement(0.9, 0.5, 100, 1.0) == Agreement(
        both=50.0, only_first=40.0, only_second=0.0, neither=10.0
    )


def test_what_cannot_be_a_rate_or_a_class_is_refused() -> None:
    with pytest.raises(InputError, match=r"rates of 1\.2 and 0\.5 among 10 patients cannot be"):
        printed_agreement(1.2, 0.5, 10, 0.0)
    nobody = Agreement(both=0, only_first=0, only_second=0, neither=0)
    some = Agreement(both=1, only_first=1, only_second=0, neither=0)
    with pytest.raises(InputError, match="0 positives and 2 negatives: both classes are needed"):
        false_claim(nobody, some)


def test_a_lead_in_two_patients_does_not_outweigh_a_hundred() -> None:
    few = Agreement(both=0, only_first=1, only_second=0, neither=1)
    many = Agreement(both=60, only_first=0, only_second=40, neither=0)
    claim = false_claim(few, many)
    assert claim.claimed == "first"
    assert claim.difference == pytest.approx(0.05)
    assert claim.probability > 0.5
