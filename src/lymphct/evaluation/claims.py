"""How probable it is that a claimed superiority is false, given both methods' uncertainty (decision 0027)."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.evaluation.classification import checked

Claimed = Literal["first", "second", "neither"]

PRIOR: Final = 1.0
"""Patients added to each cell before any is seen: every way two methods can agree is equally probable."""
_POINTS: Final = 400
"""Quantiles of each of a class's two beta distributions; the error of the probability is below 0.0005."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Patients of one class (N+ or N-) by which of two methods called them right; counts, not negative.

    Attributes:
        both: called right by both methods.
        only_first: by the first method alone.
        only_second: by the second method alone.
        neither: wrong in both.

    """

    both: float
    only_first: float
    only_second: float
    neither: float

    @property
    def patients(self) -> float:
        """Return the number of patients."""
        return self.both + self.only_first + self.only_second + self.neither


@dataclass(frozen=True, slots=True)
class FalseClaim:
    """The claim that one method has the higher balanced accuracy, and how probable it is that it is false.

    Attributes:
        claimed: which method has the higher balanced accuracy on these patients.
        difference: first minus second balanced accuracy on these patients.
        probability: posterior probability that the claimed method is not better; of `neither`, that the
            first is not better than the second.

    """

    claimed: Claimed
    difference: float
    probability: float


def agreement(
    labels: npt.ArrayLike, called_a: npt.ArrayLike, called_b: npt.ArrayLike
) -> tuple[Agreement, Agreement]:
    """Count for N+ and for N- patients which of two methods' calls (0/1 or bool) are right.

    Raises:
        InputError: labels other than 0 and 1, or unequal numbers.

    """
    positive, a = checked(labels, called_a)
    _, b = checked(labels, called_b)
    right_a, right_b = (a > 0) == positive, (b > 0) == positive
    counted = [
        Agreement(
            both=int((right_a & right_b & of_class).sum()),
            only_first=int((right_a & ~right_b & of_class).sum()),
            only_second=int((~right_a & right_b & of_class).sum()),
            neither=int((~right_a & ~right_b & of_class).sum()),
        )
        for of_class in (positive, ~positive)
    ]
    return (counted[0], counted[1])


def printed_agreement(first: float, second: float, patients: int, correlation: float) -> Agreement:
    """Return the cells that printed rates of one class imply, where no calls of single patients are printed.

    Args:
        first: share of the class that the first method called right (a sensitivity or a specificity), 0 to 1.
        second: the same of the second method.
        patients: of that class.
        correlation: phi coefficient between the methods' being right; cells stay between those that the
            rates allow.

    Raises:
        InputError: a rate is not between 0 and 1, or there is no patient.

    >>> printed_agreement(0.8, 0.6, 100, 0.0)
    Agreement(both=48.0, only_first=32.0, only_second=12.0, neither=8.0)
    """
    if not (0 <= first <= 1 and 0 <= second <= 1 and patients > 0):
        msg = f"rates of {first} and {second} among {patients} patients cannot be"
        raise InputError(msg, code="E_SCORES", cure="give shares between 0 and 1 and the number of patients")
    spread = float(np.sqrt(first * (1 - first) * second * (1 - second)))
    together = first * second + correlation * spread
    both = min(max(together, first + second - 1, 0.0), first, second)
    shares = (both, first - both, second - both, 1 - first - second + both)
    cells = [round(max(share, 0.0) * patients, 9) for share in shares]
    return Agreement(both=cells[0], only_first=cells[1], only_second=cells[2], neither=cells[3])


def false_claim(positives: Agreement, negatives: Agreement) -> FalseClaim:
    """Return which method looks better, and the posterior probability that it is not (decision 0027).

    Each class has a Dirichlet posterior over its four cells, from a uniform prior. The balanced accuracies
    differ by half the sum of both classes' differences, only right in the first minus only right in the
    second. Computed by quadrature: the same calls always give the same number.

    Raises:
        InputError: a class has no patients.

    """
    if not positives.patients or not negatives.patients:
        msg = (
            f"{positives.patients:g} positives and {negatives.patients:g} negatives: both classes are needed"
        )
        raise InputError(msg, code="E_SCORES")
    difference = sum((c.only_first - c.only_second) / c.patients for c in (positives, negatives)) / 2
    first_not_better = _share_not_above_zero(_posterior(positives), _posterior(negatives))
    if abs(difference) < 1e-12:
        return FalseClaim("neither", 0.0, first_not_better)
    if difference > 0:
        return FalseClaim("first", difference, first_not_better)
    return FalseClaim("second", difference, 1.0 - first_not_better)


def _posterior(cells: Agreement) -> DoubleArray:
    """Return equally probable values of the difference of two rates of one class, ascending.

    Under a Dirichlet the discordant share and the first method's part of it are independent betas.
    """
    a, b = cells.only_first + PRIOR, cells.only_second + PRIOR
    steps = (np.arange(_POINTS) + 0.5) / _POINTS
    discordant = beta.ppf(steps, a + b, cells.both + cells.neither + 2 * PRIOR)
    part = beta.ppf(steps, a, b)
    return np.sort(np.outer(discordant, 2 * part - 1), axis=None)


def _share_not_above_zero(one: DoubleArray, other: DoubleArray) -> float:
    return float(np.searchsorted(other, -one, side="right").mean() / other.size)
