"""How many lymph nodes were found: one-to-one matching of instances by IoU (Sec. IV-D, Tab. V).

Instances are compared through their joint histogram, built in one pass from runs of equal label pairs; no
mask is ever made for a single node. Empty maps: a ratio with nothing below the line is NaN (recall without
true nodes, precision without predicted ones, F without either) and is left out of per-patient means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lymphct.core.arrays import DoubleArray, LabelArray
from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.label_kernels import IntArray, joint_runs
from lymphct.evaluation.layout import contiguous, paired_labels, require_not_negative

MatchingRule = Literal["maximum", "greedy"]


class MatchedPair(NamedTuple):
    """A predicted and a true instance that are the same node."""

    prediction: int
    truth: int
    iou: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMatches:
    """The instances of one patient, matched.

    Attributes:
        pairs: matched instances by their labels, in the order of the predictions.
        missed: labels of true instances without a partner.
        spurious: labels of predicted instances without a partner.
        duplicates: those of `spurious` that overlap a true instance with at least the demanded IoU, but whose
            partner is another; some evaluations do not count them as false positives.
        prediction_voxels: label → size of each predicted instance.
        truth_voxels: label → size of each true instance.

    """

    pairs: tuple[MatchedPair, ...]
    missed: tuple[int, ...]
    spurious: tuple[int, ...]
    duplicates: tuple[int, ...]
    prediction_voxels: Mapping[int, int]
    truth_voxels: Mapping[int, int]

    @property
    def true_positives(self) -> int:
        """Return the number of matched pairs."""
        return len(self.pairs)

    @property
    def false_negatives(self) -> int:
        """Return the number of missed instances."""
        return len(self.missed)

    @property
    def false_positives(self) -> int:
        """Return the number of spurious instances, duplicates among them."""
        return len(self.spurious)


def match_instances(
    prediction: LabelArray, truth: LabelArray, *, iou: float = 0.3, rule: MatchingRule = "maximum"
) -> InstanceMatches:
    """Match predicted with true instances one to one; 0 is background, any other number an instance.

    `maximum` pairs instances so that the sum of their IoU is largest (the paper names no rule); `greedy`
    takes the pair of largest IoU first (ties: lower labels). Above an IoU of 0.5 both are the same. The
    largest sum may have fewer pairs than possible, but only far below the paper's 0.3 or on chains of about
    a dozen nodes that overlap one another.

    Args:
        prediction: instance map, [i, j, k].
        truth: instance map of the same shape.
        iou: smallest intersection over union of a pair, above 0 to 1 (Sec. IV-D: 0.3).
        rule: how competing pairs are settled.

    Raises:
        GeometryMismatchError: the shapes differ.
        InputError: labels are not whole numbers or negative.
        UsageError: the IoU or the rule is none.

    """
    if not 0 < iou <= 1:
        msg = f"an IoU of {iou} cannot be demanded"
        raise UsageError(msg, cure="give a value above 0 and up to 1")
    if rule not in ("maximum", "greedy"):
        msg = f"there is no matching rule {rule!r}"
        raise UsageError(msg, cure="choose maximum or greedy")
    overlaps = _joint_histogram(prediction, truth)
    candidates = _candidates(overlaps, iou)
    chosen = (_maximum if rule == "maximum" else _greedy)(candidates)
    pairs = sorted(candidates[n] for n in chosen)
    partnered = {pair.prediction for pair in pairs}
    found = {pair.truth for pair in pairs}
    near = {pair.prediction for pair in candidates}
    spurious = tuple(label for label in overlaps.prediction_voxels if label not in partnered)
    return InstanceMatches(
        pairs=tuple(pairs),
        missed=tuple(label for label in overlaps.truth_voxels if label not in found),
        spurious=spurious,
        duplicates=tuple(label for label in spurious if label in near),
        prediction_voxels=overlaps.prediction_voxels,
        truth_voxels=overlaps.truth_voxels,
    )


class _JointHistogram(NamedTuple):
    """Sizes of all instances and of all their intersections, voxels; labels ascending."""

    prediction_voxels: dict[int, int]
    truth_voxels: dict[int, int]
    predictions: IntArray
    truths: IntArray
    voxels: IntArray


def _joint_histogram(prediction: LabelArray, truth: LabelArray) -> _JointHistogram:
    maps = contiguous(*paired_labels(prediction, truth), (1.0, 1.0, 1.0))
    p, t, lengths = joint_runs(maps[0], maps[1])
    require_not_negative(min(int(p.min(initial=0)), int(t.min(initial=0))))
    p_labels, p_index = np.unique(p, return_inverse=True)
    t_labels, t_index = np.unique(t, return_inverse=True)
    # Sparse sums: runs of the same pair of labels add up.
    joint = coo_array((lengths, (p_index, t_index)), shape=(p_labels.size, t_labels.size)).tocsr().tocoo()
    keep = (p_labels[joint.row] > 0) & (t_labels[joint.col] > 0)
    return _JointHistogram(
        prediction_voxels=_sizes(p_labels, p_index, lengths),
        truth_voxels=_sizes(t_labels, t_index, lengths),
        predictions=p_labels[joint.row[keep]],
        truths=t_labels[joint.col[keep]],
        voxels=joint.data[keep],
    )


def _sizes(labels: IntArray, index: IntArray, lengths: IntArray) -> dict[int, int]:
    sizes = np.zeros(labels.size, dtype=np.int64)
    np.add.at(sizes, index, lengths)
    return {label: size for label, size in zip(labels.tolist(), sizes.tolist(), strict=True) if label}


def _candidates(overlaps: _JointHistogram, iou: float) -> list[MatchedPair]:
    pairs = []
    for p, t, both in zip(
        overlaps.predictions.tolist(), overlaps.truths.tolist(), overlaps.voxels.tolist(), strict=True
    ):
        union = overlaps.prediction_voxels[p] + overlaps.truth_voxels[t] - both
        if both / union >= iou:
            pairs.append(MatchedPair(p, t, both / union))
    return pairs


def _greedy(candidates: Sequence[MatchedPair]) -> list[int]:
    order = sorted(range(len(candidates)), key=lambda n: (-candidates[n].iou, candidates[n]))
    predictions: set[int] = set()
    truths: set[int] = set()
    chosen = []
    for n in order:
        pair = candidates[n]
        if pair.prediction not in predictions and pair.truth not in truths:
            chosen.append(n)
            predictions.add(pair.prediction)
            truths.add(pair.truth)
    return chosen


def _maximum(candidates: Sequence[MatchedPair]) -> list[int]:
    """Choose pairs of largest total IoU; clusters of touching candidates are small, each is solved alone."""
    if not candidates:
        return []
    _, rows = np.unique([pair.prediction for pair in candidates], return_inverse=True)
    _, columns = np.unique([pair.truth for pair in candidates], return_inverse=True)
    n_rows, size = int(rows.max()) + 1, int(rows.max()) + int(columns.max()) + 2
    links = coo_array((np.ones(rows.size), (rows, columns + n_rows)), shape=(size, size))
    _, cluster = connected_components(links, directed=False)
    chosen = []
    for members in _groups(cluster[rows]):
        own_rows, r = np.unique(rows[members], return_inverse=True)
        own_columns, c = np.unique(columns[members], return_inverse=True)
        weights = np.zeros((own_rows.size, own_columns.size))
        weights[r, c] = [candidates[n].iou for n in members]
        number = np.full(weights.shape, -1)
        number[r, c] = members
        picked = number[linear_sum_assignment(weights, maximize=True)]
        chosen += picked[picked >= 0].tolist()
    return chosen


def _groups(cluster: npt.NDArray[np.integer]) -> list[IntArray]:
    order = np.argsort(cluster, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceScores:
    """Recall, precision and F of instances over patients; all 0 to 1 or NaN.

    Attributes:
        true_positives: of all patients together; likewise the next two.
        false_positives: predicted nodes without a partner.
        false_negatives: true nodes without a partner.
        recall: pooled over all nodes; likewise `precision` and `f`.
        precision: pooled.
        f: pooled, 2·TP / (2·TP + FP + FN).
        mean_recall: mean over the patients with true nodes.
        mean_precision: mean over the patients with predicted nodes.
        mean_f: mean over the patients with either (the printed numbers are per-patient means).
        patients: all patients.
        patients_with_truth: those with true nodes.
        patients_with_prediction: those with predicted nodes.

    """

    true_positives: int
    false_positives: int
    false_negatives: int
    recall: float
    precision: float
    f: float
    mean_recall: float
    mean_precision: float
    mean_f: float
    patients: int
    patients_with_truth: int
    patients_with_prediction: int


def instance_scores(matches: Sequence[InstanceMatches]) -> InstanceScores:
    """Score the matches of all patients, pooled and as per-patient means.

    Raises:
        InputError: no patient.

    """
    if not matches:
        msg = "no patients to score"
        raise InputError(msg)
    counts = np.array(
        [(m.true_positives, m.false_positives, m.false_negatives) for m in matches], dtype=float
    )
    each = _ratios(counts)
    pooled = _ratios(counts.sum(axis=0, keepdims=True))[0]
    tp, fp, fn = counts.sum(axis=0).astype(int).tolist()
    defined = (~np.isnan(each)).sum(axis=0)
    means = np.nansum(each, axis=0) / np.where(defined, defined, np.nan)
    return InstanceScores(
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        recall=float(pooled[0]),
        precision=float(pooled[1]),
        f=float(pooled[2]),
        mean_recall=float(means[0]),
        mean_precision=float(means[1]),
        mean_f=float(means[2]),
        patients=len(matches),
        patients_with_truth=int(defined[0]),
        patients_with_prediction=int(defined[1]),
    )


def _ratios(counts: DoubleArray) -> DoubleArray:
    """Turn rows of (TP, FP, FN) into recall, precision, F; NaN where nothing is below the line."""
    tp, fp, fn = counts.T
    below = np.stack((tp + fn, tp + fp, 2 * tp + fp + fn), axis=1)
    above = np.stack((tp, tp, 2 * tp), axis=1)
    ratios: DoubleArray = above / np.where(below > 0, below, np.nan)
    return ratios
