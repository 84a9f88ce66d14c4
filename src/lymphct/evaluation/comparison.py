"""Methods against one another on the same patients, corrected for their number (Tab. VI, Tab. VII)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.claims import FalseClaim, agreement, false_claim
from lymphct.evaluation.classification import (
    accuracy,
    auc,
    balanced_accuracy,
    sensitivity,
    specificity,
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
class PatientScores:
    """One method's answer for each patient of a test set.

    Attributes:
        patients: ids, in any order.
        labels: truth, 0 or 1.
        scores: the higher, the more likely positive.
        called: the call (0 or 1) at the method's own threshold, which may differ between folds.

    Raises:
        InputError: unequal numbers, or a patient listed twice.

    """

    patients: Sequence[str]
    labels: Sequence[int]
    scores: Sequence[float]
    called: Sequence[int]

    def __post_init__(self) -> None:
        sizes = [len(part) for part in (self.patients, self.labels, self.scores, self.called)]
        if len(set(sizes)) != 1:
            msg = f"{sizes[0]} patients, {sizes[1]} labels, {sizes[2]} scores and {sizes[3]} calls do not fit"
            raise InputError(msg, code="E_SCORES")
        if len(set(self.patients)) != len(self.patients):
            twice = sorted({p for p in self.patients if list(self.patients).count(p) > 1})
            msg = f"patients listed more than once: {', '.join(twice[:3])}"
            raise InputError(msg, code="E_SCORES")


@dataclass(frozen=True, slots=True)
class CallIntervals:
    """The figures of calls in Tab. VI and VII with bootstrap intervals."""

    balanced_accuracy: Interval
    accuracy: Interval
    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, slots=True)
class MethodIntervals:
    """The five figures of Tab. VI and VII with bootstrap intervals."""

    auc: Interval
    calls: CallIntervals


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """Two methods' scores; differences are first minus second.

    Attributes:
        auc: DeLong's test.
        p_holm: its p value, corrected for the number of comparisons.
        permutation_p: of the difference in AUC, exchanging ranks, so that the methods may have other scales.

    """

    auc: DeLong
    p_holm: float
    permutation_p: float


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The reference method against another one; differences are reference minus other."""

    other: str
    scores: ScoreComparison
    calls: CallComparison


def method_intervals(method: PatientScores, rng: np.random.Generator, *, n: int = 1000) -> MethodIntervals:
    """Return the five figures of one method with 95 % intervals, bootstrap stratified by label."""
    labels = np.asarray(method.labels)
    return MethodIntervals(
        calls=call_intervals(labels, method.called, rng, n=n),
        auc=bootstrap_interval(auc, labels, np.asarray(method.scores), rng=rng, strata=labels, n=n),
    )


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


def compare_methods(
    methods: Mapping[str, PatientScores], reference: str, rng: np.random.Generator, *, n: int = 1000
) -> tuple[Comparison, ...]:
    """Compare one method with every other one; p values are corrected by Holm over the others.

    Args:
        methods: name → answers; all for the same patients.
        reference: name of the method the others are compared with.
        rng: source of resamples and exchanges.
        n: number of each.

    Raises:
        InputError: patient sets or labels differ: figures of different patients cannot be compared.
        UsageError: the reference is not among the methods, or alone.

    """
    if reference not in methods or len(methods) < 2:
        msg = f"{reference!r} cannot be compared with the others of {sorted(methods)}"
        raise UsageError(msg)
    others = [name for name in methods if name != reference]
    scores = compare_scores([paired(methods, reference, name) for name in others], rng, n=n)
    calls = compare_calls([paired(methods, reference, name, calls=True) for name in others], rng, n=n)
    return tuple(
        Comparison(other=name, scores=of_scores, calls=of_calls)
        for name, of_scores, of_calls in zip(others, scores, calls, strict=True)
    )


def compare_scores(
    pairs: Sequence[PairedScores], rng: np.random.Generator, *, n: int = 1000
) -> tuple[ScoreComparison, ...]:
    """Compare the scores of each pair of methods; p values are corrected by Holm over the pairs.

    Raises:
        InputError: fewer than two patients of a class.
        UsageError: no exchanges.

    """
    tests = [delong(pair.labels, pair.first, pair.second) for pair in pairs]
    corrected = holm([test.p for test in tests])
    return tuple(
        ScoreComparison(
            auc=test,
            p_holm=p,
            permutation_p=permutation_test(auc, pair, rng, n=n, exchange_ranks=True),
        )
        for pair, test, p in zip(pairs, tests, corrected, strict=True)
    )


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


def paired(
    methods: Mapping[str, PatientScores], first: str, second: str, *, calls: bool = False
) -> PairedScores:
    """Bring the scores (or calls) of two methods into one order of patients.

    Raises:
        InputError: the patients or their labels differ.

    """
    a, b = methods[first], methods[second]
    different = sorted(set(a.patients) ^ set(b.patients))
    if different:
        msg = (
            f"{first} ({len(a.patients)} patients) and {second} ({len(b.patients)}) were not tested on "
            f"the same patients; {len(different)} differ: {', '.join(different[:3])}"
        )
        raise InputError(msg, code="E_PATIENTS", cure="compare them on the patients both have, and say so")
    rows = [{p: n for n, p in enumerate(method.patients)} for method in (a, b)]
    order = sorted(a.patients)
    labels = [np.array([m.labels[row[p]] for p in order]) for m, row in zip((a, b), rows, strict=True)]
    if (labels[0] != labels[1]).any():
        unlike = [order[n] for n in np.flatnonzero(labels[0] != labels[1])]
        msg = f"{first} and {second} disagree about the truth of {len(unlike)} patients: {unlike[:3]}"
        raise InputError(msg, code="E_PATIENTS")
    values = [m.called if calls else m.scores for m in (a, b)]
    columns = [np.array([v[row[p]] for p in order]) for v, row in zip(values, rows, strict=True)]
    return PairedScores(labels[0], columns[0], columns[1])
