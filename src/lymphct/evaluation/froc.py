"""Free-response ROC: nodes found against false positives per patient, and size strata (Sec. IV-D)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lymphct.core.arrays import BoolArray, DoubleArray, IntArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.detection import InstanceMatches
from lymphct.evaluation.statistics import Interval, percentile_interval, require_resampling, resamples


@dataclass(frozen=True, slots=True, eq=False)
class Froc:
    """One point per distinct score of a predicted node, most certain first.

    Attributes:
        thresholds: descending scores; a node counts when its score reaches the threshold.
        sensitivity: share of all true nodes found, 0 to 1.
        false_positives: per patient.
        precision: share of the counted nodes that are true, 0 to 1.

    """

    thresholds: DoubleArray
    sensitivity: DoubleArray
    false_positives: DoubleArray
    precision: DoubleArray

    def sensitivity_at(self, false_positives: float) -> float:
        """Return the highest sensitivity with at most that many false positives per patient; 0 if none."""
        allowed = self.sensitivity[self.false_positives <= false_positives]
        return float(allowed.max()) if allowed.size else 0.0

    @property
    def average_precision(self) -> float:
        """Return the area under precision over sensitivity, in steps (no interpolation), 0 to 1."""
        steps = np.diff(self.sensitivity, prepend=0.0)
        return float((steps * self.precision).sum())


def froc(
    matches: Sequence[InstanceMatches],
    scores: Sequence[Mapping[int, float]],
    *,
    ignore_duplicates: bool = False,
) -> Froc:
    """Trace the FROC curve from matches of all candidates and a score per predicted instance.

    Instances are matched once, over all candidates; the threshold then only leaves candidates out.

    Args:
        matches: one per patient.
        scores: one per patient, label of each predicted instance → its score.
        ignore_duplicates: leave out second predictions of one node instead of counting them as false.

    Raises:
        InputError: no true node, scores for other patients or instances, or scores that are not finite.

    """
    candidates = froc_candidates(matches, scores, ignore_duplicates=ignore_duplicates)
    return candidates.curve(np.ones(len(matches)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """All counted candidates of all patients.

    Attributes:
        thresholds: distinct scores, descending.
        step: of each candidate, which of them is its own.
        hit: of each candidate, whether it has a true node.
        patient: of each candidate, the number of its patient.
        truths: true nodes of each patient.

    """

    thresholds: DoubleArray
    step: IntArray
    hit: BoolArray
    patient: IntArray
    truths: DoubleArray

    def curve(self, weights: DoubleArray) -> Froc:
        """Return the curve of patients who count so many times each; one of them at least has a true node."""
        weight = weights[self.patient]
        steps = self.thresholds.size
        tp = np.cumsum(np.bincount(self.step, weights=weight * self.hit, minlength=steps))
        fp = np.cumsum(np.bincount(self.step, weights=weight * ~self.hit, minlength=steps))
        counted = tp + fp
        return Froc(
            thresholds=self.thresholds,
            sensitivity=tp / (weights @ self.truths),
            false_positives=fp / weights.sum(),
            # Before the first candidate of a resample nothing is false.
            precision=np.divide(tp, counted, out=np.ones(steps), where=counted > 0),
        )


def froc_candidates(
    matches: Sequence[InstanceMatches],
    scores: Sequence[Mapping[int, float]],
    *,
    ignore_duplicates: bool = False,
) -> Candidates:
    """Gather the candidates of all patients; arguments and errors as `froc`."""
    truths = np.array([len(match.truth_voxels) for match in matches], dtype=np.float64)
    if not truths.sum():
        msg = "without true nodes there is no sensitivity to trace"
        raise InputError(msg, code="E_SCORES")
    if len(matches) != len(scores):
        msg = f"scores of {len(scores)} patients for the matches of {len(matches)}"
        raise InputError(msg, code="E_SCORES")
    values: list[float] = []
    hits: list[bool] = []
    patients: list[int] = []
    for patient, (match, score) in enumerate(zip(matches, scores, strict=True)):
        if set(score) != set(match.prediction_voxels):
            different = sorted(set(score) ^ set(match.prediction_voxels))[:5]
            msg = f"scores and predicted instances are not the same: {different}"
            raise InputError(msg, code="E_SCORES")
        found = {pair.prediction for pair in match.pairs}
        left_out = set(match.duplicates) if ignore_duplicates else set()
        counted = [label for label in match.prediction_voxels if label not in left_out]
        values += [score[label] for label in counted]
        hits += [label in found for label in counted]
        patients += [patient] * len(counted)
    certainty = np.array(values, dtype=np.float64)
    if not np.isfinite(certainty).all():
        msg = "a score of a predicted instance is not finite"
        raise InputError(msg, code="E_SCORES")
    distinct, step = np.unique(-certainty, return_inverse=True)
    return Candidates(
        thresholds=-distinct,
        step=step.astype(np.int64),
        hit=np.array(hits, dtype=np.bool_),
        patient=np.array(patients, dtype=np.int64),
        truths=truths,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrocIntervals:
    """What is read from a FROC curve, with intervals over resampled patients.

    Attributes:
        average_precision: area under precision over sensitivity.
        sensitivity_at: by false positives per patient.

    """

    average_precision: Interval
    sensitivity_at: Mapping[float, Interval]


def froc_intervals(
    candidates: Candidates,
    false_positives: Sequence[float],
    rng: np.random.Generator,
    *,
    n: int = 1000,
    level: float = 0.95,
) -> FrocIntervals:
    """Return average precision and sensitivities with percentile intervals over resampled patients.

    Patients are resampled with all their nodes: nodes of one patient are no independent observations. A
    resample without true nodes is left out and counted.

    Args:
        candidates: of all patients.
        false_positives: per patient, at which the sensitivity is read.
        rng: source of the resamples.
        n: number of resamples.
        level: coverage.

    Raises:
        UsageError: no resamples, or a level not between 0 and 1.

    """
    patients = np.zeros(candidates.truths.size)
    require_resampling([patients], n, level)
    rows = [np.arange(patients.size), *resamples(patients, n, rng)]
    read = np.full((len(rows), 1 + len(false_positives)), np.nan)
    for place, drawn in enumerate(rows):
        weights = np.bincount(drawn, minlength=patients.size).astype(np.float64)
        if weights @ candidates.truths > 0:
            curve = candidates.curve(weights)
            read[place] = [curve.average_precision, *map(curve.sensitivity_at, false_positives)]
    precision, *sensitivities = (
        percentile_interval(float(values[0]), values[1:], level) for values in read.T
    )
    return FrocIntervals(
        average_precision=precision, sensitivity_at=dict(zip(false_positives, sensitivities, strict=True))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeStratum:
    """Nodes of one range of volumes, pooled over patients.

    Attributes:
        low: mm³, included.
        high: mm³, excluded; infinite in the last stratum.
        truths: true nodes of that volume.
        found: those with a partner (of any size).
        predictions: predicted nodes of that volume.
        correct: those with a partner (of any size).

    """

    low: float
    high: float
    truths: int
    found: int
    predictions: int
    correct: int

    @property
    def recall(self) -> float:
        """Return found / truths; NaN without true nodes."""
        return self.found / self.truths if self.truths else float("nan")

    @property
    def precision(self) -> float:
        """Return correct / predictions; NaN without predicted nodes."""
        return self.correct / self.predictions if self.predictions else float("nan")


def size_strata(
    matches: Sequence[InstanceMatches], voxel_volumes: Sequence[float], limits: Sequence[float]
) -> tuple[SizeStratum, ...]:
    """Split recall by the true and precision by the predicted volume.

    Args:
        matches: one per patient.
        voxel_volumes: mm³ of a voxel, one per patient.
        limits: ascending volumes between the strata, mm³: (100, 300) makes three strata.

    Raises:
        InputError: volumes for other patients.
        UsageError: limits that do not ascend from above 0.

    """
    if len(matches) != len(voxel_volumes):
        msg = f"voxel volumes of {len(voxel_volumes)} patients for the matches of {len(matches)}"
        raise InputError(msg)
    edges = [0.0, *limits, float("inf")]
    if any(low >= high for low, high in pairwise(edges)):
        msg = f"volumes {list(limits)} mm³ do not ascend from above 0"
        raise UsageError(msg)
    counts = np.zeros((len(edges) - 1, 4), dtype=int)
    for match, volume in zip(matches, voxel_volumes, strict=True):
        found = {pair.truth for pair in match.pairs}
        correct = {pair.prediction for pair in match.pairs}
        for column, sizes, hits in ((0, match.truth_voxels, found), (2, match.prediction_voxels, correct)):
            for label, voxels in sizes.items():
                stratum = int(np.searchsorted(edges, voxels * volume, side="right")) - 1
                counts[stratum, column] += 1
                counts[stratum, column + 1] += label in hits
    return tuple(
        SizeStratum(low=low, high=high, truths=row[0], found=row[1], predictions=row[2], correct=row[3])
        for low, high, row in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    )
