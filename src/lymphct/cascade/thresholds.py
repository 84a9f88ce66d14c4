"""Operating points, chosen on validation patients only (Sec. IV-E, decision 0006)."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from torch import nn

from lymphct.cascade.alignment import normalized
from lymphct.cascade.cases import Material
from lymphct.core.errors import UsageError
from lymphct.core.leakage import Roles
from lymphct.core.settings import Settings
from lymphct.core.volume import Volume
from lymphct.evaluation.classification import auc, fit_threshold
from lymphct.evaluation.detection import InstanceMatches, InstanceScores, instance_scores, match_instances
from lymphct.metastasis.aggregation import fit_volume_threshold
from lymphct.metastasis.prediction import predict_status
from lymphct.nodes.crops import NOT_A_NODE, POSITIVE, IdentificationCase, with_known_class
from lymphct.nodes.identification import positive_share, predict_classes
from lymphct.nodes.instances import find_instances
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.segmentation import predict_node_probability
from lymphct.nodes.settings import IdentificationSettings, NodeSegmentationSettings

if TYPE_CHECKING:
    from lymphct.metastasis.sampling import StatusCase

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROBABILITIES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Candidates for the probability above which a voxel belongs to a node."""
VOLUMES: Final = (30.0, 50.0, 70.0, 100.0)
"""Candidates for the smallest node, mm³."""

Point = tuple[float, float]
"""A voxel threshold and a smallest volume, mm³."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A training that has ended: what its operating point may be chosen from.

    Attributes:
        material: the patients.
        roles: who taught, who chooses.
        settings: those of the stage.
        cases: what the network learned from.
        validation: the same of the patients who choose.

    """

    material: Material
    roles: Roles
    settings: Settings
    cases: Sequence[Any]
    validation: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Settings with the chosen values, scores on validation patients, thresholds by name."""

    settings: Settings
    scores: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeCandidate:
    """One way to turn probabilities into nodes, and what it reaches."""

    threshold: float
    min_volume: float
    scores: InstanceScores


def choose_nodes(network: nn.Module, lesson: Lesson) -> Choice:
    """Choose the voxel threshold and the smallest node by pooled F at IoU ≥ 0.3 on validation patients."""
    settings = _expected(lesson.settings, NodeSegmentationSettings)
    grid = [(settings.threshold, settings.min_volume)]
    if lesson.material.config.cascade.choose_thresholds:
        grid += [pair for pair in product(PROBABILITIES, VOLUMES) if pair not in grid]
    candidates = node_candidates(network, settings, lesson.material, lesson.roles.validation, grid)
    if not candidates:
        return Choice(settings=settings)
    # Of equal ones the first: the paper's values stand at the head of the list.
    best = max(candidates, key=lambda c: np.nan_to_num(c.scores.f))
    scores = {"recall": best.scores.recall, "precision": best.scores.precision, "f": best.scores.f}
    return Choice(
        settings=settings.model_copy(update={"threshold": best.threshold, "min_volume": best.min_volume}),
        scores={name: float(np.nan_to_num(value)) for name, value in scores.items()},
        thresholds={"node_voxel": best.threshold, "node_min_volume_mm3": best.min_volume},
    )


def node_candidates(
    network: nn.Module,
    settings: NodeSegmentationSettings,
    material: Material,
    ids: Sequence[str],
    grid: Sequence[Point],
) -> list[NodeCandidate]:
    """Return what pairs of threshold and smallest volume reach on patients with drawn nodes and attention.

    The probability map of one patient is in memory at a time. Empty without such patients.
    """
    matches: dict[Point, list[InstanceMatches]] = {point: [] for point in grid}
    for probability, truth in _node_probabilities(network, settings, material, ids):
        for threshold, min_volume in grid:
            found = find_instances(probability, threshold=threshold, min_volume=min_volume)
            matched = match_instances(found.instances.array, truth.array)
            matches[threshold, min_volume].append(matched)
    return [NodeCandidate(*point, instance_scores(found)) for point, found in matches.items() if found]


def _node_probabilities(
    network: nn.Module, settings: NodeSegmentationSettings, material: Material, ids: Sequence[str]
) -> Iterator[tuple[Volume, Volume]]:
    """Yield probability and true instances of each patient who has what it takes."""
    stage1 = _expected(network, NodeNetwork)
    for name in ids:
        patient = material.patients[name]
        attention = material.attention(name)
        if patient.instances is not None and attention is not None:
            image = normalized(patient.ct, material.learned.intensity)
            yield predict_node_probability(stage1, image, attention, settings), patient.instances


def choose_identification(network: nn.Module, lesson: Lesson) -> Choice:
    """Choose the probability from which a node is called positive, by balanced accuracy."""
    settings = _expected(lesson.settings, IdentificationSettings)
    validation: Sequence[IdentificationCase] = [with_known_class(case) for case in lesson.validation]
    judged = [case for case in validation if case.labels]
    if not judged:
        return Choice(settings=settings)
    probabilities = np.concatenate([predict_classes(network, case, settings) for case in judged])
    classes = np.concatenate([np.asarray(case.classes) for case in judged])
    nodes = classes != NOT_A_NODE
    share, positive = positive_share(probabilities[nodes]), classes[nodes] == POSITIVE
    if len(set(positive.tolist())) < 2:
        logger.warning(
            "identification: validation nodes of one class only, the threshold stays %s", settings.threshold
        )
        return Choice(settings=settings, thresholds={"node_positive": settings.threshold})
    threshold = settings.threshold
    if lesson.material.config.cascade.choose_thresholds:
        threshold = fit_threshold(share, positive, [case.patient for case in judged]).value
    return Choice(
        settings=settings.model_copy(update={"threshold": threshold}),
        scores={"auc": auc(positive, share)},
        thresholds={"node_positive": threshold},
    )


def choose_status(network: nn.Module, lesson: Lesson) -> Choice:
    """Choose the probability from which a patient is called N+, and the volume for ClsbyLNSeg (Sec. IV-E)."""
    judged: Sequence[StatusCase] = lesson.validation or lesson.cases
    truth = [case.n_status for case in judged]
    patients = [case.patient for case in judged]
    scores = [predict_status(network, case.patches, case.volume) for case in judged]
    volumes = [case.volume for case in judged]
    if len(set(truth)) < 2:
        logger.warning("metastasis: validation patients of one class only, the threshold stays 0.5")
        return Choice(settings=lesson.settings, thresholds={"patient": 0.5})
    return Choice(
        settings=lesson.settings,
        scores={"auc": auc(truth, scores), "auc_volume": auc(truth, volumes)},
        thresholds={
            "patient": fit_threshold(scores, truth, patients).value,
            "largest_positive_volume_mm3": fit_volume_threshold(volumes, truth, patients).value,
        },
    )


def _expected(value: Any, kind: type[T]) -> T:  # noqa: ANN401 - whatever a caller handed over
    if not isinstance(value, kind):
        msg = f"{type(value).__name__} was given where {kind.__name__} is needed"
        raise UsageError(msg, cure="take network and settings from one row of the table of stages")
    return value
