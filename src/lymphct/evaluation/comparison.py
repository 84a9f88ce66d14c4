"""Methods against one another on the same patients, corrected for their number (Tab. VI, Tab. VII)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray
from lymphct.evaluation.claims import FalseClaim, agreement, false_claim
from lymphct.evaluation.classification import (
    accuracy,
    auc,
    balanced_accuracy,
    sensitivity,
    specificity,
)
from lymphct.evaluation.crossvalidated import (
    CrossValidatedDifference,
    OutOfFold,
    crossvalidated_difference,
)
from lymphct.evaluation.paired_tests import (
    Difference,
    PairedScores,
    PaperWilcoxon,
    paired_bootstrap,
    paper_wilcoxon,
    permutation_test,
)
from lymphct.evaluation.statistics import (
    DeLong,
    Interval,
    McNemar,
    bootstrap_interval,
    delong,
    holm,
    mcnemar,
)


@dataclass(frozen=True, slots=True)
class CallIntervals:
    """The figures of calls in Tab. VI and VII with bootstrap intervals."""

    balanced_accuracy: Interval
    accuracy: Interval
    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """Two methods' scores; differences are first minus second.

    Attributes:
        auc: DeLong's test.
        p_holm: its p value, corrected for the number of comparisons.
        permutation_p: of the difference in AUC, exchanging ranks, so that the methods may have other scales.
        crossvalidated: the difference in the mean of the folds' AUC; None without folds.
        crossvalidated_p_holm: its p value, corrected likewise.

    """

    auc: DeLong
    p_holm: float
    permutation_p: float
    crossvalidated: CrossValidatedDifference | None = None
    crossvalidated_p_holm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallComparison:
    """Two methods' calls; differences are first minus second.

    Attributes:
        balanced_accuracy: paired bootstrap.
        p_holm: its p value, corrected for the number of comparisons.
        permutation_p: of the difference in balanced accuracy.
        mcnemar: of the accuracies.
        mcnemar_p_holm: its p value, corrected.
        false_claim: which method looks better, and how probable it is that it is not (decision 0027).
        paper_wilcoxon: the paper's test on balanced accuracy, with its warning.

    """

    balanced_accuracy: Difference
    p_holm: float
    permutation_p: float
    mcnemar: McNemar
    mcnemar_p_holm: float
    false_claim: FalseClaim
    paper_wilcoxon: PaperWilcoxon


def call_intervals(
    labels: npt.ArrayLike, called: npt.ArrayLike, rng: np.random.Generator, *, n: int = 1000
) -> CallIntervals:
    """Return the four figures of calls (0/1 or bool) with 95 % intervals, bootstrap stratified by label.

    Raises:
        InputError: no patients, labels other than 0 and 1, or unequal numbers.

    """
    of_calls = [
        bootstrap_interval(statistic, labels, called, rng=rng, strata=labels, n=n)
        for statistic in (balanced_accuracy, accuracy, sensitivity, specificity)
    ]
    return CallIntervals(*of_calls)


def compare_scores(
    pairs: Sequence[PairedScores], rng: np.random.Generator, *, n: int = 1000, folds: AnyArray | None = None
) -> tuple[ScoreComparison, ...]:
    """Compare the scores of each pair of methods; p values are corrected by Holm over the pairs.

    Args:
        pairs: all of the same patients in one order.
        rng: source of the exchanges.
        n: number of exchanges.
        folds: in which fold each patient was tested; None when the scores come from one model.

    Raises:
        InputError: fewer than two patients of a class, in a fold where there are folds.
        UsageError: no exchanges.

    """
    tests = [delong(pair.labels, pair.first, pair.second) for pair in pairs]
    corrected = holm([test.p for test in tests])
    by_fold = [] if folds is None else [_by_fold(pair, folds) for pair in pairs]
    by_fold_corrected = holm([test.p for test in by_fold])
    return tuple(
        ScoreComparison(
            auc=tests[place],
            p_holm=corrected[place],
            permutation_p=permutation_test(auc, pair, rng, n=n, exchange_ranks=True),
            crossvalidated=by_fold[place] if by_fold else None,
            crossvalidated_p_holm=by_fold_corrected[place] if by_fold else None,
        )
        for place, pair in enumerate(pairs)
    )


def _by_fold(pair: PairedScores, folds: AnyArray) -> CrossValidatedDifference:
    first, second = (OutOfFold(pair.labels, folds, scores) for scores in (pair.first, pair.second))
    return crossvalidated_difference(first, second)


def compare_calls(
    pairs: Sequence[PairedScores], rng: np.random.Generator, *, n: int = 1000
) -> tuple[CallComparison, ...]:
    """Compare the calls of each pair of methods; p values are corrected by Holm over the pairs.

    Raises:
        InputError: a class has no patients.
        UsageError: no resamples.

    """
    claims = [false_claim(*agreement(pair.labels, pair.first, pair.second)) for pair in pairs]
    differences = [paired_bootstrap(balanced_accuracy, pair, rng, n=n) for pair in pairs]
    exact = [mcnemar(pair.labels, pair.first, pair.second) for pair in pairs]
    balanced_p, exact_p = holm([d.p for d in differences]), holm([test.p for test in exact])
    return tuple(
        CallComparison(
            balanced_accuracy=differences[place],
            p_holm=balanced_p[place],
            permutation_p=permutation_test(balanced_accuracy, pair, rng, n=n),
            mcnemar=exact[place],
            mcnemar_p_holm=exact_p[place],
            false_claim=claims[place],
            paper_wilcoxon=paper_wilcoxon(balanced_accuracy, pair, rng, n=n),
        )
        for place, pair in enumerate(pairs)
    )
