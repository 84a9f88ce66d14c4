"""Uncertainty of scores and tests between them: DeLong, bootstrap, McNemar, Holm (Sec. IV-E).

All tests are paired: both methods score the same patients (`scoring.comparing` sees to that).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.classification import checked


@dataclass(frozen=True, slots=True, kw_only=True)
class DeLong:
    """AUC of one or two scores on the same labels, with DeLong's variances.

    Attributes:
        auc: of the first scores.
        variance: of that AUC.
        interval: Wald interval of the first AUC at the demanded level, cut to [0, 1].
        other_auc: of the second scores; None with one.
        other_variance: of that AUC; None with one.
        covariance: of both AUC; None with one.
        difference: first minus second AUC; with one score, AUC minus 0.5.
        difference_interval: Wald interval of the difference.
        p: two-sided, of the difference being 0; NaN when its variance is 0 but the difference is not
            (perfect or constant scores: the approximation says nothing, use the permutation test).

    """

    auc: float
    variance: float
    interval: tuple[float, float]
    other_auc: float | None
    other_variance: float | None
    covariance: float | None
    difference: float
    difference_interval: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bootstrap percentile interval.

    Attributes:
        estimate: on the patients as they are.
        low: lower limit.
        high: upper limit.
        level: coverage, such as 0.95.
        undefined: resamples whose value was NaN, left out.

    """

    estimate: float
    low: float
    high: float
    level: float
    undefined: int


@dataclass(frozen=True, slots=True)
class McNemar:
    """Patients called right by one method only, and the exact two-sided p value."""

    only_first: int
    only_second: int
    p: float


def delong(
    labels: npt.ArrayLike,
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> DeLong:
    """Return variances, interval and p value of one AUC or of the difference of two (DeLong 1988).

    Computed from midranks (Sun and Xu 2014) in O(n log n); ties count one half.

    Args:
        labels: truth, 0 or 1.
        scores_a: scores of the first method.
        scores_b: scores of the second method on the same patients.
        level: coverage of the intervals.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, or fewer than two of a class.
        UsageError: the level is not between 0 and 1.

    """
    require_level(level)
    columns = [checked(labels, scores) for scores in (scores_a, scores_b) if scores is not None]
    positive = columns[0][0]
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        msg = f"{m} positives and {n} negatives: DeLong's variance needs at least two of each"
        raise InputError(msg, code="E_SCORES")
    placements = [_placements(positive, scores) for _, scores in columns]
    of_positives = np.stack([above for above, _ in placements])
    of_negatives = np.stack([below for _, below in placements])
    aucs = of_positives.mean(axis=1)
    covariance = np.atleast_2d(np.cov(of_positives)) / m + np.atleast_2d(np.cov(of_negatives)) / n
    contrast = np.array([1.0, -1.0]) if len(columns) == 2 else np.array([1.0])
    difference = float(aucs[0] - (aucs[1] if len(columns) == 2 else 0.5))
    variance = max(float(contrast @ covariance @ contrast), 0.0)
    half = float(norm.ppf((1 + level) / 2))
    spread, own = half * np.sqrt(variance), half * np.sqrt(covariance[0, 0])
    two = len(columns) == 2
    return DeLong(
        auc=float(aucs[0]),
        variance=float(covariance[0, 0]),
        interval=(max(float(aucs[0] - own), 0.0), min(float(aucs[0] + own), 1.0)),
        other_auc=float(aucs[1]) if two else None,
        other_variance=float(covariance[1, 1]) if two else None,
        covariance=float(covariance[0, 1]) if two else None,
        difference=difference,
        difference_interval=(float(difference - spread), float(difference + spread)),
        p=two_sided_p(difference, variance),
    )


def _placements(positive: npt.NDArray[np.bool_], scores: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Return for each positive the share of negatives below it, for each negative of positives above it."""
    together = rankdata(scores)
    m, n = int(positive.sum()), int((~positive).sum())
    below = (together[positive] - rankdata(scores[positive])) / n
    above = 1.0 - (together[~positive] - rankdata(scores[~positive])) / m
    return (below, above)


def two_sided_p(difference: float, variance: float) -> float:
    """Return the p value of a normal difference being 0; NaN when its variance is 0 but it is not."""
    # Equal scores leave rounding errors of the order 1e-17 in both.
    if variance < 1e-15:
        return 1.0 if abs(difference) < 1e-12 else float("nan")
    return float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: npt.ArrayLike,
    rng: np.random.Generator,
    strata: npt.ArrayLike | None = None,
    n: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return a figure with its percentile interval over `n` resamples of the patients (Tab. VI, VII).

    Args:
        statistic: takes resampled `arrays`, returns one number.
        *arrays: one entry per patient along the first axis, all of one length.
        rng: source of the resamples.
        strata: one value per patient; each resample keeps the number of patients of every value. Give the
            labels, so that no resample lacks a class.
        n: number of resamples.
        level: coverage.

    Raises:
        InputError: no patients or unequal numbers of them.
        UsageError: no resamples, or a level not between 0 and 1.

    """
    columns = [np.asarray(array) for array in arrays]
    grouping = np.zeros(len(columns[0])) if strata is None else np.asarray(strata)
    require_resampling([*columns, grouping], n, level)
    values = [statistic(*(column[rows] for column in columns)) for rows in resamples(grouping, n, rng)]
    return percentile_interval(float(statistic(*columns)), np.array(values, dtype=np.float64), level)


def resamples(strata: AnyArray, n: int, rng: np.random.Generator) -> Iterator[AnyArray]:
    """Draw rows with replacement, as many of each stratum as there are."""
    groups = [np.flatnonzero(strata == value) for value in np.unique(strata)]
    for _ in range(n):
        yield np.concatenate([rng.choice(group, group.size) for group in groups])


def percentile_interval(estimate: float, values: DoubleArray, level: float) -> Interval:
    """Return the central `level` of resampled values; NaN values are left out and counted."""
    known = values[~np.isnan(values)]
    shares = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(known, shares).tolist() if known.size else (float("nan"), float("nan"))
    return Interval(estimate, low, high, level, values.size - known.size)


def mcnemar(labels: npt.ArrayLike, called_a: npt.ArrayLike, called_b: npt.ArrayLike) -> McNemar:
    """Compare the accuracy of two methods' calls (0/1 or bool): exact binomial test of the discordant ones.

    Raises:
        InputError: labels other than 0 and 1, or unequal numbers.

    """
    from statsmodels.stats import contingency_tables  # noqa: PLC0415 - a slow import only this test needs

    positive, a = checked(labels, called_a)
    _, b = checked(labels, called_b)
    right_a, right_b = (a > 0) == positive, (b > 0) == positive
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    test = contingency_tables.mcnemar([[0, only_a], [only_b, 0]], exact=True)
    return McNemar(only_a, only_b, float(test.pvalue))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p values of several comparisons (Holm 1979); NaN stays NaN but counts as a comparison.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415 - a slow import only this needs

    if not len(p_values):
        return ()
    adjusted: DoubleArray = multipletests(p_values, method="holm")[1]
    return tuple(adjusted.tolist())


def require_level(level: float) -> None:
    """Raise `UsageError` unless `level` is between 0 and 1."""
    if not 0 < level < 1:
        msg = f"an interval cannot cover a share of {level}"
        raise UsageError(msg, cure="give a level between 0 and 1, such as 0.95")


def require_resampling(columns: Sequence[AnyArray], n: int, level: float) -> None:
    """Raise unless `columns` have one length above 0, `n` is positive and `level` between 0 and 1."""
    require_level(level)
    if n < 1:
        msg = f"{n} resamples are none"
        raise UsageError(msg)
    sizes = sorted({len(column) for column in columns})
    if len(sizes) != 1 or not sizes[0]:
        msg = f"arrays of {sizes} patients cannot be resampled together"
        raise InputError(msg, code="E_SCORES")
