import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import binomtest, norm

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.classification import auc
from lymphct.evaluation.statistics import bootstrap_interval, delong, holm, mcnemar


def cohort(n: int, seed: int, shift: float = 1.0) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return labels and two correlated scores, rounded so that there are ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2)
    common = rng.normal(size=n)
    scores = [np.round(shift * labels + common + rng.normal(size=n), 1) for _ in range(2)]
    return (labels, scores[0], scores[1])


def delong_by_pairs(labels: AnyArray, columns: list[AnyArray]) -> tuple[DoubleArray, DoubleArray]:
    """Return AUC and covariance from all pairs of a positive and a negative (DeLong 1988, Eq. 5 and 6)."""
    kernels = []
    for scores in columns:
        ordered = np.sign(scores[labels == 1][:, None] - scores[labels == 0][None])
        kernels.append((ordered + 1) / 2)
    m, n = kernels[0].shape
    aucs = np.array([kernel.mean() for kernel in kernels])
    covariance = np.zeros((len(columns), len(columns)))
    for a, first in enumerate(kernels):
        for b, second in enumerate(kernels):
            rows = ((first.mean(1) - aucs[a]) * (second.mean(1) - aucs[b])).sum() / (m - 1)
            cols = ((first.mean(0) - aucs[a]) * (second.mean(0) - aucs[b])).sum() / (n - 1)
            covariance[a, b] = rows / m + cols / n
    return (aucs, covariance)


@given(st.integers(0, 10**6), st.integers(4, 60))
@settings(deadline=None, max_examples=50)
def test_fast_delong_equals_brute_force_over_all_pairs(seed: int, n: int) -> None:
    labels, first, second = cohort(n, seed)
    result = delong(labels, first, second)
    aucs, covariance = delong_by_pairs(labels, [first, second])
    assert (result.auc, result.other_auc) == pytest.approx(tuple(aucs), abs=1e-12)
    assert (result.variance, result.other_variance) == pytest.approx(tuple(np.diag(covariance)), abs=1e-12)
    assert result.covariance == pytest.approx(covariance[0, 1], abs=1e-12)
    assert result.auc == pytest.approx(auc(labels, first), abs=1e-12)


def test_intervals_and_p_follow_from_the_variance() -> None:
    labels, first, second = cohort(80, seed=3)
    both, one = delong(labels, first, second), delong(labels, first)
    assert both.other_variance is not None
    assert both.covariance is not None
    spread = np.sqrt(both.variance + both.other_variance - 2 * both.covariance)
    assert_allclose(
        both.difference_interval, [both.difference - 1.959964 * spread, both.difference + 1.959964 * spread]
    )
    assert both.p == pytest.approx(2 * (1 - norm.cdf(abs(both.difference) / spread)))
    own = 1.959964 * np.sqrt(one.variance)
    assert_allclose(one.interval, [one.auc - own, one.auc + own])
    assert one.other_auc is one.other_variance is one.covariance is None
    assert one.difference == pytest.approx(one.auc - 0.5)
    narrower = delong(labels, first, level=0.9)
    assert narrower.interval[0] > one.interval[0]


def test_equal_scores_do_not_differ() -> None:
    labels, first, _ = cohort(40, seed=4)
    assert delong(labels, first, first).p == 1.0
    assert delong(labels, first, 3 * first + 7).p == 1.0  # ranks count, not values


def test_perfect_against_constant_scores_have_no_p() -> None:
    labels = np.array([0, 0, 1, 1])
    result = delong(labels, labels, np.zeros(4))
    assert result.difference == 0.5
    assert np.isnan(result.p)
    assert result.interval == (1.0, 1.0)


def test_delong_finds_false_differences_as_often_as_it_says() -> None:
    rejected = sum(delong(*cohort(60, seed)).p < 0.05 for seed in range(300))
    assert 0.02 < rejected / 300 < 0.09


def test_delong_needs_two_of_each_class_and_a_level() -> None:
    with pytest.raises(InputError, match="1 positives and 3 negatives"):
        delong([0, 0, 0, 1], [1, 2, 3, 4])
    with pytest.raises(UsageError, match="cannot cover a share of 95"):
        delong([0, 0, 1, 1], [1, 2, 3, 4], level=95)


def test_a_bootstrap_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, 400)
    interval = bootstrap_interval(np.mean, values, rng=np.random.default_rng(6), n=2000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.estimate == values.mean()
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
    assert (interval.level, interval.undefined) == (0.95, 0)


def test_strata_keep_their_numbers_and_arrays_stay_together() -> None:
    labels = np.array([1, 0, 0, 0, 1, 0])

    def check(resampled: AnyArray, doubled: AnyArray) -> float:
        assert resampled.sum() == 2
        assert (doubled == 2 * resampled).all()
        return 0.0

    bootstrap_interval(check, labels, 2 * labels, rng=np.random.default_rng(0), strata=labels, n=50)


def test_the_same_seed_gives_the_same_interval() -> None:
    labels, scores, _ = cohort(50, seed=7)
    first, again, other = (
        bootstrap_interval(auc, labels, scores, rng=np.random.default_rng(seed), strata=labels, n=200)
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert first.low < first.estimate < first.high


def test_resamples_without_a_value_are_left_out_and_counted() -> None:
    labels, scores = np.array([0, 1, 1, 1]), np.array([0.1, 0.4, 0.2, 0.9])
    interval = bootstrap_interval(auc, labels, scores, rng=np.random.default_rng(8), n=300)
    assert 0 < interval.undefined < 300  # without strata some resamples hold one class only
    assert interval.low == interval.high == 1.0
    nothing = bootstrap_interval(lambda _: float("nan"), labels, rng=np.random.default_rng(9), n=5)
    assert np.isnan([nothing.low, nothing.high]).all()
    assert nothing.undefined == 5


def test_a_bootstrap_refuses_unequal_numbers_no_patients_and_no_resamples() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"arrays of \[2, 3\] patients"):
        bootstrap_interval(auc, [0, 1], [1.0, 2.0, 3.0], rng=rng)
    with pytest.raises(InputError, match=r"arrays of \[2, 3\] patients"):
        bootstrap_interval(np.mean, [0, 1], rng=rng, strata=[0, 1, 1])
    with pytest.raises(InputError, match=r"arrays of \[0\] patients"):
        bootstrap_interval(np.mean, [], rng=rng)
    with pytest.raises(UsageError, match="0 resamples are none"):
        bootstrap_interval(np.mean, [1.0], rng=rng, n=0)
    with pytest.raises(UsageError, match="cannot cover a share of 1"):
        bootstrap_interval(np.mean, [1.0], rng=rng, level=1.0)


@pytest.mark.parametrize(("a_only", "b_only"), [(5, 1), (0, 8), (3, 3), (12, 25), (0, 0)])
def test_mcnemar_is_the_exact_test_of_the_discordant_calls(a_only: int, b_only: int) -> None:
    labels = np.concatenate((np.ones(a_only), np.zeros(b_only), [1, 0, 1]))
    called_a = np.concatenate((np.ones(a_only), np.ones(b_only), [1, 1, 0]))
    called_b = np.concatenate((np.zeros(a_only), np.zeros(b_only), [1, 1, 0]))
    result = mcnemar(labels, called_a, called_b)
    assert (result.only_first, result.only_second) == (a_only, b_only)
    assert result.p == (pytest.approx(binomtest(a_only, a_only + b_only).pvalue) if a_only + b_only else 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None, max_examples=8)  # statsmodels needs up to 120 ms a call
def test_holm_multiplies_by_the_hypotheses_that_are_left_and_never_falls(p_values: list[float]) -> None:
    m = len(p_values)
    adjusted = holm(p_values)
    ranked = sorted(range(m), key=lambda place: p_values[place])
    largest = 0.0
    for rank, place in enumerate(ranked):
        largest = max(largest, min(1.0, (m - rank) * p_values[place]))
        assert adjusted[place] == pytest.approx(largest)


def test_nothing_compared_is_nothing_corrected() -> None:
    assert holm([]) == ()


def test_a_comparison_without_p_still_counts_for_holm() -> None:
    adjusted = holm([0.01, float("nan"), 0.02])
    assert_allclose([adjusted[0], adjusted[2]], [0.03, 0.04])
    assert np.isnan(adjusted[1])
