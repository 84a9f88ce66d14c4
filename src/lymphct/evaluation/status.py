"""How good scores and calls of N+ are: four measures of the risk first, then those of calls (Sec. IV-E).

Discrimination, calibration, net benefit and the distribution of the risk judge the score; sensitivity,
specificity, accuracy and their mean judge the calls at one threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.evaluation.calibration import Calibration, CalibrationCurve, calibration, calibration_curve
from lymphct.evaluation.classification import RocCurve, auc, roc_curve
from lymphct.evaluation.comparison import CallIntervals, call_intervals
from lymphct.evaluation.net_benefit import NetBenefit, net_benefit
from lymphct.evaluation.risk import RiskDistribution, risk_distributions
from lymphct.evaluation.statistics import DeLong, Interval, bootstrap_interval, delong

Scale = Literal["auto", "probability", "other"]

IMPROPER: Final = (
    "Sensitivity, specificity, accuracy and balanced accuracy judge calls at one threshold: away from it "
    "they are improper, a worse model can score higher. Read discrimination, calibration, net benefit and "
    "the distribution of the risk first."
)
"""What stands beside every figure of calls."""


@dataclass(frozen=True, slots=True, eq=False)
class StatusColumns:
    """What a method says of each patient, and what is true.

    Attributes:
        labels: (patients,), 1 for N+, 0 for N-.
        scores: (patients,), the higher the rather N+; NaN where there is none.
        calls: (patients,), 1 or 0; NaN where there is none.

    Raises:
        InputError: unequal numbers.

    """

    labels: AnyArray
    scores: DoubleArray
    calls: DoubleArray

    def __post_init__(self) -> None:
        sizes = [column.size for column in (self.labels, self.scores, self.calls)]
        if len(set(sizes)) != 1:
            msg = f"{sizes[0]} labels, {sizes[1]} scores and {sizes[2]} calls do not fit"
            raise InputError(msg, code="E_SCORES")

    def rows(self, chosen: BoolArray | Sequence[int]) -> "StatusColumns":
        """Return some of the patients."""
        return StatusColumns(self.labels[chosen], self.scores[chosen], self.calls[chosen])

    @property
    def scored(self) -> BoolArray:
        """Tell who has a score."""
        return ~np.isnan(self.scores)

    @property
    def called(self) -> BoolArray:
        """Tell who has a call."""
        return ~np.isnan(self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrimination:
    """The AUC with its intervals and the curve; None where a class is too small.

    Attributes:
        auc: area under the ROC curve; NaN when a class is absent.
        delong: with DeLong's interval; None with fewer than two of a class.
        bootstrap: interval of resamples stratified by label.
        curve: the ROC curve; None when a class is absent.

    """

    auc: float
    delong: DeLong | None
    bootstrap: Interval
    curve: RocCurve | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFigures:
    """Everything that is measured of one group of patients.

    Attributes:
        patients: in the group; likewise `positives`.
        positives: N+ among them.
        scored: patients with a score, likewise `called`.
        called: patients with a call.
        discrimination: None when nobody has a score.
        calibration: None unless scores are probabilities and both classes are there; likewise the next two.
        curve: the smoothed calibration curve.
        net_benefit: the decision curve.
        risk: distribution of the score among N- and among N+; None when nobody has a score.
        calls: None when nobody has a call.

    """

    patients: int
    positives: int
    scored: int
    called: int
    discrimination: Discrimination | None
    calibration: Calibration | None
    curve: CalibrationCurve | None
    net_benefit: NetBenefit | None
    risk: tuple[RiskDistribution, RiskDistribution] | None
    calls: CallIntervals | None


def scores_are_probabilities(scores: DoubleArray, scale: Scale) -> bool:
    """Tell whether scores are taken for probabilities.

    `auto` takes them for such when all lie between 0 and 1 and there are more than two different ones: a
    column of 0 and 1 holds calls.

    Args:
        scores: of all patients; NaN where there is none.
        scale: what the user says.

    Raises:
        InputError: they are said to be probabilities and lie outside 0 to 1.

    """
    known = scores[~np.isnan(scores)]
    if scale == "other" or not known.size:
        return False
    inside = bool((known >= 0).all() and (known <= 1).all())
    if scale == "probability" and not inside:
        msg = f"scores from {known.min():g} to {known.max():g} are no probabilities"
        raise InputError(msg, code="E_SCORES", cure="give probabilities, or --scale other")
    return inside and (scale == "probability" or np.unique(known).size > 2)


def status_figures(
    group: StatusColumns,
    rng: np.random.Generator,
    *,
    as_probabilities: bool,
    limits: tuple[float, float] = (0.0, 1.0),
    n: int = 1000,
) -> StatusFigures:
    """Measure the scores and the calls of a group of patients.

    Args:
        group: at least one patient.
        rng: source of the resamples.
        as_probabilities: the scores are probabilities: calibration and net benefit are defined.
        limits: of the histograms of scores that are none.
        n: resamples of each interval, stratified by label.

    Raises:
        InputError: labels other than 0 and 1, or scores that are not finite.
        UsageError: no resamples.

    """
    scored, called = group.rows(group.scored), group.rows(group.called)
    labels, scores = scored.labels, scored.scores
    both = 0 < int(labels.sum()) < labels.size
    judged = as_probabilities and both
    return StatusFigures(
        patients=group.labels.size,
        positives=int(group.labels.sum()),
        scored=labels.size,
        called=called.labels.size,
        discrimination=_discrimination(labels, scores, rng, n) if labels.size else None,
        calibration=calibration(labels, scores) if judged else None,
        curve=calibration_curve(labels, scores, rng, n=n) if judged else None,
        net_benefit=net_benefit(labels, scores) if judged else None,
        risk=risk_distributions(labels, scores, limits=(0.0, 1.0) if as_probabilities else limits)
        if labels.size
        else None,
        calls=call_intervals(called.labels, called.calls, rng, n=n) if called.labels.size else None,
    )


def _discrimination(
    labels: AnyArray, scores: DoubleArray, rng: np.random.Generator, n: int
) -> Discrimination:
    smaller = min(int(labels.sum()), int(labels.size - labels.sum()))
    return Discrimination(
        auc=auc(labels, scores),
        delong=delong(labels, scores) if smaller > 1 else None,
        bootstrap=bootstrap_interval(auc, labels, scores, rng=rng, strata=labels, n=n),
        curve=roc_curve(labels, scores) if smaller else None,
    )
