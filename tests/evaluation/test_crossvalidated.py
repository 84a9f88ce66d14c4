"""Cross-validated AUC: by hand, by the published formula, and by how often its interval holds the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.classification import auc
from lymphct.evaluation.crossvalidated import OutOfFold, crossvalidated_auc, crossvalidated_difference
from lymphct.evaluation.statistics import delong

FOLDS = 5


def stratified(n: int, positives: int) -> tuple[AnyArray, AnyArray]:
    """Return labels and folds, each fold with its share of each class."""
    labels = (np.arange(n) < positives).astype(int)
    return labels, np.concatenate([np.arange(positives) % FOLDS, np.arange(n - positives) % FOLDS])


def ledell_variance(labels: AnyArray, folds: AnyArray, scores: DoubleArray) -> float:
    """Return the variance of the cross-validated AUC as printed (LeDell 2015, Sec. 5), from all pairs."""
    share = labels.mean()
    means = []
    for fold in np.unique(folds):
        ones, zeros = (scores[(folds == fold) & (labels == value)] for value in (1, 0))
        ordered = (np.sign(ones[:, None] - zeros[None]) + 1) / 2
        influence = np.concatenate(
            [(ordered.mean(1) - ordered.mean()) / share, (ordered.mean(0) - ordered.mean()) / (1 - share)]
        )
        means.append(np.mean(influence**2))
    return float(np.mean(means) / labels.size)


def test_two_folds_by_hand() -> None:
    # Fold a: positives 3, 1, negatives 2, 0: pairs 1, 1, 0, 1. Fold b: perfect, on another scale.
    labels = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    folds = np.array(list("aaaabbbb"))
    scores = np.array([3.0, 1.0, 2.0, 0.0, 90.0, 80.0, 70.0, 60.0])
    result = crossvalidated_auc(OutOfFold(labels, folds, scores))
    assert [(fold.fold, fold.patients, fold.positives, fold.auc) for fold in result.folds] == [
        ("a", 4, 2, 0.75), ("b", 4, 2, 1.0),
    ]  # fmt: skip
    assert result.mean == 0.875
    # Placements in a are (1, 1/2) and (1/2, 1): variance 1/8 of each class, over 2 patients, two classes.
    assert result.variance == pytest.approx((1 / 8 / 2 + 1 / 8 / 2) / 4)
    # Two positives of a lie below both negatives of b: of 16 pairs 4 + 4 + 0 + 3 are in order.
    assert result.pooled == auc(labels, scores) == 11 / 16
    assert result.pooled_interval == delong(labels, scores).interval
    low, high = result.interval
    assert 0 < low < 0.875 < high < 1
    half = 1.959964 * np.sqrt(result.variance) / (0.875 * 0.125)
    assert np.log(high / (1 - high)) - np.log(7) == pytest.approx(half, rel=1e-5)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_the_variance_is_the_published_one_but_for_the_degrees_of_freedom(seed: int) -> None:
    labels, folds = stratified(600, 250)
    scores = np.round(np.random.default_rng(seed).normal(size=600) + 0.7 * labels, 1) * (1 + folds)
    found = crossvalidated_auc(OutOfFold(labels, folds, scores)).variance
    published = ledell_variance(labels, folds, scores)
    assert published < found < published * 50 / 49


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_a_scale_per_fold_changes_nothing_but_the_pooled_auc(seed: int, stretch: int) -> None:
    labels, folds = stratified(80, 40)
    scores = np.random.default_rng(seed).normal(size=80) + labels
    plain = crossvalidated_auc(OutOfFold(labels, folds, scores))
    scaled = crossvalidated_auc(OutOfFold(labels, folds, np.exp(scores / 4) * stretch + 9 * folds))
    assert (plain.mean, plain.variance, plain.interval) == (scaled.mean, scaled.variance, scaled.interval)
    assert scaled.pooled < plain.pooled


@pytest.mark.parametrize(("n", "positives"), [(749, 351), (120, 56)])
def test_the_intervals_hold_the_truth_in_95_of_100_studies(n: int, positives: int) -> None:
    """Five models of known, different strength and scale; the second method shares half of the noise."""
    labels, folds = stratified(n, positives)
    strengths = [np.array([0.5, 0.6, 0.7, 0.8, 0.9]), np.array([0.4, 0.5, 0.5, 0.6, 0.6])]
    truths = [norm.cdf(strength / np.sqrt(2)).mean() for strength in strengths]
    rng = np.random.default_rng(20151583)
    studies, held, held_difference = 500, 0, 0
    for _ in range(studies):
        common = rng.normal(size=n)
        first, second = (
            OutOfFold(
                labels,
                folds,
                (1 + folds) * (strength[folds] * labels + (common + rng.normal(size=n)) / 2**0.5),
            )
            for strength in strengths
        )
        low, high = crossvalidated_auc(first).interval
        held += low <= truths[0] <= high
        low, high = crossvalidated_difference(first, second).interval
        held_difference += low <= truths[0] - truths[1] <= high
    assert 0.93 <= held / studies <= 0.97
    assert 0.93 <= held_difference / studies <= 0.97


def test_the_interval_holds_what_trained_models_are_truly_worth() -> None:
    """Models are trained on four folds and differ; the truth is the mean of what each is worth on anybody."""
    n, signs, studies = 749, 5, 700
    labels, folds = stratified(n, 351)
    effect = 0.8 * (np.arange(signs) == 0)
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(studies):
        seen = rng.normal(size=(n, signs)) + labels[:, None] * effect
        scores, worth = np.empty(n), []
        for fold in range(FOLDS):
            train = folds != fold
            weights = seen[train & (labels == 1)].mean(0) - seen[train & (labels == 0)].mean(0)
            scores[~train] = seen[~train] @ weights
            worth.append(norm.cdf(weights @ effect / np.linalg.norm(weights) / np.sqrt(2)))
        low, high = crossvalidated_auc(OutOfFold(labels, folds, scores)).interval
        held += low <= np.mean(worth) <= high
    assert 0.93 <= held / studies <= 0.97


def test_a_paired_difference_is_narrower_than_two_intervals_and_equal_methods_do_not_differ() -> None:
    labels, folds = stratified(200, 90)
    rng = np.random.default_rng(2)
    common = rng.normal(size=200) + labels
    first, second = (OutOfFold(labels, folds, common + 0.3 * rng.normal(size=200)) for _ in range(2))
    test = crossvalidated_difference(first, second)
    apart = [crossvalidated_auc(method) for method in (first, second)]
    assert (test.first, test.second) == pytest.approx((apart[0].mean, apart[1].mean))
    assert test.difference == pytest.approx(apart[0].mean - apart[1].mean)
    assert test.by_fold == pytest.approx(
        [a.auc - b.auc for a, b in zip(apart[0].folds, apart[1].folds, strict=True)]
    )
    assert test.variance < (apart[0].variance + apart[1].variance) / 2
    assert test.p == pytest.approx(2 * norm.sf(abs(test.difference) / np.sqrt(test.variance)))
    same = crossvalidated_difference(first, first)
    assert (same.difference, same.p) == (0.0, 1.0)


def test_perfect_scores_have_no_variance_and_no_interval() -> None:
    labels, folds = stratified(40, 20)
    result = crossvalidated_auc(OutOfFold(labels, folds, labels.astype(float)))
    assert (result.mean, result.variance) == (1.0, 0.0)
    assert np.isnan(result.interval).all()


def test_a_fold_without_two_of_each_class_is_refused_by_name() -> None:
    labels = np.array([1, 1, 0, 0, 1, 0, 0, 0])
    scores = np.arange(8.0)
    with pytest.raises(InputError, match="fold b tests 1 N\\+ and 3 N-, two of each are needed") as refused:
        OutOfFold(labels, np.array(list("aaaabbbb")), scores)
    assert refused.value.code == "E_FOLDS"
    with pytest.raises(InputError, match="all 8 patients are in one fold"):
        OutOfFold(labels, np.zeros(8), scores)
    with pytest.raises(InputError, match="7 folds and 8 labels"):
        OutOfFold(labels, np.zeros(7), scores)


def test_methods_on_other_patients_or_folds_and_impossible_levels_are_refused() -> None:
    labels, folds = stratified(40, 20)
    scores = np.arange(40.0)
    one = OutOfFold(labels, folds, scores)
    with pytest.raises(InputError, match="different labels"):
        crossvalidated_difference(one, OutOfFold(1 - labels, folds, scores))
    with pytest.raises(InputError, match="different folds"):
        crossvalidated_difference(one, OutOfFold(labels, (folds + 1) % FOLDS, scores))
    with pytest.raises(UsageError, match="share of 1"):
        crossvalidated_difference(one, one, level=1)
    with pytest.raises(UsageError, match=r"share of 1\.5"):
        crossvalidated_auc(one, level=1.5)
