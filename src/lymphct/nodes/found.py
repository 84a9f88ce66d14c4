"""Lymph nodes as stage 1 finds them in patients it did not learn from (decision 0054).

A new patient's nodes come from stage 1: their masks are not the drawn ones, and some are no lymph nodes at
all. Stage 2 can learn from both, as long as whoever found them had not learned from the patient: otherwise
it would see better masks and fewer mistakes than it will ever meet. Not from the paper; ours.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lymphct.core.leakage import FittedOn
from lymphct.core.patient import NodeMap
from lymphct.core.volume import StoredVolume
from lymphct.evaluation.detection import InstanceMatches, match_instances
from lymphct.imaging.components import Box
from lymphct.nodes.crops import NOT_A_NODE, UNKNOWN, class_number


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundNodes:
    """What stage 1 found in one patient, told apart by the drawn nodes.

    Attributes:
        patient: pseudonymous id.
        instances: instance map, read in boxes.
        labels: number of each found node.
        boxes: smallest box of each, along i, j, k.
        classes: 0 negative, 1 positive, 2 not a lymph node, −1 unknown.
        ious: IoU of each with the drawn node it is; see `told_apart`.
        fitted_on: whom the networks that found them learned from.

    """

    patient: str
    instances: StoredVolume
    labels: tuple[int, ...]
    boxes: tuple[Box, ...]
    classes: tuple[int, ...]
    ious: tuple[float, ...]
    fitted_on: FittedOn


class ToldApart(NamedTuple):
    """Class and IoU of each found node, in the order of the records."""

    classes: tuple[int, ...]
    ious: tuple[float, ...]


def told_apart(found: NodeMap, truth: NodeMap, *, iou: float) -> ToldApart:
    """Return the class of each found node, in the order of `found.nodes`, and its IoU with what it is.

    A found node that is a drawn one (matched one to one by IoU, as in Sec. IV-D) has its class; one that
    touches no drawn node is none, of an IoU of 0. In between nobody can say: the class of a piece of a node,
    or of two grown together, is unknown and teaches nothing. Its IoU is the largest with any drawn node.

    Args:
        found: by stage 1.
        truth: as drawn; the class of a node may be missing.
        iou: from which two are the same.

    Raises:
        GeometryMismatchError: the maps lie on different grids.

    """
    truth.instances.require_same_grid(found.instances, name="drawn nodes", reference="found nodes")
    classes = {node.label: class_number(node) for node in truth.nodes}
    matched = match_instances(found.instances.array, truth.instances.array, iou=iou)
    partner = {pair.prediction: classes.get(pair.truth, UNKNOWN) for pair in matched.pairs}
    ious = _largest_ious(found, truth, matched) | {pair.prediction: pair.iou for pair in matched.pairs}
    return ToldApart(
        classes=tuple(
            partner.get(node.label, UNKNOWN if node.label in ious else NOT_A_NODE) for node in found.nodes
        ),
        ious=tuple(ious.get(node.label, 0.0) for node in found.nodes),
    )


def _largest_ious(found: NodeMap, truth: NodeMap, matched: InstanceMatches) -> dict[int, float]:
    """Return the largest IoU of each found node that touches a drawn one with any of them."""
    both = (found.instances.array > 0) & (truth.instances.array > 0)
    shared = np.stack([found.instances.array[both], truth.instances.array[both]])
    pairs, voxels = np.unique(shared, axis=1, return_counts=True)
    largest: dict[int, float] = {}
    for (one, other), common in zip(pairs.T.tolist(), voxels.tolist(), strict=True):
        union = matched.prediction_voxels[one] + matched.truth_voxels[other] - common
        largest[one] = max(largest.get(one, 0.0), common / union)
    return largest
