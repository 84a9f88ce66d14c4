"""Scores turned into probabilities, learned from patients the scoring model has not seen (decision 0046).

Scores of patients who trained the model are too good: give out-of-fold scores of the training patients. Both
ways keep the order of the scores, up to ties. Isotonic regression is the best fitting rising curve;
Venn-Abers prediction also says how much the curve depends on the patient in question.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.evaluation.classification import checked, require_both_classes


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


def _finite(scores: npt.ArrayLike) -> DoubleArray:
    values = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(values).all():
        msg = f"{int((~np.isfinite(values)).sum())} of {values.size} scores are not finite"
        raise InputError(msg, code="E_SCORES", cure="leave out patients whose score was withheld")
    return values
