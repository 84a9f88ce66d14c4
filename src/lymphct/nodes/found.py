"""Lymph nodes as stage 1 finds them in patients it did not learn from (decision 0054).

A new patient's nodes come from stage 1: their masks are not the drawn ones, and some are no lymph nodes at
all. Stage 2 can learn from both, as long as whoever found them had not learned from the patient: otherwise
it would see better masks and fewer mistakes than it will ever meet. Not from the paper; ours.
"""

from dataclasses import dataclass

import numpy as np

from lymphct.core.leakage import FittedOn
from lymphct.core.patient import NodeMap
from lymphct.core.volume import StoredVolume
from lymphct.evaluation.detection import match_instances
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
        fitted_on: whom the networks that found them learned from.

    """

    patient: str
    instances: StoredVolume
    labels: tuple[int, ...]
    boxes: tuple[Box, ...]
    classes: tuple[int, ...]
    fitted_on: FittedOn


def told_apart(found: NodeMap, truth: NodeMap, *, iou: float) -> tuple[int, ...]:
    """Return the class of each found node, in the order of `found.nodes`.

    A found node that is a drawn one (matched one to one by IoU, as in Sec. IV-D) has its class; one that
    touches no drawn node is none. In between nobody can say: a piece of a node, or two grown together, is
    unknown and teaches nothing.

    Args:
        found: by stage 1.
        truth: as drawn; the class of a node may be missing.
        iou: from which two are the same.

    Raises:
        GeometryMismatchError: the maps lie on different grids.

    """
    truth.instances.require_same_grid(found.instances, name="drawn nodes", reference="found nodes")
    classes = {node.label: class_number(node) for node in truth.nodes}
    pairs = match_instances(found.instances.array, truth.instances.array, iou=iou).pairs
    partner = {pair.prediction: classes.get(pair.truth, UNKNOWN) for pair in pairs}
    touching = set(np.unique(found.instances.array[truth.instances.array > 0]).tolist())
    return tuple(
        partner.get(node.label, UNKNOWN if node.label in touching else NOT_A_NODE) for node in found.nodes
    )
