"""The five trained stages as one table: what each needs, is shown, learns and chooses (Sec. III).

A stage is one row; whoever trains, loads or lists stages goes through the table.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from pydantic import JsonValue
from torch import nn

from lymphct.anatomy.settings import StructureSettings, TumorSettings
from lymphct.anatomy.structures import build_structure_network
from lymphct.anatomy.tumor import build_tumor_network
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.node_cases import found_cases, identification_cases
from lymphct.cascade.parts import Start
from lymphct.cascade.settings import Config
from lymphct.cascade.status_calibration import calibrate_status
from lymphct.cascade.thresholds import (
    Choice,
    Lesson,
    choose_identification,
    choose_nodes,
    choose_status,
    score_segmentation,
)
from lymphct.core.leakage import Fitted, Roles
from lymphct.core.settings import Settings
from lymphct.core.terms import StageName
from lymphct.learning.segmentation import fit_segmentation
from lymphct.learning.training import EpochRecord, Told, TrainingState
from lymphct.metastasis.fusing import fit_numbers, status_cases
from lymphct.metastasis.prediction import build_status_network, fit_status
from lymphct.metastasis.pretrained import initialize
from lymphct.metastasis.sampling import StatusCase
from lymphct.metastasis.settings import MetastasisSettings
from lymphct.nodes.crops import NEGATIVE, NOT_A_NODE, POSITIVE, UNKNOWN
from lymphct.nodes.identification import (
    build_identification_network,
    fit_identification,
    start_from_stage1,
)
from lymphct.nodes.segmentation import build_node_network
from lymphct.nodes.settings import IdentificationSettings, NodeSegmentationSettings


class Fit(Protocol):
    """How every stage learns: a record with the whole state after each epoch."""

    def __call__(  # noqa: PLR0913 - seed, state and told are keywords
        self,
        network: Any,  # noqa: ANN401 - each row of the table has a network and cases of its own
        cases: Sequence[Any],
        validation: Sequence[Any],
        settings: Any,  # noqa: ANN401 - the same
        *,
        seed: int,
        state: TrainingState | None = None,
        told: Told | None = None,
    ) -> Iterator[EpochRecord]:
        """Train the network in place."""


Shown = tuple[Sequence[Any], Sequence[Any]]
"""Cases of those who teach, and of those who choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One row of the table.

    Attributes:
        name: also that of its group of settings and of its part in a bundle.
        needs: stages whose parts it starts from or is fed by.
        learns_from: what a patient must have to be learned from, for a sentence.
        settings: class of its settings.
        score: by which its epoch is chosen, where the choice of thresholds does not measure it again.
        thresholds: names of the decision thresholds it chooses.
        build: network of these settings, with weights drawn from a seed.
        begin: loads into a new network what the stage starts from.
        cases: what it is shown of patients, where each is shown alone.
        lessons: what it is shown of those who teach and of those who choose, where some of it is learned from
            those who teach; may teach a part of the network, which it is given. None shows `cases` of each.
        fit: how it learns.
        choose: operating point, on validation patients.
        facts: further facts of a training that the bundle records.
        calibrate: what its scores are worth; None for nothing.

    """

    name: StageName
    needs: tuple[StageName, ...] = ()
    learns_from: str
    settings: type[Settings]
    score: str = ""
    thresholds: tuple[str, ...] = ()
    build: Callable[..., nn.Module]
    begin: Callable[[Any, Start], None] = lambda _network, _start: None
    cases: Callable[[Material, Sequence[str], Start], Sequence[Any]]
    lessons: Callable[[Any, Material, Roles, Start], Shown] | None = None
    fit: Fit
    choose: Callable[[Any, Lesson], Choice] = lambda _network, lesson: Choice(settings=lesson.settings)
    facts: Callable[[Start], Mapping[str, Any]] = lambda _start: {}
    calibrate: Callable[[Any, Lesson, Start], Fitted[Mapping[str, JsonValue]] | None] = (
        lambda _network, _lesson, _start: None
    )

    def settings_in(self, config: Config) -> Settings:
        """Return the stage's group of settings."""
        group: Settings = getattr(config, self.name)
        return group

    def shown(self, network: nn.Module, material: Material, roles: Roles, start: Start) -> Shown:
        """Return what a network is shown of those who teach and of those who choose."""
        if self.lessons is not None:
            return self.lessons(network, material, roles, start)
        return self.cases(material, roles.train, start), self.cases(material, roles.validation, start)


def _segmentation(stage: StageName) -> Callable[[Material, Sequence[str], Start], Sequence[Any]]:
    return partial(_segmentation_cases, stage)


def _segmentation_cases(
    stage: StageName, material: Material, ids: Sequence[str], _start: Start
) -> Sequence[Any]:
    return segmentation_cases(material, ids, stage)


def _identification_cases(material: Material, ids: Sequence[str], start: Start) -> Sequence[Any]:
    # A patient whose nodes have no class teaches nothing and chooses nothing, but for the IoU of their masks.
    learns_iou = material.config.identification.head.predict_iou
    cases = [*identification_cases(material, ids), *found_cases(material, start.found_in(ids))]
    return [
        case
        for case in cases
        if any(number != UNKNOWN for number in case.classes) or (learns_iou and np.isfinite(case.ious).any())
    ]


def _status_cases(material: Material, ids: Sequence[str], start: Start) -> Sequence[Any]:
    return status_cases(start.evidence_of(ids), material.config.metastasis)


def _status_lessons(network: Any, material: Material, roles: Roles, start: Start) -> Shown:  # noqa: ANN401 - as the table has it
    return _numbered(network, roles.train, roles.validation, material.config.metastasis, start)


def _numbered(
    network: nn.Module,
    train: Sequence[str],
    others: Sequence[str],
    settings: MetastasisSettings,
    start: Start,
) -> tuple[list[StatusCase], list[StatusCase]]:
    shown, beside = start.evidence_of(train), start.evidence_of(others)
    return fit_numbers(network, shown, beside, settings, seed=start.seed)


def _from_stage1(network: Any, start: Start) -> None:  # noqa: ANN401 - as the table has it
    start_from_stage1(network, start.parts[StageName.NODES].weights)


def _from_backbone(network: Any, start: Start) -> None:  # noqa: ANN401 - as the table has it
    if start.backbone is not None:
        network.unet.load_state_dict(start.backbone, strict=True)


def _from_images(network: Any, start: Start) -> None:  # noqa: ANN401 - as the table has it
    initialize(network, None if start.pretrained is None else start.pretrained.tensors)


def _calibrate_status(
    network: nn.Module, lesson: Lesson, start: Start
) -> Fitted[Mapping[str, JsonValue]] | None:
    # A network that was begun elsewhere may know everybody already, so that nobody can be left out.
    begin = None if start.weights is not None else partial(_begun_status, start=start)
    return calibrate_status(network, lesson, begin, partial(_numbered, start=start), seed=start.seed)


def _begun_status(settings: MetastasisSettings, start: Start) -> nn.Module:
    network = build_status_network(settings, seed=start.seed).to(start.device)
    _from_images(network, start)
    return network


def _found_classes(start: Start) -> dict[str, Any]:
    """Return how many nodes of which class stage 1 found, for the card."""
    if start.found is None:
        return {}
    counts = Counter(number for found in start.found.values() for number in found.classes)
    names = {NEGATIVE: "negative", POSITIVE: "positive", NOT_A_NODE: "not_a_node", UNKNOWN: "unknown"}
    return {"found": {name: counts[number] for number, name in names.items()}}


def _start_weights(start: Start) -> dict[str, str]:
    return {"pretrained": "none" if start.pretrained is None else start.pretrained.digest}


STAGES: Final[Mapping[StageName, Stage]] = {
    stage.name: stage
    for stage in (
        Stage(  # Sec. III-A.1
            name=StageName.STRUCTURES,
            learns_from="a structures mask",
            settings=StructureSettings,
            score="dice",
            build=build_structure_network,
            cases=_segmentation(StageName.STRUCTURES),
            fit=fit_segmentation,
            choose=score_segmentation,
        ),
        Stage(  # Sec. IV-B
            name=StageName.TUMOR,
            learns_from="a tumor mask",
            settings=TumorSettings,
            score="dice",
            build=build_tumor_network,
            cases=_segmentation(StageName.TUMOR),
            fit=fit_segmentation,
            choose=score_segmentation,
        ),
        Stage(  # stage 1, Sec. III-A.1, Eq. 3 to Eq. 5
            name=StageName.NODES,
            learns_from="a nodes mask and structures",
            settings=NodeSegmentationSettings,
            score="dice",
            thresholds=("node_voxel", "node_min_volume_mm3"),
            build=build_node_network,
            begin=_from_backbone,
            cases=_segmentation(StageName.NODES),
            fit=fit_segmentation,
            choose=choose_nodes,
        ),
        Stage(  # stage 2, Sec. III-A.2
            name=StageName.IDENTIFICATION,
            needs=(StageName.NODES,),
            learns_from="nodes with a class",
            settings=IdentificationSettings,
            thresholds=("node_positive",),
            build=build_identification_network,
            begin=_from_stage1,
            cases=_identification_cases,
            fit=fit_identification,
            choose=choose_identification,
            facts=_found_classes,
        ),
        Stage(  # Sec. III-B, Eq. 6, Eq. 7
            name=StageName.METASTASIS,
            needs=(StageName.STRUCTURES, StageName.TUMOR, StageName.NODES, StageName.IDENTIFICATION),
            learns_from="an n_status and a tumor that is found",
            settings=MetastasisSettings,
            thresholds=("patient", "largest_positive_volume_mm3"),
            build=build_status_network,
            begin=_from_images,
            cases=_status_cases,
            lessons=_status_lessons,
            fit=fit_status,
            choose=choose_status,
            facts=_start_weights,
            calibrate=_calibrate_status,
        ),
    )
}
"""All stages in the order a patient meets them."""

CASCADE: Final = STAGES[StageName.METASTASIS].needs
"""Stages that examine a patient, before anything is said of the patient as a whole."""
