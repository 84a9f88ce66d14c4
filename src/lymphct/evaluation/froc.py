"""Free-response ROC: nodes found against false positives per patient, and size strata (Sec. IV-D)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.detection import InstanceMatches


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
    total = sum(len(match.truth_voxels) for match in matches)
    if not total:
        msg = "without true nodes there is no sensitivity to trace"
        raise InputError(msg, code="E_SCORES")
    if len(matches) != len(scores):
        msg = f"scores of {len(scores)} patients for the matches of {len(matches)}"
        raise InputError(msg, code="E_SCORES")
    values, hits = [], []
    for match, score in zip(matches, scores, strict=True):
        if set(score) != set(match.prediction_voxels):
            different = sorted(set(score) ^ set(match.prediction_voxels))[:5]
            msg = f"scores and predicted instances are not the same: {different}"
            raise InputError(msg, code="E_SCORES")
        found = {pair.prediction for pair in match.pairs}
        left_out = set(match.duplicates) if ignore_duplicates else set()
        counted = [label for label in match.prediction_voxels if label not in left_out]
        values += [score[label] for label in counted]
        hits += [label in found for label in counted]
    certainty, hit = np.array(values, dtype=np.float64), np.array(hits, dtype=np.bool_)
    if not np.isfinite(certainty).all():
        msg = "a score of a predicted instance is not finite"
        raise InputError(msg, code="E_SCORES")
    distinct, index = np.unique(-certainty, return_inverse=True)
    tp = np.cumsum(np.bincount(index[hit], minlength=distinct.size))
    fp = np.cumsum(np.bincount(index[~hit], minlength=distinct.size))
    return Froc(
        thresholds=-distinct,
        sensitivity=tp / total,
        false_positives=fp / len(matches),
        precision=tp / (tp + fp),
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
