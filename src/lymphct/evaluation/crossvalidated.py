"""AUC of a cross-validation with intervals that know its folds (decision 0046).

Each fold's model scores patients it has not seen, on a scale of its own: scores are ranked within their fold.
The interval follows LeDell, Petersen and van der Laan (Electron. J. Stat. 2015;9:1583): its variance is that
of the influence of each patient on the AUC of the patient's fold. With the classes counted in the fold and
one degree of freedom given up for each, that is DeLong's variance in the fold. It speaks of the models as
they were trained: another draw of training patients would give others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.evaluation.classification import checked
from lymphct.evaluation.statistics import DeLong, delong, require_level, two_sided_p


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """What the models of a cross-validation say of the patients they were not trained on.

    Attributes:
        labels: (patients,), 1 for N+, 0 for N-.
        folds: (patients,), name or number of the fold in which each patient was tested.
        scores: (patients,), the higher the rather N+.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, unequal numbers, fewer than two
            folds, or a fold with fewer than two patients of a class.

    """

    labels: AnyArray
    folds: AnyArray
    scores: DoubleArray

    def __post_init__(self) -> None:
        positive, _ = checked(self.labels, self.scores)
        require_folds(positive, np.asarray(self.folds))


@dataclass(frozen=True, slots=True)
class FoldAUC:
    """One fold: its name, its test patients, the N+ among them, and its AUC."""

    fold: str
    patients: int
    positives: int
    auc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidatedAUC:
    """AUC of a cross-validation.

    Attributes:
        folds: each fold's, in the order of their names.
        mean: mean of the folds' AUC: the cross-validated AUC.
        variance: of the mean, given the trained models.
        interval: of the mean, by its logit, so that it stays within 0 to 1; NaN when every fold is perfect.
        pooled: AUC of all scores together, which also counts pairs of two folds; it suffers when the models'
            scales differ.
        pooled_interval: DeLong's interval of it.

    """

    folds: tuple[FoldAUC, ...]
    mean: float
    variance: float
    interval: tuple[float, float]
    pooled: float
    pooled_interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidatedDifference:
    """Difference in cross-validated AUC of two methods on the same patients and folds.

    Attributes:
        first: mean of the folds' AUC of the first method, likewise `second`.
        second: of the second method.
        by_fold: first minus second AUC in each fold, in the order of their names.
        difference: first minus second.
        variance: of the difference, given the trained models.
        interval: Wald interval of the difference.
        p: two-sided, of the difference being 0; NaN when its variance is 0 but the difference is not.

    """

    first: float
    second: float
    by_fold: tuple[float, ...]
    difference: float
    variance: float
    interval: tuple[float, float]
    p: float


def crossvalidated_auc(tested: OutOfFold, *, level: float = 0.95) -> CrossValidatedAUC:
    """Return the mean of the folds' AUC with its interval by influence curves, and the pooled AUC.

    Args:
        tested: every patient in the fold that did not train on it.
        level: coverage of the intervals.

    Raises:
        UsageError: the level is not between 0 and 1.

    """
    of_folds = [delong(tested.labels[rows], tested.scores[rows]) for _, rows in _rows(tested.folds)]
    mean = float(np.mean([fold.auc for fold in of_folds]))
    variance = _of_mean([fold.variance for fold in of_folds])
    pooled = delong(tested.labels, tested.scores, level=level)
    return CrossValidatedAUC(
        folds=tuple(
            FoldAUC(name, int(rows.sum()), int(tested.labels[rows].sum()), fold.auc)
            for (name, rows), fold in zip(_rows(tested.folds), of_folds, strict=True)
        ),
        mean=mean,
        variance=variance,
        interval=_by_logit(mean, variance, level),
        pooled=pooled.auc,
        pooled_interval=pooled.interval,
    )


def crossvalidated_difference(
    first: OutOfFold, second: OutOfFold, *, level: float = 0.95
) -> CrossValidatedDifference:
    """Compare two methods by the influence of each patient on the difference of their AUC, fold by fold.

    Args:
        first: one method.
        second: another one, of the same patients in the same order, tested in the same folds.
        level: coverage of the interval.

    Raises:
        InputError: the labels or the folds differ.
        UsageError: the level is not between 0 and 1.

    """
    require_level(level)
    for what, one, other in (("labels", first.labels, second.labels), ("folds", first.folds, second.folds)):
        if not np.array_equal(one, other):
            msg = f"the two methods have different {what}"
            raise InputError(msg, code="E_SCORES", cure="give both methods the same patients in one order")
    tests = [
        delong(first.labels[rows], first.scores[rows], second.scores[rows]) for _, rows in _rows(first.folds)
    ]
    difference = float(np.mean([test.difference for test in tests]))
    variance = _of_mean([_of_difference(test) for test in tests])
    half = float(norm.ppf((1 + level) / 2)) * float(np.sqrt(variance))
    return CrossValidatedDifference(
        first=float(np.mean([test.auc for test in tests])),
        second=float(np.mean([test.auc - test.difference for test in tests])),
        by_fold=tuple(test.difference for test in tests),
        difference=difference,
        variance=variance,
        interval=(difference - half, difference + half),
        p=two_sided_p(difference, variance),
    )


def mean_over_folds(
    statistic: Callable[[AnyArray, AnyArray], float], labels: AnyArray, folds: AnyArray, values: AnyArray
) -> float:
    """Return the mean of a figure of labels and scores (or calls) over the folds; NaN where one has none."""
    return float(np.mean([statistic(labels[rows], values[rows]) for _, rows in _rows(folds)]))


def require_folds(positive: BoolArray, folds: AnyArray) -> None:
    """Refuse folds in which an AUC or its variance is not defined.

    Raises:
        InputError: unequal numbers, fewer than two folds, or a fold with fewer than two of a class.

    """
    if folds.shape != positive.shape:
        msg = f"{folds.size} folds and {positive.size} labels do not make one fold per patient"
        raise InputError(msg, code="E_FOLDS")
    names = np.unique(folds)
    if names.size < 2:
        msg = f"all {folds.size} patients are in one fold"
        raise InputError(msg, code="E_FOLDS", cure="give two folds or more, or no column fold")
    for name in names:
        of_fold = positive[folds == name]
        found = int(of_fold.sum())
        if min(found, of_fold.size - found) < 2:
            msg = f"fold {name} tests {found} N+ and {of_fold.size - found} N-, two of each are needed"
            raise InputError(msg, code="E_FOLDS", cure="stratify the folds by label, or make fewer of them")


def _rows(folds: AnyArray) -> list[tuple[str, BoolArray]]:
    return [(str(name), folds == name) for name in np.unique(folds)]


def _of_mean(variances: Sequence[float]) -> float:
    """Return the variance of a mean over folds: the models are fixed, their test patients alone vary."""
    return float(np.sum(variances)) / len(variances) ** 2


def _of_difference(test: DeLong) -> float:
    if test.other_variance is None or test.covariance is None:
        return test.variance
    return max(test.variance + test.other_variance - 2 * test.covariance, 0.0)


def _by_logit(auc: float, variance: float, level: float) -> tuple[float, float]:
    """Return a Wald interval on the logit, which keeps within 0 to 1; of a perfect AUC it says nothing."""
    if not 0 < auc < 1:
        return (float("nan"), float("nan"))
    half = float(norm.ppf((1 + level) / 2)) * float(np.sqrt(variance)) / (auc * (1 - auc))
    return (float(expit(logit(auc) - half)), float(expit(logit(auc) + half)))
