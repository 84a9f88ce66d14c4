"""At prediction every network sees exactly what it was trained on, however others see (decision 0037)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor, nn

from lymphct.anatomy.settings import StructureSettings, TumorSettings
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.description import PartInfo
from lymphct.cascade.evidence import evidence_of
from lymphct.cascade.examination import Findings, Given, call_nodes, find_nodes, find_structures, find_tumor
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import Models, Trained, new_description
from lymphct.cascade.node_candidates import node_candidates
from lymphct.cascade.node_cases import identification_cases
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.score import predict_score
from lymphct.cascade.settings import Config
from lymphct.core.arrays import AnyArray
from lymphct.core.terms import StageName
from lymphct.learning.augmentation import SpatialTransform
from lymphct.learning.settings import SamplingSettings, UNetSettings
from lymphct.nodes.crops import cut_crop
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.settings import NodeSegmentationSettings

MakePatient = Callable[..., PreparedPatient]
UNET = UNetSettings(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1)
SETTINGS = {"unet": UNET, "sampling": SamplingSettings(patch_size=(16, 16, 8)), "body_only": False}
SALT = "the key of a bundle"


@dataclass
class Shown:
    """What the networks of some models were shown, by stage."""

    images: dict[StageName, list[AnyArray]] = field(default_factory=dict)

    def take(self, stage: StageName, image: Tensor) -> None:
        self.images.setdefault(stage, []).extend(image.numpy().copy())


class Recording(nn.Module):
    """A network that remembers its images and finds nothing."""

    def __init__(self, stage: StageName, classes: int, shown: Shown) -> None:
        super().__init__()
        self.stage, self.classes, self.shown = stage, classes, shown
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor, *_: Any) -> Any:
        self.shown.take(self.stage, image)
        if self.stage in {StageName.IDENTIFICATION, StageName.METASTASIS}:
            return torch.zeros(len(image), self.classes)
        return [torch.zeros(len(image), self.classes, *image.shape[2:])]


class RecordingNodes(NodeNetwork):
    """The same for stage 1, in which a network with its own heads is expected."""

    shown: Shown

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        del attention
        self.shown.take(StageName.NODES, image)
        return [torch.zeros(len(image), 2, *image.shape[2:])]

    def background_logits(self) -> Tensor | None:
        return None


@pytest.fixture
def patient(make_patient: MakePatient) -> PreparedPatient:
    return make_patient("a", noise=9.0)


@pytest.fixture
def learned(make_patient: MakePatient, tiny: Config) -> Learned:
    teachers = {name: make_patient(name, noise=9.0) for name in "bc"}
    learned = fit_learned(teachers, "bc", tiny)
    assert len({learned.sight(stage).fills for stage in StageName}) == 3
    return learned


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def models(learned: Learned, tiny: Config, shown: Shown) -> Models:
    """The bundle of these trainings, with networks that remember."""
    parts = {
        stage: PartInfo(
            architecture={},
            patients={"train": (), "validation": ()},
            intensity=learned.sight(stage).described(SALT),
        )
        for stage in StageName
    }
    info = new_description("recording", learned, tiny, salt=SALT, is_phantom=False)
    nodes = RecordingNodes(2, UNET, NodeSegmentationSettings().heads)
    nodes.shown = shown

    def network(stage: StageName, classes: int) -> Any:
        return Recording(stage, classes, shown)

    segmentation = {name: SETTINGS[name] for name in ("unet", "sampling")}
    return Models(
        info=info.model_copy(update={"parts": parts}),
        digest="",
        structures=Trained(network(StageName.STRUCTURES, 20), StructureSettings.model_validate(SETTINGS)),
        tumor=Trained(network(StageName.TUMOR, 2), TumorSettings.model_validate(SETTINGS)),
        nodes=Trained(nodes.eval(), NodeSegmentationSettings.model_validate(segmentation)),
        identification=Trained(network(StageName.IDENTIFICATION, 2), tiny.identification),
        metastasis=Trained(network(StageName.METASTASIS, 2), tiny.metastasis),
    )


@pytest.fixture
def material(patient: PreparedPatient, learned: Learned, tiny: Config) -> Material:
    return Material(patients={"a": patient}, learned=learned, config=tiny)


def assert_cut_from(window: AnyArray, image: AnyArray) -> None:
    """Check that a window is a part of an image, bit by bit."""
    corners = np.lib.stride_tricks.sliding_window_view(image, window.shape)[0]
    places = np.argwhere(corners[..., 0, 0, 0, 0] == window[0, 0, 0, 0])
    assert any(np.array_equal(corners[tuple(place)], window) for place in places)


@pytest.mark.parametrize("stage", [StageName.STRUCTURES, StageName.TUMOR, StageName.NODES])
def test_windows_are_cut_from_the_image_of_the_training(
    stage: StageName, patient: PreparedPatient, models: Models, material: Material, shown: Shown
) -> None:
    attention = patient.attention(models.bands, AttentionSettings())
    assert attention is not None
    if stage is StageName.STRUCTURES:
        find_structures(patient.ct, Given(), models)
    elif stage is StageName.TUMOR:
        find_tumor(patient.ct, patient.structures, Given(), models)
    else:
        find_nodes(patient.ct, attention, Given(), models)
    (case,) = segmentation_cases(material, ["a"], stage)
    assert list(shown.images) == [stage]
    for window in shown.images[stage]:
        assert_cut_from(window, case.normalized_image())


def test_operating_points_are_chosen_on_the_image_of_the_training(
    models: Models, material: Material, shown: Shown
) -> None:
    assert models.nodes is not None
    node_candidates(models.nodes.network, models.nodes.settings, material, ["a"], [(0.6, 30.0)])
    (case,) = segmentation_cases(material, ["a"], StageName.NODES)
    assert shown.images[StageName.NODES]
    for window in shown.images[StageName.NODES]:
        assert_cut_from(window, case.normalized_image())


def test_lymph_nodes_are_called_on_the_crops_of_the_training_also_beyond_the_image(
    patient: PreparedPatient, models: Models, material: Material, shown: Shown
) -> None:
    assert patient.nodes is not None
    assert models.identification is not None
    wide = models.identification.settings.sampling.model_copy(update={"crop_size": (40, 40, 40)})
    settings = models.identification.settings.model_copy(update={"sampling": wide})
    models = replace(models, identification=Trained(models.identification.network, settings))
    unknown = tuple(replace(node, node_class=None) for node in patient.nodes.nodes)
    call_nodes(patient.ct, replace(patient.nodes, nodes=unknown), models)
    (case,) = identification_cases(material, ["a"])
    margins = np.ones((2, 3), dtype=np.int64)
    taught = [cut_crop(case, n, (40, 40, 40), SpatialTransform(), margins).image for n in range(len(unknown))]
    assert_array_equal(np.stack(shown.images[StageName.IDENTIFICATION]), np.stack(taught))
    # Each phase has its own lower clip value beyond the image.
    assert [channel.min() for channel in taught[0]] == pytest.approx(case.fill)
    assert case.fill[0] != case.fill[1]


def test_the_status_is_predicted_on_the_patches_the_network_learned_from(
    patient: PreparedPatient, models: Models, shown: Shown, tiny: Config
) -> None:
    assert patient.structures is not None
    assert patient.tumor is not None
    assert patient.nodes is not None
    found = Findings(
        ct=patient.ct,
        structures=patient.structures,
        tumor=patient.tumor,
        attention=patient.structures,
        used=(),
        nodes=patient.nodes,
        searched=True,
    )
    # The status network learns from patches cut before it is itself a part of the bundle.
    parts = {name: part for name, part in models.info.parts.items() if name is not StageName.METASTASIS}
    before = replace(models, metastasis=None, info=models.info.model_copy(update={"parts": parts}))
    taught = evidence_of(found, before, tiny.metastasis.patches).patches
    assert predict_score(found, models).probability == pytest.approx(0.5)
    assert taught is not None
    assert_array_equal(np.stack(shown.images[StageName.METASTASIS]), np.asarray(taught))
