"""How scores are distributed among patients with and without metastasis (Sec. IV-E)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import DoubleArray
from lymphct.evaluation.classification import checked

QUANTILES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
BINS: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class RiskDistribution:
    """The scores of the patients of one outcome.

    Attributes:
        patients: how many.
        mean: NaN without patients.
        quantiles: (quantiles,), at the shares `QUANTILES`; NaN without patients.
        edges: (bins + 1,), limits of the bins, the same for both outcomes.
        counts: (bins,), patients per bin; the last bin includes its upper limit.

    """

    patients: int
    mean: float
    quantiles: DoubleArray
    edges: DoubleArray
    counts: npt.NDArray[np.int64]


def risk_distributions(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, limits: tuple[float, float] = (0.0, 1.0)
) -> tuple[RiskDistribution, RiskDistribution]:
    """Return the distribution of the scores among the negatives, then among the positives.

    Args:
        labels: truth, 0 or 1.
        scores: one per label.
        limits: of the histogram; scores beyond them are counted in its first and last bin.

    Raises:
        InputError: labels other than 0 and 1, scores that are not finite, or unequal numbers.

    """
    positive, values = checked(labels, scores)
    low, high = limits
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    return (_distribution(values[~positive], edges), _distribution(values[positive], edges))


def _distribution(values: DoubleArray, edges: DoubleArray) -> RiskDistribution:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    if not values.size:
        return RiskDistribution(0, float("nan"), np.full(len(QUANTILES), np.nan), edges, counts)
    return RiskDistribution(
        values.size, float(values.mean()), np.quantile(values, QUANTILES), edges, counts.astype(np.int64)
    )
