"""Whether probabilities mean what they say: smoothed curve, slope, intercept, Brier score (Sec. IV-E)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize
from scipy.special import expit
from statsmodels.nonparametric.smoothers_lowess import lowess

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.evaluation.classification import checked
from lymphct.evaluation.statistics import require_resampling, resamples

SPAN: Final = 2 / 3
"""Share of the patients around a probability that its local regression looks at (Cleveland's default)."""
CURVE_POINTS: Final = 51
ECE_BINS: Final = 10
_NEAREST: Final = 1e-6
"""Probabilities nearer to 0 or 1 are taken for this before their logit, which would be infinite."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationCurve:
    """Observed over predicted probability, smoothed by local regression, with its bootstrap band.

    Attributes:
        predicted: (points,), ascending, from the lowest to the highest probability; no points where too many
            patients share one probability.
        observed: (points,), share of positives around it, 0 to 1.
        low: (points,), lower limit of the pointwise percentile band; NaN where too few resamples reach.
        high: (points,), the upper limit.

    """

    predicted: DoubleArray
    observed: DoubleArray
    low: DoubleArray
    high: DoubleArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How well probabilities are calibrated; NaN where a figure is not defined.

    Attributes:
        slope: of the labels' logistic regression on the logit of the probability; 1 when perfect, below 1
            when probabilities are too extreme. NaN when one probability stands for everybody, or when they
            separate the classes completely.
        intercept: of the same regression; 0 when perfect. NaN likewise.
        in_the_large: intercept when the slope is held at 1: above 0 when risks are underestimated.
        brier: mean squared difference of probability and label, 0 to 1.
        ece: expected calibration error, over ten bins of equal width, 0 to 1.
        ici: mean absolute difference of smoothed observed and predicted probability over the patients.
        moved: probabilities of 0 or 1 that were moved by 1e-6 for slope and intercepts.

    """

    slope: float
    intercept: float
    in_the_large: float
    brier: float
    ece: float
    ici: float
    moved: int


def calibration(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Calibration:
    """Return the calibration of probabilities.

    Raises:
        InputError: labels other than 0 and 1, probabilities outside 0 to 1, unequal numbers, or one class.

    """
    positive, p = _checked_probabilities(labels, probabilities)
    kept = np.clip(p, _NEAREST, 1 - _NEAREST)
    logits = np.log(kept / (1 - kept))
    intercept, slope = _recalibration(positive, logits)
    return Calibration(
        slope=slope,
        intercept=intercept,
        in_the_large=_in_the_large(positive, logits),
        brier=float(np.mean((p - positive) ** 2)),
        ece=expected_calibration_error(positive, p),
        ici=_integrated_index(positive, p),
        moved=int((kept != p).sum()),
    )


def expected_calibration_error(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = ECE_BINS
) -> float:
    """Return the mean difference of mean probability and share of positives over bins of equal width.

    Raises:
        InputError: as `calibration`; one class is allowed.

    >>> round(expected_calibration_error([0, 1, 1], [0.1, 0.1, 0.8]), 6)
    0.333333
    """
    positive, p = checked(labels, probabilities)
    _require_probabilities(p)
    place = np.minimum((p * bins).astype(int), bins - 1)
    excess = np.bincount(place, weights=p - positive, minlength=bins)
    return float(np.abs(excess).sum() / p.size)


def calibration_curve(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    n: int = 1000,
    level: float = 0.95,
) -> CalibrationCurve:
    """Return the smoothed calibration curve: lowess of labels on probabilities, span 2/3, no robust steps.

    Args:
        labels: truth, 0 or 1.
        probabilities: 0 to 1.
        rng: source of the resamples, stratified by label.
        n: resamples of the band.
        level: coverage of the band at each point.

    Raises:
        InputError: as `calibration`.
        UsageError: no resamples, or a level not between 0 and 1.

    """
    positive, p = _checked_probabilities(labels, probabilities)
    require_resampling([positive, p], n, level)
    grid = np.linspace(p.min(), p.max(), CURVE_POINTS) if np.ptp(p) > 1e-9 else p[:1]
    observed = _smoothed(positive, p, grid)
    band = np.stack([_smoothed(positive[rows], p[rows], grid) for rows in resamples(positive, n, rng)])
    known = np.isfinite(band).sum(axis=0) >= n / 2
    low, high = np.full(grid.size, np.nan), np.full(grid.size, np.nan)
    shares = ((1 - level) / 2, (1 + level) / 2)
    if known.any():
        low[known], high[known] = np.nanquantile(band[:, known], shares, axis=0)
    shown = np.isfinite(observed)
    return CalibrationCurve(grid[shown], observed[shown], low[shown], high[shown])


def _smoothed(positive: BoolArray, p: DoubleArray, at: DoubleArray) -> DoubleArray:
    """Return the local regression of the labels at given probabilities, 0 to 1; NaN outside their range."""
    if np.ptp(p) <= 1e-9:
        return np.where(np.abs(at - p[0]) <= 1e-9, positive.mean(), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):  # a neighbourhood of equal probabilities gives NaN
        curve: DoubleArray = np.asarray(lowess(positive.astype(float), p, frac=SPAN, it=0, xvals=at))
    inside = (at >= p.min()) & (at <= p.max())
    return np.where(inside, np.clip(curve, 0.0, 1.0), np.nan)


def _integrated_index(positive: BoolArray, p: DoubleArray) -> float:
    apart = np.abs(_smoothed(positive, p, p) - p)
    return float(np.nanmean(apart)) if np.isfinite(apart).any() else float("nan")


def _recalibration(positive: BoolArray, logits: DoubleArray) -> tuple[float, float]:
    """Return the most likely intercept and slope; NaN where no finite ones are."""
    ones, zeros = logits[positive], logits[~positive]
    separated = ones.min() >= zeros.max() or zeros.min() >= ones.max()
    spread = float(logits.std())
    if separated or spread < 1e-9:
        return (float("nan"), float("nan"))
    # On standardized logits the likelihood is round enough for any start.
    design = np.column_stack((np.ones(logits.size), (logits - logits.mean()) / spread))

    def unlikeliness(b: DoubleArray) -> float:
        return float(np.logaddexp(0.0, design @ b).sum() - (design @ b)[positive].sum())

    def gradient(b: DoubleArray) -> DoubleArray:
        slope: DoubleArray = design.T @ (expit(design @ b) - positive)
        return slope

    def curvature(b: DoubleArray) -> DoubleArray:
        p = expit(design @ b)
        bend: DoubleArray = design.T @ (design * (p * (1 - p))[:, None])
        return bend

    found = minimize(
        unlikeliness, np.zeros(2), jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-8}
    )
    slope = float(found.x[1]) / spread
    return (float(found.x[0]) - slope * float(logits.mean()), slope)


def _in_the_large(positive: BoolArray, logits: DoubleArray) -> float:
    """Return the shift of the logits at which the mean risk is the share of positives."""

    def excess(shift: float) -> float:
        return float(expit(logits + shift).mean() - positive.mean())

    reach = float(np.abs(logits).max()) + 20.0 + np.log(positive.size)
    return float(brentq(excess, -reach, reach, xtol=1e-12))


def _checked_probabilities(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike
) -> tuple[BoolArray, DoubleArray]:
    positive, p = checked(labels, probabilities)
    _require_probabilities(p)
    if positive.all() or not positive.any():
        msg = f"all {positive.size} labels are {int(positive[0])}: calibration needs both classes"
        raise InputError(msg, code="E_SCORES")
    return (positive, p)


def _require_probabilities(p: DoubleArray) -> None:
    if p.min() < 0 or p.max() > 1:
        msg = f"values from {p.min():g} to {p.max():g} are no probabilities"
        raise InputError(msg, code="E_SCORES", cure="give probabilities between 0 and 1")
