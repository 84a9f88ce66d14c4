"""What is written of the nodes of an evaluated cohort: their part of the record, and their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final

import numpy as np

from lymphct.core.terms import NodeClass
from lymphct.evaluation.classification import (
    accuracy,
    auc,
    balanced_accuracy,
    sensitivity,
    specificity,
)
from lymphct.evaluation.segmentation import VoxelCounts
from lymphct.io.results.jsonfile import JSON
from lymphct.scoring.cohort_candidates import positive_candidates
from lymphct.scoring.cohort_cases import CohortRequest
from lymphct.scoring.cohort_patient import NODE_GROUPS, SURE_COLUMNS, NodeMeasures
from lymphct.scoring.detection_curve import curve_record, curve_table
from lymphct.scoring.instances import instances_record
from lymphct.scoring.node_confusion import confusion_record, node_confusion
from lymphct.scoring.node_curves import curves_record, curves_table, node_curves
from lymphct.scoring.stored import Table, finite


def nodes_record(nodes: Mapping[str, NodeMeasures], request: CohortRequest) -> dict[str, JSON]:
    """Return instances and voxels of each group, how nodes were called, and the FROC curves."""
    record: dict[str, JSON] = {}
    for group in NODE_GROUPS:
        having = [measures for measures in nodes.values() if group in measures.matches]
        record[group] = (
            {
                **instances_record([measures.matches[group] for measures in having]),
                "voxels": _voxels_record([measures.voxels[group] for measures in having]),
            }
            if having
            else None
        )
    by_probability = positive_candidates(nodes)
    return {
        "patients": len(nodes),
        **record,
        "identification": identification_record([*nodes.values()]),
        "confusion": confusion_record(node_confusion(nodes.values())),
        "positive_froc": {
            "patients": by_probability.patients,
            **curve_record(by_probability.candidates, request.seed, request.resamples),
        },
        "froc": curves_record(node_curves(nodes), request),
    }


def _voxels_record(counts: Sequence[VoxelCounts]) -> dict[str, JSON]:
    pooled = reduce(add, counts)
    record: dict[str, JSON] = {}
    for ratio in ("dice", "recall", "precision"):
        values = np.array([getattr(count, ratio) for count in counts])
        known = values[~np.isnan(values)]
        record[f"mean_{ratio}"] = float(known.mean()) if known.size else None
        record[f"pooled_{ratio}"] = finite(getattr(pooled, ratio))
    return record


@dataclass(frozen=True, slots=True)
class _MatchedNode:
    label: int
    call: int
    probability: float | None


def identification_record(patients: Sequence[NodeMeasures]) -> dict[str, JSON]:
    """Return how well matched nodes were told apart (Tab. IV); null where a class is absent."""
    nodes = [node for measures in patients for node in _matched_nodes(measures)]
    labels, calls = [node.label for node in nodes], [node.call for node in nodes]
    scored = [(node.label, node.probability) for node in nodes if node.probability is not None]
    figures = {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }
    return {
        "nodes": len(nodes),
        "positives": sum(labels),
        "auc": finite(auc(*zip(*scored, strict=True))) if scored else None,
        **{name: finite(figure(labels, calls)) if nodes else None for name, figure in figures.items()},
    }


def _matched_nodes(measures: NodeMeasures) -> list[_MatchedNode]:
    """Return the matched nodes whose class is both drawn and predicted."""
    nodes = []
    for pair in measures.matches["found"].pairs:
        true, predicted = measures.true_classes[pair.truth], measures.predicted[pair.prediction]
        if true is not None and predicted.is_positive is not None:
            label = int(true is NodeClass.POSITIVE)
            nodes.append(_MatchedNode(label, int(predicted.is_positive), predicted.probability))
    return nodes


def node_tables(nodes: Mapping[str, NodeMeasures]) -> dict[str, Table]:
    """Return a line per node, and the FROC curves that there are."""
    positive = positive_candidates(nodes).candidates
    curves = {
        "nodes_positive_froc": None if positive is None else curve_table(positive),
        "nodes_froc": curves_table(node_curves(nodes)),
    }
    found = {name: table for name, table in curves.items() if table is not None}
    return {"nodes": Table(NODE_COLUMNS, _node_rows(nodes)), **found}


NODE_COLUMNS: Final = (
    "patient_id", "outcome", "prediction", "truth", "iou", "predicted_class", "probability", "true_class",
    "prediction_mm3", "truth_mm3", *SURE_COLUMNS,
)  # fmt: skip


def _node_rows(patients: Mapping[str, NodeMeasures]) -> list[list[object]]:
    """Return a row per node: matched, missed (drawn alone) or spurious (predicted alone)."""
    rows: list[list[object]] = []
    for name, measures in patients.items():
        found = measures.matches["found"]
        joined: list[tuple[str, int | None, int | None, float | None]] = []
        joined += [("matched", *pair) for pair in found.pairs]
        joined += [("missed", None, label, None) for label in found.missed]
        joined += [("spurious", label, None, None) for label in found.spurious]
        for outcome, prediction, truth, iou in joined:
            rows.append([name, outcome, prediction, truth, iou, *_node_words(measures, prediction, truth)])
    return rows


def _node_words(measures: NodeMeasures, prediction: int | None, truth: int | None) -> list[object]:
    found = measures.matches["found"]
    predicted = None if prediction is None else measures.predicted[prediction]
    drawn = None if truth is None else measures.true_classes[truth]
    words = {None: None, True: NodeClass.POSITIVE.label, False: NodeClass.NEGATIVE.label}
    sizes = (found.prediction_voxels.get(prediction or 0), found.truth_voxels.get(truth or 0))
    return [
        None if predicted is None else words[predicted.is_positive],
        None if predicted is None else predicted.probability,
        None if drawn is None else drawn.label,
        *(None if size is None else round(size * measures.voxel_volume, 3) for size in sizes),
        *(None if predicted is None else getattr(predicted, column) for column in SURE_COLUMNS),
    ]
