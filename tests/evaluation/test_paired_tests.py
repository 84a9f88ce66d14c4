import numpy as np
import pytest

from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.classification import accuracy, auc, balanced_accuracy
from lymphct.evaluation.paired_tests import (
    PAPER_WILCOXON_WARNING,
    PairedScores,
    paired_bootstrap,
    paper_wilcoxon,
    permutation_test,
)


def equal_methods(seed: int, n: int = 60) -> PairedScores:
    """Return the calls of two equally good methods."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    calls = [np.where(rng.random(n) < 0.7, labels, 1 - labels) for _ in range(2)]
    return PairedScores(labels, calls[0], calls[1])


def unequal_methods(n: int = 60) -> PairedScores:
    """Return the calls of one method that is always right and one that errs in every third patient."""
    labels = np.arange(n) % 2
    return PairedScores(labels, labels, np.where(np.arange(n) % 3 == 0, 1 - labels, labels))


def test_a_better_method_has_an_interval_above_0_and_small_p() -> None:
    difference = paired_bootstrap(balanced_accuracy, unequal_methods(), np.random.default_rng(0), n=400)
    assert difference.interval.estimate == pytest.approx(1 / 3)
    assert 0.15 < difference.interval.low < 1 / 3 < difference.interval.high < 0.5
    assert difference.p == pytest.approx(2 / 401)  # no resample at or below 0
    assert permutation_test(balanced_accuracy, unequal_methods(), np.random.default_rng(0), n=400) < 0.01


def test_a_method_does_not_differ_from_itself() -> None:
    labels = np.arange(20) % 2
    same = PairedScores(labels, labels, labels)
    rng = np.random.default_rng(1)
    assert paired_bootstrap(balanced_accuracy, same, rng, n=50).p == 1.0
    assert permutation_test(balanced_accuracy, same, rng, n=50) == 1.0
    assert paper_wilcoxon(balanced_accuracy, same, rng, n=50).p == 1.0


def test_sound_tests_keep_their_level_and_the_papers_does_not() -> None:
    rng = np.random.default_rng(2)
    rejected = np.zeros(3)
    for seed in range(30):
        pair = equal_methods(seed)
        p_values = (
            paired_bootstrap(accuracy, pair, rng, n=60).p,
            permutation_test(accuracy, pair, rng, n=60),
            paper_wilcoxon(accuracy, pair, rng, n=60).p,
        )
        rejected += np.array(p_values) < 0.05
    assert (rejected[:2] / 30 < 0.2).all()
    assert rejected[2] / 30 > 0.6


def test_the_papers_test_carries_its_warning() -> None:
    result = paper_wilcoxon(accuracy, equal_methods(0), np.random.default_rng(0), n=50)
    assert result.warning == PAPER_WILCOXON_WARNING
    assert "Do not conclude" in result.warning


def test_a_permutation_of_two_patients_has_the_p_value_counted_by_hand() -> None:
    # Both patients speak for the first method. Of four exchanges two leave |difference| = 1, two make it 0.
    pair = PairedScores(np.array([1, 0]), np.array([1, 0]), np.array([0, 1]))
    p = permutation_test(accuracy, pair, np.random.default_rng(3), n=1500)
    assert p == pytest.approx(0.5, abs=0.05)


def test_scores_on_different_scales_are_exchanged_as_ranks() -> None:
    rng = np.random.default_rng(4)
    labels = np.arange(80) % 2
    score = labels + rng.normal(size=80)
    pair = PairedScores(labels, score, 1000 * np.exp(score))  # the same order of patients
    assert permutation_test(auc, pair, rng, n=100, exchange_ranks=True) == 1.0


def test_the_same_seed_gives_the_same_p() -> None:
    pair = equal_methods(5)
    first, again = (
        (
            paired_bootstrap(balanced_accuracy, pair, np.random.default_rng(6), n=60),
            permutation_test(balanced_accuracy, pair, np.random.default_rng(6), n=60),
        )
        for _ in range(2)
    )
    assert first == again


def test_pairs_of_unequal_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="do not make one score per label"):
        PairedScores(np.array([0, 1]), np.array([0.1, 0.2]), np.array([0.1]))


def test_tests_without_resamples_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="0 exchanges are none"):
        permutation_test(accuracy, equal_methods(0), rng, n=0)
    with pytest.raises(UsageError, match="0 resamples are none"):
        paired_bootstrap(accuracy, equal_methods(0), rng, n=0)
    with pytest.raises(UsageError, match="-1 resamples are none"):
        paper_wilcoxon(accuracy, equal_methods(0), rng, n=-1)
