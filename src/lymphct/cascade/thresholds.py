"""Thresholds, chosen on validation patients only (METHOD §8, §9, §12)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from torch import nn

from lymphct.cascade.cases import normalized_ct
from lymphct.core.settings import Settings
from lymphct.core.volume import Volume
from lymphct.evaluation.classification import auc, fit_threshold
from lymphct.evaluation.detection import InstanceScores, instance_scores, match_instances
from lymphct.metastasis.aggregation import fit_volume_threshold
from lymphct.metastasis.prediction import MetastasisSettings, predict_status
from lymphct.metastasis.sampling import StatusCase
from lymphct.nodes.crops import NOT_A_NODE, POSITIVE, IdentificationCase
from lymphct.nodes.identification import IdentificationSettings, positive_share, predict_classes
from lymphct.nodes.instances import find_instances
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.segmentation import NodeSegmentationSettings, predict_node_probability
from lymphct.study.plan import Run

logger = logging.getLogger(__name__)

PROBABILITIES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Candidates for the probability above which a voxel belongs to a node."""
VOLUMES: Final = (30.0, 50.0, 70.0, 100.0)
"""Candidates for the smallest node, mm³."""

Chosen = tuple[Settings, dict[str, float], dict[str, float]]
"""Settings with the chosen values, scores on validation patients, thresholds for `bundle.json`."""


@dataclass(frozen=True, slots=True)
class NodeCandidate:
    """One way to turn probabilities into nodes, and what it reaches."""

    threshold: float
    min_volume: float
    scores: InstanceScores


def choose_nodes(run: Run, network: nn.Module) -> Chosen:
    """Choose the voxel threshold and the smallest node by pooled F at IoU ≥ 0.3 on validation patients."""
    settings = run.plan.config.nodes
    grid = [(settings.threshold, settings.min_volume)]
    if run.plan.config.cascade.choose_thresholds:
        grid += [pair for pair in product(PROBABILITIES, VOLUMES) if pair not in grid]
    candidates = node_candidates(run, network, settings, grid)
    if not candidates:
        return settings, {}, {}
    # Of equal ones the first: the paper's values stand at the head of the list.
    best = max(candidates, key=lambda c: np.nan_to_num(c.scores.f))
    chosen = settings.model_copy(update={"threshold": best.threshold, "min_volume": best.min_volume})
    scores = {"recall": best.scores.recall, "precision": best.scores.precision, "f": best.scores.f}
    return (
        chosen,
        {name: float(np.nan_to_num(value)) for name, value in scores.items()},
        {"node_voxel": best.threshold, "node_min_volume_mm3": best.min_volume},
    )


def node_candidates(
    run: Run, network: nn.Module, settings: NodeSegmentationSettings, grid: Sequence[tuple[float, float]]
) -> list[NodeCandidate]:
    """Return what pairs of threshold and smallest volume, mm³, reach on the validation patients of a run.

    Empty without validation patients who have drawn nodes and an attention.
    """
    pairs = _node_probabilities(run, network, settings)
    return [NodeCandidate(t, v, _instance_scores(pairs, t, v)) for t, v in grid] if pairs else []


def _node_probabilities(
    run: Run, network: nn.Module, settings: NodeSegmentationSettings
) -> list[tuple[Volume, Volume]]:
    """Return probability and true instances of each validation patient."""
    if not isinstance(network, NodeNetwork):
        msg = "stage 1 is a NodeNetwork"
        raise TypeError(msg)
    pairs = []
    for patient in run.patients("validation"):
        attention = patient.attention(run.plan.distance_bands(), run.plan.config.attention)
        if patient.nodes is not None and attention is not None:
            image = normalized_ct(run, patient)
            probability = predict_node_probability(network, image, attention, settings)
            pairs.append((probability, patient.nodes.instances))
    return pairs


def _instance_scores(
    pairs: Sequence[tuple[Volume, Volume]], threshold: float, min_volume: float
) -> InstanceScores:
    matches = []
    for probability, truth in pairs:
        found = find_instances(probability, threshold=threshold, min_volume=min_volume)
        matches.append(match_instances(found.instances.array, truth.array))
    return instance_scores(matches)


def choose_identification(run: Run, network: nn.Module, validation: Sequence[IdentificationCase]) -> Chosen:
    """Choose the probability from which a node is called positive, by balanced accuracy."""
    settings: IdentificationSettings = run.plan.config.identification
    judged = [case for case in validation if case.labels]
    if not judged:
        return settings, {}, {}
    probabilities = np.concatenate([predict_classes(network, case, settings) for case in judged])
    classes = np.concatenate([np.asarray(case.classes) for case in judged])
    share, positive = (
        positive_share(probabilities[classes != NOT_A_NODE]),
        classes[classes != NOT_A_NODE] == POSITIVE,
    )
    if len(set(positive.tolist())) < 2:
        logger.warning(
            "identification: validation nodes of one class only, the threshold stays %s", settings.threshold
        )
        return settings, {}, {"node_positive": settings.threshold}
    score = auc(positive, share)
    threshold = settings.threshold
    if run.plan.config.cascade.choose_thresholds:
        threshold = fit_threshold(share, positive, [case.patient for case in judged]).value
    return settings.model_copy(update={"threshold": threshold}), {"auc": score}, {"node_positive": threshold}


def choose_status(run: Run, network: nn.Module, validation: Sequence[StatusCase]) -> Chosen:
    """Choose the probability from which a patient is called N+, and the volume for ClsbyLNSeg (Sec. IV-E)."""
    settings: MetastasisSettings = run.plan.config.metastasis
    truth = [case.n_status for case in validation]
    patients = [case.patient for case in validation]
    scores = [predict_status(network, case.patches, case.volume) for case in validation]
    volumes = [case.volume for case in validation]
    if len(set(truth)) < 2:
        logger.warning("metastasis: validation patients of one class only, the threshold stays 0.5")
        return settings, {}, {"patient": 0.5}
    reached = {"auc": auc(truth, scores), "auc_volume": auc(truth, volumes)}
    thresholds = {
        "patient": fit_threshold(scores, truth, patients).value,
        "largest_positive_volume_mm3": fit_volume_threshold(volumes, truth, patients).value,
    }
    return settings, reached, thresholds
