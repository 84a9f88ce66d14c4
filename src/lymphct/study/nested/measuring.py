"""What the networks of a fold draw in its test patients, against what is drawn (Tab. III to Tab. V)."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from lymphct.cascade.examination import Findings, call_nodes
from lymphct.cascade.models import Models
from lymphct.cascade.prepared import Prepared
from lymphct.core.arrays import LabelArray
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, StageName
from lymphct.core.volume import Volume
from lymphct.evaluation.detection import InstanceMatches
from lymphct.evaluation.segmentation import SegmentationScores, VoxelCounts, label_scores, labels_present
from lymphct.io.results.jsonfile import JSON
from lymphct.nodes.measurement import measure_nodes as with_sizes
from lymphct.scoring.cohort_patient import PredictedNode, measure_nodes
from lymphct.scoring.stored import finite

IOU: Final = 0.3
"""Smallest intersection over union of a found node (Sec. IV-D)."""
SCORES: Final = ("dice", "asd", "hd")
"""Of structures and tumor (Tab. III, Sec. IV-B)."""


def measured(
    patient: Prepared, found: Findings, models: Models, given: Collection[StageName]
) -> dict[str, JSON]:
    """Measure what models that never saw a patient found in him; what is not drawn is left out.

    Args:
        patient: with what was drawn, on the grid of the findings.
        found: by the models.
        models: of one cascade.
        given: stages whose masks were given: nothing of them was found.

    Returns:
        `structures` and `tumor` (Dice, ASD and HD in mm by name), `nodes` (counts by group, drawn nodes and
        found ones, each with the number of its partner),
        `true_nodes` (the probability stage 2 gives to each drawn node of known class).

    """
    record: dict[str, JSON] = {}
    if patient.structures is not None and StageName.STRUCTURES not in given:
        record["structures"] = _structures(found.structures, patient.structures)
    if patient.tumor is not None and StageName.TUMOR not in given and np.any(patient.tumor.array):
        scores = label_scores(_mask(found.tumor), _mask(patient.tumor), [1], found.tumor.geometry.spacing)
        record["tumor"] = {"tumor": _scores(scores[1])}
    if patient.nodes is not None:
        record["nodes"] = _nodes(found, patient.nodes)
        record["true_nodes"] = _true_nodes(found, patient.nodes, models)
    return record


def _mask(volume: Volume) -> LabelArray:
    mask: LabelArray = (volume.array > 0).astype(np.uint8)
    return mask


def _structures(found: Volume, drawn: Volume) -> dict[str, JSON]:
    there = set(labels_present(drawn.array, drawn.array))
    wanted = [structure for structure in GUIDING_STRUCTURES if structure in there]
    scores = label_scores(found.array, drawn.array, wanted, drawn.geometry.spacing)
    return {structure.label: _scores(scores[structure]) for structure in wanted}


def _scores(scores: SegmentationScores) -> dict[str, JSON]:
    return {name: finite(getattr(scores, name)) for name in SCORES}


def _nodes(found: Findings, drawn: NodeMap) -> dict[str, JSON]:
    """Return counts before identification and of each class after it, and which nodes are the same."""
    predicted = {
        node.label: PredictedNode(
            None if node.node_class is None else node.node_class is NodeClass.POSITIVE,
            node.probability,
            node.is_plausible,
        )
        for node in found.nodes.nodes
    }
    sizes = with_sizes(drawn, found.ct, found.structures)
    measures = measure_nodes(found.nodes.instances.array, predicted, sizes, IOU)
    pairs = measures.matches["found"].pairs
    found_as = {pair.truth: pair.prediction for pair in pairs}
    drawn_as = {pair.prediction: pair.truth for pair in pairs}
    return {
        "groups": {
            group: _counts(matches, measures.voxels[group]) for group, matches in measures.matches.items()
        },
        "drawn": [
            {**_node(node), "found": node.label in found_as, "found_as": found_as.get(node.label)}
            for node in sizes.nodes
        ],
        "found": [
            {**_node(node), "probability": node.probability, "drawn_as": drawn_as.get(node.label)}
            for node in found.nodes.nodes
            if node.is_plausible
        ],
    }


def _node(node: Node) -> dict[str, JSON]:
    return {
        "label": node.label,
        "class": None if node.node_class is None else node.node_class.label,
        "short_axis_mm": node.short_axis,
        "volume_mm3": node.volume,
    }


def _counts(matches: InstanceMatches, voxels: VoxelCounts) -> dict[str, JSON]:
    return {
        "true_positives": matches.true_positives,
        "false_positives": matches.false_positives,
        "false_negatives": matches.false_negatives,
        "voxels": {"prediction": voxels.prediction, "truth": voxels.truth, "both": voxels.both},
    }


def _true_nodes(found: Findings, drawn: NodeMap, models: Models) -> list[JSON]:
    """Let stage 2 call the drawn nodes, whose classes it is not shown."""
    classes: Mapping[int, NodeClass | None] = {node.label: node.node_class for node in drawn.nodes}
    unknown = tuple(replace(node, node_class=None, probability=None) for node in drawn.nodes)
    called = call_nodes(found.ct, NodeMap(instances=drawn.instances, nodes=unknown), models)
    return [
        {
            "label": node.label,
            "class": known.label,
            "probability": node.probability,
            "called_positive": node.node_class is NodeClass.POSITIVE,
        }
        for node in called.nodes
        if (known := classes[node.label]) is not None
    ]
