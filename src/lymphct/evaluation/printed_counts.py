"""Which numbers of patients make printed shares of whole patients (decision 0046)."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.arrays import BoolArray, IntArray

_SLACK: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Printed shares of one set of patients, 0 to 1; None where one is not printed.

    Attributes:
        sensitivity: share of the N+ who are called right.
        specificity: share of the N- who are.
        accuracy: share of all who are.
        balanced_accuracy: mean of the first two.
        rounding: half a unit of the last printed place.

    """

    sensitivity: float | None
    specificity: float | None
    accuracy: float | None
    balanced_accuracy: float | None
    rounding: float

    def is_whole(self, share: float, patients: int) -> bool:
        """Tell whether a whole number of patients is a share that rounds to the printed one.

        >>> printed = Shares(
        ...     sensitivity=0.577, specificity=None, accuracy=None, balanced_accuracy=None, rounding=0.0005
        ... )
        >>> printed.is_whole(0.577, 37), printed.is_whole(0.577, 26)
        (False, True)
        """
        return math.ceil(self._least(share) * patients - _SLACK) <= math.floor(
            self._most(share) * patients + _SLACK
        )

    def right(self, share: float | None, patients: IntArray) -> tuple[IntArray, IntArray]:
        """Return the least and the most patients of each number who may have been called right."""
        if share is None:
            return (np.zeros_like(patients), patients)
        least = np.ceil(self._least(share) * patients - _SLACK).astype(np.int64)
        most = np.floor(self._most(share) * patients + _SLACK).astype(np.int64)
        return (least, most)

    def _least(self, share: float) -> float:
        return max(share - self.rounding, 0.0)

    def _most(self, share: float) -> float:
        return min(share + self.rounding, 1.0)


def fitting_numbers(shares: Shares, positives: int, negatives: int) -> BoolArray:
    """Tell for each number of N+ and of N- whether whole patients make all printed shares at once.

    Args:
        shares: as printed.
        positives: largest number of N+.
        negatives: largest number of N-.

    Returns:
        (positives, negatives); the first row and column stand for one patient.

    """
    of_positives = np.arange(1, positives + 1)[:, None]
    of_negatives = np.arange(1, negatives + 1)[None, :]
    least_found, most_found = shares.right(shares.sensitivity, of_positives)
    least_spared, most_spared = shares.right(shares.specificity, of_negatives)
    least, most = shares.right(shares.accuracy, of_positives + of_negatives)
    fits: BoolArray = (
        (least_found <= most_found)
        & (least_spared <= most_spared)
        & (np.maximum(least, least_found + least_spared) <= np.minimum(most, most_found + most_spared))
    )
    if shares.balanced_accuracy is not None:
        lowest = (least_found / of_positives + least_spared / of_negatives) / 2
        highest = (most_found / of_positives + most_spared / of_negatives) / 2
        fits &= lowest <= shares.balanced_accuracy + shares.rounding + _SLACK
        fits &= highest >= shares.balanced_accuracy - shares.rounding - _SLACK
    return fits


def largest_fits(fits: BoolArray, most: int = 3) -> list[tuple[int, int]]:
    """Return the largest numbers of N+ and N- together that fit, the largest first."""
    places = np.argwhere(fits) + 1
    order = np.lexsort((-places[:, 0], -places.sum(axis=1)))
    return [(int(p), int(n)) for p, n in places[order[:most]]]
