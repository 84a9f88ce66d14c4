"""Promises about new patients that hold for any model: sets of outcomes, and a sensitivity (decision 0046).

Both are learned from patients the scoring model has not seen, and hold for new patients who are drawn as
these were: another hospital may break them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.errors import UsageError
from lymphct.core.leakage import Fitted
from lymphct.evaluation.classification import checked

_ROUNDING: Final = 1e-9
"""0.1 · 10 is one patient, however it is rounded."""


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeSets:
    """The outcomes that cannot be excluded for each patient.

    Attributes:
        negative: (patients,), N- is possible.
        positive: (patients,), N+ is possible. With both, the score does not tell; with neither, it is unlike
            those of either class.

    """

    negative: BoolArray
    positive: BoolArray

    @property
    def decided(self) -> BoolArray:
        """Tell for which patients one outcome is left."""
        decided: BoolArray = self.negative ^ self.positive
        return decided


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformalSets:
    """Limits of the score within which an outcome is possible, one from each class (Mondrian by outcome).

    Attributes:
        error: share of the patients of each class whose set may lack the true outcome.
        positive_from: lowest score with which N+ is possible.
        negative_to: highest score with which N- is possible.
        positives: N+ it was fitted on; likewise `negatives`.
        negatives: N- it was fitted on.
        needed: patients of a class that it takes for this error; with fewer of either class nothing is ever
            excluded.

    """

    error: float
    positive_from: float
    negative_to: float
    positives: int
    negatives: int
    needed: int

    @property
    def abstains(self) -> bool:
        """Tell whether a class had too few patients: both outcomes stay possible for everybody."""
        return min(self.positives, self.negatives) < self.needed

    def sets(self, scores: npt.ArrayLike) -> OutcomeSets:
        """Return the possible outcomes for scores that are finite."""
        values = np.asarray(scores, dtype=np.float64)
        return OutcomeSets(values <= self.negative_to, values >= self.positive_from)


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityThreshold:
    """A threshold from which on enough N+ are called positive, with a stated confidence.

    Attributes:
        threshold: the highest score that keeps the promise; None with too few N+ for any.
        sensitivity: share of N+ found at least.
        confidence: share of calibration samples in which that is true.
        positives: N+ it was fitted on.
        needed: N+ that it takes for this promise.

    """

    threshold: float | None
    sensitivity: float
    confidence: float
    positives: int
    needed: int


def fit_conformal_sets(
    scores: npt.ArrayLike, labels: npt.ArrayLike, patients: Iterable[str], *, error: float = 0.1
) -> Fitted[ConformalSets]:
    """Fit limits so that among new patients of either class the share of sets without the truth is `error`.

    A class of n patients is left out for scores beyond its ⌊error · (n + 1)⌋-th most unlikely one (split
    conformal prediction with one quantile per outcome; Vovk, Gammerman and Shafer 2005).

    Args:
        scores: out-of-fold scores, the higher the rather N+.
        labels: truth, 0 or 1.
        patients: ids of the patients they come from; the sets refuse to judge them.
        error: above 0 and below 1.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, or unequal numbers.
        UsageError: the error is not between 0 and 1.

    >>> fitted = fit_conformal_sets([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1], ["a", "b"], error=0.25).value
    >>> fitted.positive_from, fitted.negative_to, fitted.sets([2, 3.5, 5]).positive.tolist()
    (4.0, 3.0, [False, False, True])
    """
    _require_share(error, "error")
    positive, values = checked(labels, scores)
    ones, zeros = np.sort(values[positive]), np.sort(values[~positive])
    needed = math.ceil(1 / error - _ROUNDING) - 1
    enough = min(ones.size, zeros.size) >= needed
    sets = ConformalSets(
        error=error,
        positive_from=_unlikely(ones, error) if enough else -math.inf,
        negative_to=-_unlikely(-zeros[::-1], error) if enough else math.inf,
        positives=ones.size,
        negatives=zeros.size,
        needed=needed,
    )
    return Fitted(sets, frozenset(patients))


def fit_sensitivity_threshold(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    patients: Iterable[str],
    *,
    sensitivity: float = 0.9,
    confidence: float = 0.95,
) -> Fitted[SensitivityThreshold]:
    """Choose the highest threshold of which `sensitivity` can be promised.

    The k-th lowest score of n N+ misses more than 1 - sensitivity of all N+ with the probability that a
    binomial of n and 1 - sensitivity stays below k, whatever the scores are (Wilks 1941). Only N+ count.

    Args:
        scores: out-of-fold scores, the higher the rather N+.
        labels: truth, 0 or 1.
        patients: ids of the patients they come from; the threshold refuses to judge them.
        sensitivity: that is promised, above 0 and below 1.
        confidence: of the promise, above 0 and below 1.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, or unequal numbers.
        UsageError: sensitivity or confidence is not between 0 and 1.

    """
    _require_share(sensitivity, "sensitivity")
    _require_share(confidence, "confidence")
    positive, values = checked(labels, scores)
    ones = np.sort(values[positive])
    places = np.arange(1, ones.size + 1)
    # The binomial's survival function; scipy.stats would be a second of every prediction.
    kept = bdtrc(places - 1, ones.size, 1 - sensitivity) >= confidence
    chosen = SensitivityThreshold(
        threshold=float(ones[int(kept.sum()) - 1]) if kept.any() else None,
        sensitivity=sensitivity,
        confidence=confidence,
        positives=ones.size,
        needed=math.ceil(math.log(1 - confidence) / math.log(sensitivity) - _ROUNDING),
    )
    return Fitted(chosen, frozenset(patients))


def _unlikely(ascending: DoubleArray, error: float) -> float:
    return float(ascending[math.floor(error * (ascending.size + 1) + _ROUNDING) - 1])


def _require_share(value: float, what: str) -> None:
    if not 0 < value < 1:
        msg = f"the {what} cannot be {value}"
        raise UsageError(msg, cure="give a share above 0 and below 1, such as 0.9")
