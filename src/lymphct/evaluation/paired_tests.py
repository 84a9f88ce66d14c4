"""Tests between two methods by resampling or exchanging them on the same patients (Sec. IV-E)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, wilcoxon

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import UsageError
from lymphct.evaluation.classification import checked
from lymphct.evaluation.statistics import Interval, percentile_interval, require_resampling, resamples

Statistic = Callable[[AnyArray, AnyArray], float]
"""A figure of merit of labels and scores (or calls), such as `classification.auc`."""

PAPER_WILCOXON_WARNING = (
    "Wilcoxon's test over bootstrap values takes resamples of the same patients for independent ones: "
    "it is significant in 93 to 97 % of comparisons of equal methods. Do not conclude from it."
)


@dataclass(frozen=True, slots=True, eq=False)
class PairedScores:
    """Two methods' scores (or calls) of the same patients, in one order.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, or unequal numbers.

    """

    labels: AnyArray
    first: AnyArray
    second: AnyArray

    def __post_init__(self) -> None:
        for scores in (self.first, self.second):
            checked(self.labels, scores)


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second method, with its bootstrap interval and two-sided p value."""

    interval: Interval
    p: float


@dataclass(frozen=True, slots=True)
class PaperWilcoxon:
    """The paper's p value and the warning that must be printed beside it."""

    p: float
    warning: str = PAPER_WILCOXON_WARNING


def paired_bootstrap(
    statistic: Statistic, pair: PairedScores, rng: np.random.Generator, *, n: int = 1000, level: float = 0.95
) -> Difference:
    """Return the difference of a figure between two methods, resampling patients stratified by label.

    The p value is twice the smaller share of resamples on one side of 0; resamples at 0 count on both sides,
    and one is added above and below the line.

    Raises:
        UsageError: no resamples, or a level not between 0 and 1.

    """
    labels = np.asarray(pair.labels)
    require_resampling([labels], n, level)
    values = np.array([_difference(statistic, pair, rows) for rows in resamples(labels, n, rng)])
    interval = percentile_interval(_difference(statistic, pair, np.arange(labels.size)), values, level)
    known = values[~np.isnan(values)]
    smaller = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return Difference(interval, min(1.0, 2 * (smaller + 1) / (known.size + 1)))


def _difference(statistic: Statistic, pair: PairedScores, rows: AnyArray) -> float:
    labels, first, second = (np.asarray(a)[rows] for a in (pair.labels, pair.first, pair.second))
    return float(statistic(labels, first) - statistic(labels, second))


def permutation_test(
    statistic: Statistic,
    pair: PairedScores,
    rng: np.random.Generator,
    *,
    n: int = 1000,
    exchange_ranks: bool = False,
) -> float:
    """Return the two-sided p value of a difference, exchanging the methods at random for each patient.

    Args:
        statistic: such as `auc` of scores, or `balanced_accuracy` of calls.
        pair: both methods.
        rng: source of the exchanges.
        n: number of exchanges; the smallest p is 1 / (n + 1).
        exchange_ranks: exchange ranks instead of scores, for methods on different scales (such as a
            probability and a volume). Only for a statistic of ranks, such as `auc`.

    Raises:
        UsageError: no exchanges.

    """
    if n < 1:
        msg = f"{n} exchanges are none"
        raise UsageError(msg)
    labels = np.asarray(pair.labels)
    scores = np.stack((np.asarray(pair.first, dtype=np.float64), np.asarray(pair.second, dtype=np.float64)))
    if exchange_ranks:
        scores = np.stack([rankdata(row) for row in scores])
    observed = abs(statistic(labels, scores[0]) - statistic(labels, scores[1]))
    columns = np.arange(labels.size)
    as_extreme = 0
    for _ in range(n):
        first = rng.integers(0, 2, labels.size)
        exchanged = statistic(labels, scores[first, columns]) - statistic(labels, scores[1 - first, columns])
        # Rounding must not make an equal difference a smaller one.
        as_extreme += abs(exchanged) >= observed - 1e-12
    return (as_extreme + 1) / (n + 1)


def paper_wilcoxon(
    statistic: Statistic, pair: PairedScores, rng: np.random.Generator, *, n: int = 1000
) -> PaperWilcoxon:
    """Return the paper's test: Wilcoxon's signed ranks over `n` bootstrap values (Sec. IV-D). Never conclude.

    Raises:
        UsageError: no resamples.

    """
    labels = np.asarray(pair.labels)
    require_resampling([labels], n, 0.95)
    values = np.array([_difference(statistic, pair, rows) for rows in resamples(labels, n, rng)])
    return PaperWilcoxon(float(wilcoxon(values).pvalue) if values.any() else 1.0)
