"""What acting on a probability is worth: decision curves (Sec. IV-E)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.classification import checked

THRESHOLDS: Final = tuple(round(0.01 * step, 2) for step in range(1, 100))
"""Probabilities from which a patient would be treated, 1 to 99 %."""


@dataclass(frozen=True, slots=True, eq=False)
class NetBenefit:
    """True positives per patient, minus false positives weighed by the odds of the threshold.

    Attributes:
        thresholds: (thresholds,), probabilities from which a patient is treated.
        model: (thresholds,), of treating by the model.
        treat_all: (thresholds,), of treating everybody; treating nobody is worth 0.

    """

    thresholds: DoubleArray
    model: DoubleArray
    treat_all: DoubleArray


def net_benefit(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, thresholds: npt.ArrayLike = THRESHOLDS
) -> NetBenefit:
    """Return the decision curve: TP/n - FP/n · t/(1 - t) at each threshold t, beside treating everybody.

    Args:
        labels: truth, 0 or 1.
        probabilities: 0 to 1; a patient is treated from the threshold on.
        thresholds: above 0 and below 1.

    Raises:
        InputError: labels other than 0 and 1, probabilities outside 0 to 1, or unequal numbers.
        UsageError: a threshold is not above 0 and below 1.

    >>> curve = net_benefit([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], [0.5])
    >>> curve.model.tolist(), curve.treat_all.tolist()
    ([0.0], [0.0])
    """
    positive, p = checked(labels, probabilities)
    if p.min() < 0 or p.max() > 1:
        msg = f"values from {p.min():g} to {p.max():g} are no probabilities"
        raise InputError(msg, code="E_SCORES", cure="give probabilities between 0 and 1")
    at = np.asarray(thresholds, dtype=np.float64)
    if at.ndim != 1 or not at.size or not ((at > 0) & (at < 1)).all():
        msg = "a decision curve needs thresholds above 0 and below 1"
        raise UsageError(msg, cure="give probabilities from which a patient would be treated")
    treated = p[None, :] >= at[:, None]
    odds = at / (1 - at)
    found = (treated & positive).mean(axis=1)
    harmed = (treated & ~positive).mean(axis=1)
    prevalence = float(positive.mean())
    return NetBenefit(at, found - harmed * odds, prevalence - (1 - prevalence) * odds)
