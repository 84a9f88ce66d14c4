"""Scores turned into probabilities, learned from patients the scoring model has not seen (decision 0046).

Scores of patients who trained the model are too good: give out-of-fold scores of the training patients. All
ways keep the order of the scores, up to ties. Platt scaling has two parameters and needs the fewest patients;
isotonic regression is the best fitting rising curve; Venn-Abers prediction also says how much the curve
depends on the patient in question.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.evaluation.classification import checked, require_both_classes

_NEAREST: Final = 1e-6
"""Scores nearer to 0 or 1 are taken for this before their logit, which would be infinite."""


@dataclass(frozen=True, slots=True)
class PlattCalibration:
    """A sigmoid of the logit of a score that is a probability already.

    Attributes:
        slope: on the logit, at least 0.
        intercept: with slope 1 and intercept 0 a score stays what it is.

    """

    slope: float
    intercept: float

    def probability(self, scores: npt.ArrayLike) -> DoubleArray:
        """Return the probability of N+ for each score of 0 to 1, in any shape.

        Raises:
            InputError: a score is not finite.

        """
        found: DoubleArray = expit(self.slope * _logit(_finite(scores)) + self.intercept)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class IsotonicCalibration:
    """A rising curve from score to probability, straight between its points, level beyond them.

    Attributes:
        scores: (points,), ascending distinct scores of the patients it was fitted on.
        probabilities: (points,), 0 to 1, never falling.

    """

    scores: DoubleArray
    probabilities: DoubleArray

    def probability(self, scores: npt.ArrayLike) -> DoubleArray:
        """Return the probability of N+ for each score, in any shape.

        Raises:
            InputError: a score is not finite.

        """
        return np.interp(_finite(scores), self.scores, self.probabilities)


@dataclass(frozen=True, slots=True, eq=False)
class VennAbers:
    """Inductive Venn-Abers prediction (Vovk, Petej and Fedorova, NeurIPS 2015).

    Each patient joins the calibration patients twice, once as N- and once as N+; the two isotonic curves give
    the patient two probabilities, between which the calibrated one lies.

    Attributes:
        scores: (points,), ascending distinct scores of the calibration patients.
        patients: (points,), calibration patients with that score.
        positives: (points,), N+ among them.

    """

    scores: DoubleArray
    patients: DoubleArray
    positives: DoubleArray

    def limits(self, scores: npt.ArrayLike) -> tuple[DoubleArray, DoubleArray]:
        """Return for each score the probability with the patient counted as N-, and with it as N+.

        Raises:
            InputError: a score is not finite.

        """
        values = _finite(scores)
        distinct, places = np.unique(values, return_inverse=True)
        both = np.array([[self._joined(score, label) for score in distinct] for label in (0.0, 1.0)])
        low, high = both[:, places.reshape(values.shape)]
        return (low, high)

    def probability(self, scores: npt.ArrayLike) -> DoubleArray:
        """Return one probability for each score: p1 / (1 - p0 + p1), best for the logarithmic loss.

        Raises:
            InputError: a score is not finite.

        """
        low, high = self.limits(scores)
        return high / (1 - low + high)

    def _joined(self, score: float, label: float) -> float:
        place = int(np.searchsorted(self.scores, score))
        patients, positives = self.patients.copy(), self.positives.copy()
        if place == self.scores.size or self.scores[place] != score:
            patients, positives = np.insert(patients, place, 0.0), np.insert(positives, place, 0.0)
        patients[place] += 1.0
        positives[place] += label
        return float(isotonic_regression(positives / patients, weights=patients).x[place])


def fit_platt(
    scores: npt.ArrayLike, labels: npt.ArrayLike, patients: Iterable[str]
) -> Fitted[PlattCalibration]:
    """Fit the sigmoid of least cross entropy to labels over the logit of scores (Platt 1999).

    The labels are his (n + 1)/(n + 2) and 1/(n + 2), so that classes that do not overlap give a finite slope;
    a slope is never below 0, which would turn the order of the patients round.

    Args:
        scores: out-of-fold scores, 0 to 1, the higher the rather N+.
        labels: truth, 0 or 1.
        patients: ids of the patients they come from; the curve refuses to judge them.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, unequal numbers, or one class.

    >>> curve = fit_platt([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], ["a", "b", "c", "d"]).value
    >>> curve.probability([0.2, 0.5, 0.8]).round(2).tolist()
    [0.34, 0.5, 0.66]
    """
    positive, values = checked(labels, scores)
    require_both_classes(positive)
    ones = int(positive.sum())
    wanted = np.where(positive, (ones + 1) / (ones + 2), 1 / (positive.size - ones + 2))
    logits = _logit(values)
    # On standardized logits the likelihood is round enough for any start.
    center, spread = float(logits.mean()), max(float(logits.std()), _NEAREST)
    standard = (logits - center) / spread

    def unlikeliness(b: DoubleArray) -> tuple[float, DoubleArray]:
        z = b[0] + b[1] * standard
        off = expit(z) - wanted
        return (
            float((np.logaddexp(0.0, z) - wanted * z).sum()),
            np.array([off.sum(), (off * standard).sum()]),
        )

    bounds = [(None, None), (0.0, None)]
    found = minimize(unlikeliness, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    slope = float(found.x[1]) / spread
    return Fitted(PlattCalibration(slope, float(found.x[0]) - slope * center), frozenset(patients))


def fit_isotonic(
    scores: npt.ArrayLike, labels: npt.ArrayLike, patients: Iterable[str]
) -> Fitted[IsotonicCalibration]:
    """Fit the rising curve of least squares to labels over scores; patients of one score count together.

    Args:
        scores: out-of-fold scores, the higher the rather N+.
        labels: truth, 0 or 1.
        patients: ids of the patients they come from; the curve refuses to judge them.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, unequal numbers, or one class.

    >>> curve = fit_isotonic([1, 2, 3, 4], [0, 1, 0, 1], ["a", "b", "c", "d"]).value
    >>> curve.probability([0, 2, 2.5, 3.5]).tolist()
    [0.0, 0.5, 0.5, 0.75]
    """
    distinct, counts, positives = _counted(scores, labels)
    curve = isotonic_regression(positives / counts, weights=counts).x
    return Fitted(IsotonicCalibration(distinct, np.clip(curve, 0.0, 1.0)), frozenset(patients))


def fit_venn_abers(
    scores: npt.ArrayLike, labels: npt.ArrayLike, patients: Iterable[str]
) -> Fitted[VennAbers]:
    """Keep the calibration patients of a Venn-Abers prediction.

    Args:
        scores: out-of-fold scores, the higher the rather N+.
        labels: truth, 0 or 1.
        patients: ids of the patients they come from; the prediction refuses to judge them.

    Raises:
        InputError: as `fit_isotonic`.

    >>> calibrated = fit_venn_abers([1, 2, 3, 4], [0, 0, 1, 1], ["a", "b", "c", "d"]).value
    >>> [limit.round(3).tolist() for limit in calibrated.limits([2.5, 5])]
    [[0.0, 0.667], [1.0, 1.0]]
    """
    return Fitted(VennAbers(*_counted(scores, labels)), frozenset(patients))


def _counted(scores: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Return the distinct scores, ascending, with the patients and the positives of each."""
    positive, values = checked(labels, scores)
    require_both_classes(positive)
    distinct, places = np.unique(values, return_inverse=True)
    counts = np.bincount(places).astype(np.float64)
    positives = np.bincount(places, weights=positive).astype(np.float64)
    return (distinct, counts, positives)


def _logit(scores: DoubleArray) -> DoubleArray:
    kept = np.clip(scores, _NEAREST, 1 - _NEAREST)
    logits: DoubleArray = np.log(kept / (1 - kept))
    return logits


def _finite(scores: npt.ArrayLike) -> DoubleArray:
    values = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(values).all():
        msg = f"{int((~np.isfinite(values)).sum())} of {values.size} scores are not finite"
        raise InputError(msg, code="E_SCORES", cure="leave out patients whose score was withheld")
    return values
