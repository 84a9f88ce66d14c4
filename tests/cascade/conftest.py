"""Small patients on an anisotropic, turned grid, and networks that read their answers off the HU."""

import math
from collections.abc import Callable, Collection
from typing import Final, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lymphct.anatomy.settings import StructureSettings, TumorSettings
from lymphct.anatomy.structures import CLASSES
from lymphct.attention.bands import Band
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import Models, Trained, new_description
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.core.geometry import Geometry
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical, Multiphase, Node, NodeMap
from lymphct.core.settings import Settings
from lymphct.core.terms import NodeClass, Phase, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.settings import (
    AugmentationSettings,
    ClassifierTrainingSettings,
    SamplingSettings,
    TrainingSettings,
    UNetSettings,
)
from lymphct.learning.unet import SegmentationNetwork
from lymphct.learning.windows import Box
from lymphct.metastasis.prediction import build_status_network
from lymphct.metastasis.settings import (
    MetastasisSettings,
    PatchSettings,
    StatusNetworkSettings,
    StatusSamplingSettings,
    StatusTrainingSettings,
)
from lymphct.nodes.measurement import measure_nodes
from lymphct.nodes.network import IdentificationNetwork, NodeNetwork
from lymphct.nodes.settings import IdentificationSettings, NodeSamplingSettings, NodeSegmentationSettings

C, S = math.cos(0.4), math.sin(0.4)
GRID: Final = Geometry(
    shape=(26, 22, 16),
    spacing=(1.9, 2.1, 2.9),
    origin=(-30.0, 12.0, 45.0),
    direction=((C, -S, 0.0), (S, C, 0.0), (0.0, 0.0, 1.0)),
)
UNET: Final = UNetSettings(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1)
SAMPLING: Final = SamplingSettings(patch_size=(16, 16, 8))

STRUCTURES: Final[dict[Structure, Box]] = {
    Structure.SPLEEN: np.s_[1:6, 2:8, 4:10],
    Structure.AORTA: np.s_[11:14, 16:19, :],
    Structure.PANCREAS: np.s_[9:19, 8:13, 5:9],
    Structure.LIVER: np.s_[20:25, 14:21, 3:12],
}
TUMOR: Final[Box] = np.s_[17:21, 9:13, 5:9]
"""Half in the pancreas; 64 voxels."""
STRAY: Final[Box] = np.s_[1:6, 15:21, 10:15]
"""Looks like tumor and is larger, but lies far from the pancreas."""
NODES: Final[dict[int, Box]] = {3: np.s_[9:12, 4:7, 6:9], 7: np.s_[22:24, 9:11, 10:12]}
"""27 and 8 voxels near the pancreas."""
FAR_NODE: Final[Box] = np.s_[22:25, 1:4, 0:3]
"""Looks like a lymph node where there is no attention."""
LIKE_NODES: Final = (*NODES.values(), FAR_NODE)
CLASSES_OF_NODES: Final = {3: NodeClass.POSITIVE, 7: NodeClass.NEGATIVE}

MakePatient = Callable[..., PreparedPatient]
N = TypeVar("N", bound=nn.Module)
G = TypeVar("G", bound=Settings)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def painted(kind: type[np.generic], *parts: tuple[int, Box]) -> Volume:
    """Return an image of boxes, the later over the earlier."""
    array = np.zeros(GRID.shape, dtype=kind)
    for value, box in parts:
        array[box] = value
    return Volume(array=array, geometry=GRID)


@pytest.fixture(scope="session")
def make_patient() -> MakePatient:
    """Make a patient: `without` names what nobody drew or acquired, `noise` is in HU."""

    def make(
        name: str = "p0", *, without: Collection[str] = (), noise: float = 0.0, n_status: int | None = None
    ) -> PreparedPatient:
        rng = np.random.default_rng(sum(map(ord, name)))
        structures = painted(np.uint8, *STRUCTURES.items())
        early = painted(np.int16, (100, TUMOR), (100, STRAY), *((200, box) for box in LIKE_NODES))
        late = structures.with_array(10 * structures.array.astype(np.int16))
        ct = Multiphase(
            venous=_noisy(late, noise, rng),
            arterial=None if "arterial" in without else _noisy(early, noise, rng),
        )
        nodes = NodeMap(
            instances=painted(np.int32, *NODES.items()),
            nodes=tuple(
                Node(label=label, volume=0.0, center=(0.0, 0.0, 0.0), node_class=node_class)
                for label, node_class in CLASSES_OF_NODES.items()
            ),
        )
        return PreparedPatient(
            patient_id=name,
            ct=ct,
            structures=None if "structures" in without else structures,
            tumor=None if "tumor" in without else painted(np.uint8, (1, TUMOR)),
            nodes=None if "nodes" in without else measure_nodes(nodes, ct, structures),
            clinical=Clinical(n_status=n_status, center="A"),
        )

    return make


def _noisy(phase: Volume, noise: float, rng: np.random.Generator) -> Volume:
    return phase.with_array(np.rint(phase.array + rng.normal(0, noise, GRID.shape)).astype(np.int16))


@pytest.fixture(scope="session")
def tiny() -> Config:
    """Networks of a few weights, trained for four iterations."""
    training = TrainingSettings(
        epochs=2, iterations_per_epoch=2, optimizer="adamw", learning_rate=1e-2, validate_every=1
    )
    classifier = ClassifierTrainingSettings(
        epochs=2, iterations_per_epoch=2, optimizer="adamw", learning_rate=1e-2, validate_every=1
    )
    none = AugmentationSettings.preset("none")
    segmentation = {"unet": UNET, "sampling": SAMPLING, "augmentation": none, "training": training}
    return Config.model_validate(
        {
            "structures": segmentation,
            "tumor": segmentation,
            "nodes": segmentation,
            "identification": IdentificationSettings(
                unet=UNET,
                sampling=NodeSamplingSettings(
                    crop_size=(8, 8, 8), batch_size=2, box_jitter=(0, 1), box_margin=1
                ),
                training=classifier,
            ),
            "metastasis": MetastasisSettings(
                patches=PatchSettings(crop_size=32),
                network=StatusNetworkSettings(width=0.125, log_volume=True),
                sampling=StatusSamplingSettings(batch_size=2),
                training=StatusTrainingSettings(
                    epochs=2, iterations_per_epoch=2, optimizer="adamw", learning_rate=1e-2, validate_every=1
                ),
            ),
        }
    )


HALVED: Final = IntensityStatistics(low=-50.0, high=300.0, mean=20.0, sd=2.0)
"""How the networks that read HU see both phases."""


def hu(normalized: Tensor) -> Tensor:
    """Return the HU behind normalised intensities."""
    return HALVED.sd * normalized + HALVED.mean


class StructuresFromVenous(SegmentationNetwork):
    """Reads the number of the structure off the venous phase: a tenth of its HU."""

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        del attention
        numbers = 10.0 * torch.arange(CLASSES).reshape(1, -1, 1, 1, 1)
        return [-(hu(image[:, 1:2]) - numbers).abs()]


class TumorFromArterial(SegmentationNetwork):
    """Calls tumor what has about 100 HU in the arterial phase."""

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        del attention
        is_tumor = 50.0 - (hu(image[:, :1]) - 100.0).abs()
        return [torch.cat((-is_tumor, is_tumor), dim=1)]


class NodesFromArterial(NodeNetwork):
    """Calls lymph node what has about 200 HU in the arterial phase, where there is attention."""

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        assert attention is not None
        is_node = torch.where(attention > 0, 50.0 - (hu(image[:, :1]) - 200.0).abs(), -50.0)
        return [torch.cat((-is_node, is_node), dim=1)]

    def background_logits(self) -> Tensor | None:
        return None


class LargeIsPositive(IdentificationNetwork):
    """Calls a node positive from 200 mm³ on."""

    def forward(self, image: Tensor, mask: Tensor, box: Tensor, features: Tensor) -> Tensor:
        del image, mask, box
        excess = 4.0 * (features[:, :1] - math.log(200.0))
        return torch.cat((-excess, excess), dim=1)


@pytest.fixture(scope="session")
def answering(tiny: Config) -> Models:
    """Models with a band around the pancreas alone."""
    segmentation = {"unet": UNET, "sampling": SAMPLING}
    structures = StructureSettings.model_validate(segmentation | {"body_only": False})
    tumor = TumorSettings.model_validate(segmentation | {"body_only": False})
    nodes = NodeSegmentationSettings.model_validate(segmentation)
    learned = Learned(
        intensity=dict.fromkeys(Phase, HALVED),
        bands={Structure.PANCREAS: Band(-5.0, 8.0)},
        fitted_on={"intensity": FittedOn.of(["teacher"])},
    )
    info = new_description("answering", learned, tiny, salt="key of a test", is_phantom=False)
    return Models(
        info=info.model_copy(update={"thresholds": {"patient": 0.25}}),
        digest="",
        structures=_ready(StructuresFromVenous(2, CLASSES, UNET), structures),
        tumor=_ready(TumorFromArterial(2, 2, UNET), tumor),
        nodes=_ready(NodesFromArterial(2, UNET, nodes.heads), nodes),
        identification=_ready(LargeIsPositive(2, UNET, tiny.identification.head), tiny.identification),
        metastasis=_ready(build_status_network(tiny.metastasis, seed=4), tiny.metastasis),
    )


def _ready(network: N, settings: G) -> Trained[N, G]:
    return Trained(network.eval(), settings)
