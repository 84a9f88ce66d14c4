"""Operating points, chosen on validation patients only (Sec. IV-E, decision 0006)."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from torch import nn

from lymphct.cascade.cases import Material
from lymphct.cascade.description import DEFAULT_PATIENT_THRESHOLD, ThresholdChoice
from lymphct.cascade.node_candidates import best_candidate, node_candidates
from lymphct.core.errors import UsageError
from lymphct.core.leakage import Roles
from lymphct.core.settings import Settings
from lymphct.core.terms import counted
from lymphct.evaluation.classification import auc, fit_threshold
from lymphct.learning.settings import SegmentationTrainingSettings
from lymphct.learning.validation import mean_dice
from lymphct.metastasis.aggregation import fit_volume_threshold
from lymphct.metastasis.prediction import predict_status
from lymphct.nodes.calling import positive_scores, predict_nodes
from lymphct.nodes.crops import (
    NOT_A_NODE,
    POSITIVE,
    IdentificationCase,
    with_known_class,
    with_known_iou,
)
from lymphct.nodes.features import fit_logistic_baseline
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.settings import IdentificationSettings, NodeSegmentationSettings

if TYPE_CHECKING:
    from lymphct.metastasis.sampling import StatusCase

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROBABILITIES: Final = NodeSegmentationSettings().candidate_thresholds
"""Candidates for the probability above which a voxel belongs to a node, unless the settings name others."""
VOLUMES: Final = (30.0, 50.0, 70.0, 100.0)
"""Candidates for the smallest node, mm³."""


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
    """Settings with the chosen values, scores on validation patients, thresholds and how they came about."""

    settings: Settings
    scores: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    chosen: Mapping[str, ThresholdChoice] = field(default_factory=dict)


def tell_choice(stage: str, choice: Choice) -> None:
    """Say in one line of the log how the thresholds of a stage came about, if it has any."""
    told = []
    for name, how in choice.chosen.items():
        value = f"{name} {choice.thresholds[name]:.4g}"
        if how.by == "default":
            told.append(f"{value} is the default ({how.why})")
        else:
            edge = ", at the edge of the candidates" if how.at_edge else ""
            remark = f", {how.why}" if how.why else ""
            told.append(f"{value} chosen on {counted(how.patients, 'validation patient')}{edge}{remark}")
    if told:
        ways = choice.chosen.values()
        is_plain = all(how.by == "validation" and not (how.at_edge or how.why) for how in ways)
        logger.log(logging.INFO if is_plain else logging.WARNING, "%s: %s", stage, "; ".join(told))


def _defaults(thresholds: Mapping[str, float], why: str) -> dict[str, Any]:
    """Return the two fields of a choice in which the defaults stand."""
    return {
        "thresholds": thresholds,
        "chosen": {name: ThresholdChoice(by="default", why=why) for name in thresholds},
    }


_SWITCHED_OFF: Final = "the settings choose none"
_NOBODY: Final = "no validation patients"
_ONE_CLASS: Final = "validation patients of one class only"


def score_segmentation(network: nn.Module, lesson: Lesson) -> Choice:
    """Score whole validation patients once, where patches chose the epoch; no threshold is chosen."""
    settings = expected(lesson.settings, SegmentationTrainingSettings)
    judged = lesson.validation[: settings.validation_cases]
    if settings.validate_on == "windows" or not judged:
        return Choice(settings=settings)
    return Choice(settings=settings, scores={"dice": mean_dice(network, judged, settings)})


def choose_nodes(network: nn.Module, lesson: Lesson) -> Choice:
    """Choose the voxel threshold and the smallest node by pooled F at IoU ≥ 0.3 on validation patients.

    With `least_recall` the most precise candidate of that recall instead (`best_candidate`). The settings'
    own values stand where no candidate finds a node, or nobody is there to choose.
    """
    settings = expected(lesson.settings, NodeSegmentationSettings)
    own = (settings.threshold, settings.min_volume)
    may_choose = lesson.material.config.cascade.choose_thresholds and settings.choose_operating_point
    others = product(settings.candidate_thresholds, VOLUMES) if may_choose else ()
    grid = [own, *(pair for pair in others if pair != own)]
    stage1 = expected(network, NodeNetwork)
    candidates = node_candidates(stage1, settings, lesson.material, lesson.roles.validation, grid)
    if not candidates:
        return Choice(settings=settings, **_defaults(_node_thresholds(*own), _NOBODY))
    # Of equal ones the first: the paper's values stand at the head of the list.
    best, remark = best_candidate(candidates, settings.least_recall)
    found = {"recall": best.scores.recall, "precision": best.scores.precision, "f": best.scores.f}
    scores = {name: float(np.nan_to_num(value)) for name, value in found.items()}
    if not may_choose or not scores["f"]:
        why = "no candidate finds a node of the validation patients" if may_choose else _SWITCHED_OFF
        return Choice(settings=settings, scores=scores, **_defaults(_node_thresholds(*own), why))
    point = (best.threshold, best.min_volume)
    return Choice(
        settings=settings.model_copy(update={"threshold": best.threshold, "min_volume": best.min_volume}),
        scores=scores,
        thresholds=_node_thresholds(*point),
        chosen={
            name: ThresholdChoice(
                by="validation",
                patients=best.patients,
                at_edge=value in {min(values), max(values)},
                why=remark,
            )
            for (name, value), values in zip(
                _node_thresholds(*point).items(), zip(*grid, strict=True), strict=True
            )
        },
    )


def _node_thresholds(threshold: float, min_volume: float) -> dict[str, float]:
    return {"node_voxel": threshold, "node_min_volume_mm3": min_volume}


def choose_identification(network: nn.Module, lesson: Lesson) -> Choice:
    """Choose the probability from which a node is called positive, by balanced accuracy.

    The settings' own value stands where the validation nodes are of one class, or there are none.
    """
    settings = expected(lesson.settings, IdentificationSettings)
    own = {"node_positive": settings.threshold}
    validation: Sequence[IdentificationCase] = [with_known_class(case) for case in lesson.validation]
    judged = [case for case in validation if case.labels]
    if not judged:
        return Choice(settings=settings, **_defaults(own, _NOBODY))
    found = [predict_nodes(network, case, settings) for case in judged]
    classes = np.concatenate([np.asarray(case.classes) for case in judged])
    nodes, positive = classes != NOT_A_NODE, classes[classes != NOT_A_NODE] == POSITIVE
    share = np.concatenate([positive_scores(each, settings.head) for each in found])[nodes]
    if len(set(positive.tolist())) < 2:
        return Choice(settings=settings, **_defaults(own, "validation nodes of one class only"))
    scores = {"auc": auc(positive, share), **_beside(lesson.cases, judged, auc(positive, share))}
    scores |= _iou_error(network, lesson.validation, settings)
    if not lesson.material.config.cascade.choose_thresholds:
        return Choice(settings=settings, scores=scores, **_defaults(own, _SWITCHED_OFF))
    patients = {case.patient for case in judged}  # one may have two cases: nodes as drawn, and as found
    threshold = fit_threshold(share, positive, patients).value
    return Choice(
        settings=settings.model_copy(update={"threshold": threshold}),
        scores=scores,
        thresholds={"node_positive": threshold},
        chosen={"node_positive": _on_scores(threshold, share, len(patients))},
    )


def _iou_error(
    network: nn.Module, cases: Sequence[IdentificationCase], settings: IdentificationSettings
) -> dict[str, float]:
    """Return how far the predicted IoU of masks is off on average, drawn and found; nothing without any."""
    if not settings.head.predict_iou:
        return {}
    errors: list[float] = []
    for case in map(with_known_iou, cases):
        ious = predict_nodes(network, case, settings).ious
        errors += [] if ious is None else np.abs(ious - np.asarray(case.ious)).tolist()
    return {"iou_error": float(np.mean(errors))} if errors else {}


def _beside(
    cases: Sequence[IdentificationCase], judged: Sequence[IdentificationCase], reached: float
) -> dict[str, float]:
    """Return the AUC on the same nodes of the baseline to beat: logistic regression on volume and HU.

    Args:
        cases: of training patients, on whom it is fitted; without any there is no baseline.
        judged: of validation patients.
        reached: AUC of the network, for the log.

    """
    known = [with_known_class(case) for case in cases]
    if not known:
        return {}
    taught = np.concatenate([np.asarray(case.classes) for case in known])
    features = np.concatenate([case.features for case in known])
    nodes = taught != NOT_A_NODE
    patients = [case.patient for case in known]
    baseline = fit_logistic_baseline(features[nodes], taught[nodes] == POSITIVE, patients).value
    classes = np.concatenate([np.asarray(case.classes) for case in judged])
    asked = classes != NOT_A_NODE
    probability = baseline.predict(np.concatenate([case.features for case in judged])[asked])
    found = auc(classes[asked] == POSITIVE, probability)
    logger.info(
        "identification: AUC %.3f on %d validation nodes, %.3f by logistic regression on volume and HU",
        reached,
        asked.sum(),
        found,
    )
    return {"auc_logistic": found}


def choose_status(network: nn.Module, lesson: Lesson) -> Choice:
    """Choose the probability from which a patient is called N+, and the volume for ClsbyLNSeg (Sec. IV-E).

    Only validation patients choose. Where they are of one class, or none, the probability stays at its
    default, and no volume is told.
    """
    judged: Sequence[StatusCase] = lesson.validation
    own = {"patient": DEFAULT_PATIENT_THRESHOLD}
    truth = [case.n_status for case in judged]
    if len(set(truth)) < 2:
        return Choice(settings=lesson.settings, **_defaults(own, _ONE_CLASS if judged else _NOBODY))
    patients = [case.patient for case in judged]
    probabilities = [predict_status(network, case.patches, case.volume) for case in judged]
    # The rule reads the largest node, whichever volume the network is given.
    volumes = [case.largest_volume for case in judged]
    scores = {"auc": auc(truth, probabilities), "auc_volume": auc(truth, volumes)}
    if not lesson.material.config.cascade.choose_thresholds:
        return Choice(settings=lesson.settings, scores=scores, **_defaults(own, _SWITCHED_OFF))
    probability = fit_threshold(probabilities, truth, patients).value
    volume = fit_volume_threshold(volumes, truth, patients).value
    return Choice(
        settings=lesson.settings,
        scores=scores,
        thresholds={"patient": probability, "largest_positive_volume_mm3": volume},
        chosen={
            "patient": _on_scores(probability, probabilities, len(judged)),
            "largest_positive_volume_mm3": _on_scores(volume, volumes, len(judged)),
        },
    )


def _on_scores(threshold: float, scores: Iterable[float], patients: int) -> ThresholdChoice:
    # At the lowest score everybody is called positive: the first of the candidates.
    return ThresholdChoice(by="validation", patients=patients, at_edge=threshold <= min(scores))


def expected(value: Any, kind: type[T]) -> T:  # noqa: ANN401 - whatever a caller handed over
    """Return a network or settings of the kind a stage has.

    Raises:
        UsageError: they are of another stage.

    """
    if not isinstance(value, kind):
        msg = f"{type(value).__name__} was given where {kind.__name__} is needed"
        raise UsageError(msg, cure="take network and settings from one row of the table of stages")
    return value
