"""Two methods on the same patients: differences, tests, and p values corrected for their number."""

import numpy as np
import pytest

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.evaluation.classification import balanced_accuracy
from lymphct.evaluation.comparison import call_intervals, compare_calls, compare_scores
from lymphct.evaluation.paired_tests import PairedScores
from lymphct.evaluation.statistics import delong, holm

LABELS = np.arange(60) % 2
STRENGTHS = {"ours": 2.0, "weak": 0.3, "fair": 1.5}


def scores(name: str) -> DoubleArray:
    seed = [*STRENGTHS].index(name) + 1
    found: DoubleArray = STRENGTHS[name] * LABELS + np.random.default_rng(seed).normal(size=LABELS.size)
    return found


def calls(name: str) -> BoolArray:
    found: BoolArray = scores(name) > STRENGTHS[name] / 2
    return found


SCORES = [PairedScores(LABELS, scores("ours"), scores(other)) for other in ("weak", "fair")]
CALLS = [PairedScores(LABELS, calls("ours").astype(int), calls(o).astype(int)) for o in ("weak", "fair")]


def test_scores_are_compared_pair_by_pair_and_corrected_for_their_number() -> None:
    results = compare_scores(SCORES, np.random.default_rng(0), n=200)
    expected = [delong(LABELS, scores("ours"), scores(other)) for other in ("weak", "fair")]
    assert [result.auc.difference for result in results] == [test.difference for test in expected]
    assert [result.p_holm for result in results] == list(holm([test.p for test in expected]))
    assert results[0].permutation_p < 0.05


def test_calls_are_compared_pair_by_pair_and_corrected_for_their_number() -> None:
    results = compare_calls(CALLS, np.random.default_rng(0), n=200)
    assert results[0].balanced_accuracy.interval.estimate == pytest.approx(
        balanced_accuracy(LABELS, calls("ours")) - balanced_accuracy(LABELS, calls("weak"))
    )
    assert results[0].mcnemar.only_first > results[0].mcnemar.only_second
    assert results[0].permutation_p < 0.05
    assert results[0].paper_wilcoxon.warning
    assert [r.p_holm for r in results] == list(holm([r.balanced_accuracy.p for r in results]))
    assert [r.mcnemar_p_holm for r in results] == list(holm([r.mcnemar.p for r in results]))


def test_intervals_hold_the_four_figures_of_calls() -> None:
    figures = call_intervals(LABELS, calls("ours"), np.random.default_rng(0), n=100)
    assert figures.balanced_accuracy.estimate == pytest.approx(
        (figures.sensitivity.estimate + figures.specificity.estimate) / 2
    )
    for interval in (figures.accuracy, figures.sensitivity, figures.specificity):
        assert interval.low < interval.estimate < interval.high
        assert interval.undefined == 0
