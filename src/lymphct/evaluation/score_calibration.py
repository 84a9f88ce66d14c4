"""What a score of N+ is worth, learned from patients the scoring model did not see (decision 0052).

Four ways turn it into a probability; the one of least logarithmic loss over inner folds is taken (decision
0071). Beside it stand the outcomes that cannot be excluded and a threshold of guaranteed sensitivity, which
judge the score itself. With too few patients of a class each of the three abstains on its own, and says so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.core.score import CalibratedScore, Outcome
from lymphct.evaluation.classification import checked
from lymphct.evaluation.conformal import (
    ConformalSets,
    SensitivityThreshold,
    fit_conformal_sets,
    fit_sensitivity_threshold,
)
from lymphct.evaluation.folds import stratified_folds
from lymphct.evaluation.recalibration import (
    IsotonicCalibration,
    PlattCalibration,
    VennAbers,
    fit_isotonic,
    fit_platt,
    fit_venn_abers,
)

Method = Literal["identity", "platt", "isotonic", "venn_abers"]
"""A way from score to probability."""

FOLDS: Final = 5
"""Inner folds, each of which judges a method by patients it was not fitted on."""
REPEATS: Final = 5
"""Splits into inner folds: with one alone chance would choose between methods that are much alike."""
LEAST_PER_CLASS: Final = 10
"""Patients of a class below which no probability is told: two in each inner fold."""
CERTAINTY: Final = 1e-6
"""The least probability the choice of a method tells apart from 0; calibration slopes are clipped alike."""
INTERVAL_LEVEL: Final = 0.95
"""Of the interval of a probability."""


class Curve(Protocol):
    """From score to probability."""

    def probability(self, scores: npt.ArrayLike) -> DoubleArray:
        """Return the probability of N+ for each score."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A score that is taken at its word."""

    def probability(self, scores: npt.ArrayLike) -> DoubleArray:
        """Return the scores."""
        return np.asarray(scores, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What is promised of new patients.

    Attributes:
        error: share of the patients of each class whose set of outcomes may lack their own.
        sensitivity: share of N+ that the guaranteed threshold finds at least.
        confidence: in that sensitivity.

    """

    error: float = 0.1
    sensitivity: float = 0.8
    confidence: float = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCalibration:
    """What scores are worth.

    Attributes:
        method: that was chosen; None with too few patients of a class.
        curve: of the method; None with it.
        brier: mean Brier score of each method over the inner folds; empty without a choice.
        log_loss: mean logarithmic loss likewise, by which the method was chosen; empty in bundles whose
            method was chosen by the Brier score.
        sets: outcomes that cannot be excluded.
        threshold: of guaranteed sensitivity.

    """

    method: Method | None
    curve: Curve | None = field(compare=False)
    brier: Mapping[Method, float]
    sets: ConformalSets
    threshold: SensitivityThreshold
    log_loss: Mapping[Method, float] = field(default_factory=dict)

    def of(self, score: float) -> CalibratedScore:
        """Judge the score of a new patient, 0 to 1.

        The interval is Wilson's (1927) around the probability, as if n^(2/3) of the n calibration patients
        had told it: so many neighbours a rising curve rests on. For Venn-Abers it is widened to hold both of
        its probabilities.
        """
        outcomes = self.sets.sets([score])
        possible: list[Outcome] = []
        possible += ["N-"] if outcomes.negative[0] else []
        possible += ["N+"] if outcomes.positive[0] else []
        probability, low, high = self._probability(score)
        return CalibratedScore(
            probability=probability,
            low=low,
            high=high,
            method=self.method or "",
            interval="" if self.method is None else _INTERVALS.get(self.method, "wilson"),
            outcomes=tuple(possible),
            level=1 - self.sets.error,
            guaranteed_threshold=self.threshold.threshold,
            sensitivity=self.threshold.sensitivity,
            confidence=self.threshold.confidence,
            positives=self.sets.positives,
            negatives=self.sets.negatives,
            abstentions=tuple(self._abstentions()),
        )

    def _probability(self, score: float) -> tuple[float | None, float | None, float | None]:
        if self.curve is None:
            return (None, None, None)
        p = float(self.curve.probability([score])[0])
        patients = self.sets.positives + self.sets.negatives
        low, high = wilson(p, patients ** (2 / 3))
        if isinstance(self.curve, VennAbers):
            first, last = self.curve.limits([score])
            low, high = min(low, float(first[0])), max(high, float(last[0]))
        return (p, low, high)

    def _abstentions(self) -> list[str]:
        ones, zeros = self.sets.positives, self.sets.negatives
        there = f"there were {ones} N+ and {zeros} N-"
        said = []
        if self.curve is None:
            said.append(f"no calibrated probability: {LEAST_PER_CLASS} of each class are needed, {there}")
        if self.sets.abstains:
            said.append(f"no outcome is ever excluded: {self.sets.needed} of each class are needed, {there}")
        if self.threshold.threshold is None:
            said.append(f"no guaranteed threshold: {self.threshold.needed} N+ are needed, {there}")
        return said


_INTERVALS: Final[Mapping[str, str]] = {"venn_abers": "wilson and venn_abers"}


def wilson(share: float, patients: float, *, level: float = INTERVAL_LEVEL) -> tuple[float, float]:
    """Return Wilson's score interval of a share seen in so many patients, who need not be a whole number.

    >>> [round(limit, 3) for limit in wilson(0.5, 10)], wilson(0.0, 4)[0]
    ([0.237, 0.763], 0.0)
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    center = (share + z**2 / (2 * patients)) / (1 + z**2 / patients)
    spread = share * (1 - share) / patients + z**2 / (4 * patients**2)
    half = z * math.sqrt(spread) / (1 + z**2 / patients)
    # Rounding must not put the share itself outside.
    return (max(0.0, min(center - half, share)), min(1.0, max(center + half, share)))


def fit_score_calibration(
    scores: npt.ArrayLike,
    truth: npt.ArrayLike,
    patients: Sequence[str],
    *,
    promises: Promises = Promises(),
    seed: int = 0,
) -> Fitted[ScoreCalibration]:
    """Learn what scores are worth from patients whom the scoring model did not learn from.

    Args:
        scores: of patients with a score, 0 to 1, the higher the rather N+.
        truth: N status, 0 or 1.
        patients: their ids, each once; nothing fitted here may judge them.
        promises: of sets and threshold.
        seed: of the inner folds.

    Raises:
        InputError: nobody is there, truth is not 0 or 1, scores are outside 0 to 1, or a patient comes twice.
        UsageError: a promise is no share between 0 and 1.

    >>> ids = [f"p{number}" for number in range(4)]
    >>> fitted = fit_score_calibration([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1], ids).value
    >>> fitted.method, fitted.of(0.9).outcomes, len(fitted.of(0.9).abstentions)
    (None, ('N-', 'N+'), 3)
    """
    positive, values = checked(truth, scores)
    _require_usable(values, patients)
    sets = fit_conformal_sets(values, positive, patients, error=promises.error)
    threshold = fit_sensitivity_threshold(
        values, positive, patients, sensitivity=promises.sensitivity, confidence=promises.confidence
    )
    judged = _Judged({}, {})
    method: Method | None = None
    if min(sets.value.positives, sets.value.negatives) >= LEAST_PER_CLASS:
        judged = _judged(values, positive.astype(np.float64), patients, seed)
        method = _least(judged.log_loss)
    fitted = ScoreCalibration(
        method=method,
        curve=None if method is None else METHODS[method](values, positive, patients),
        brier=judged.brier,
        log_loss=judged.log_loss,
        sets=sets.value,
        threshold=threshold.value,
    )
    return Fitted(fitted, frozenset(patients))


def _least(losses: Mapping[Method, float]) -> Method:
    """Return the method of least loss; of equal ones the first, the simplest."""
    return min(losses, key=lambda name: losses[name])


def _platt(scores: npt.ArrayLike, truth: npt.ArrayLike, patients: Sequence[str]) -> PlattCalibration:
    return fit_platt(scores, truth, patients).value


def _isotonic(scores: npt.ArrayLike, truth: npt.ArrayLike, patients: Sequence[str]) -> IsotonicCalibration:
    return fit_isotonic(scores, truth, patients).value


def _venn_abers(scores: npt.ArrayLike, truth: npt.ArrayLike, patients: Sequence[str]) -> VennAbers:
    return fit_venn_abers(scores, truth, patients).value


METHODS: Final[Mapping[Method, Callable[[npt.ArrayLike, npt.ArrayLike, Sequence[str]], Curve]]] = {
    "identity": lambda _scores, _truth, _patients: Identity(),
    "platt": _platt,
    "isotonic": _isotonic,
    "venn_abers": _venn_abers,
}
"""Every way from score to probability, the simplest first; one more is one more line."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """Mean loss of each method for patients it was not fitted on.

    Attributes:
        brier: squared error.
        log_loss: the negative logarithm of the probability that was given to what is true.

    """

    brier: Mapping[Method, float]
    log_loss: Mapping[Method, float]


def _judged(scores: DoubleArray, truth: DoubleArray, patients: Sequence[str], seed: int) -> _Judged:
    rows = {name: row for row, name in enumerate(patients)}
    strata = {name: str(truth[row]) for name, row in rows.items()}
    told: dict[Method, list[DoubleArray]] = {method: [] for method in METHODS}
    asked: list[DoubleArray] = []
    for repeat in range(REPEATS):
        for fold in stratified_folds(strata, FOLDS, seed * REPEATS + repeat):
            fit = np.array([rows[name] for name in (*fold.train, *fold.validation)])
            test = np.array([rows[name] for name in fold.test])
            teachers = [patients[row] for row in fit]
            asked.append(truth[test])
            for method, fitted in METHODS.items():
                told[method].append(fitted(scores[fit], truth[fit], teachers).probability(scores[test]))
    true = np.concatenate(asked)
    p = {method: np.concatenate(parts) for method, parts in told.items()}
    return _Judged(
        brier={method: math.fsum((values - true) ** 2) / true.size for method, values in p.items()},
        log_loss={method: _log_loss(values, true) for method, values in p.items()},
    )


def _log_loss(p: DoubleArray, truth: DoubleArray) -> float:
    # A probability of 0 that proves wrong costs as much as one of CERTAINTY, not infinitely much.
    given = np.clip(np.where(truth == 1, p, 1 - p), CERTAINTY, 1.0)
    return math.fsum(-np.log(given)) / truth.size


def _require_usable(scores: DoubleArray, patients: Sequence[str]) -> None:
    if len(set(patients)) != len(patients) or len(patients) != scores.size:
        msg = f"{scores.size} scores come with the ids of {len(set(patients))} patients"
        raise InputError(msg, code="E_SCORES", cure="give one score for each patient")
    if scores.min() < 0 or scores.max() > 1:
        msg = f"scores from {scores.min():g} to {scores.max():g} are no probabilities"
        raise InputError(msg, code="E_SCORES", cure="give the scores of a status network")
