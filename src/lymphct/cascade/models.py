"""The trained networks of a bundle, ready to predict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import torch
from pydantic import ValidationError
from torch import nn

from lymphct.anatomy.structures import StructureSettings, build_structure_network
from lymphct.anatomy.tumor import TumorSettings, build_tumor_network
from lymphct.attention.mapping import PAPER_BANDS, Band, Bands
from lymphct.cascade.alignment import Intensity
from lymphct.cascade.description import BundleInfo
from lymphct.core.arrays import Vector3
from lymphct.core.errors import LeakageError, ModelError
from lymphct.core.patient import Notice
from lymphct.core.settings import Settings
from lymphct.core.terms import STRUCTURES_BY_NAME, Phase
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.io.models.bundles import Bundle, read_bundle
from lymphct.learning.devices import chosen_device
from lymphct.learning.inference_settings import InferenceChoice, resolved_precision
from lymphct.learning.segmentation import SegmentationTrainingSettings
from lymphct.learning.unet import SegmentationNetwork
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.prediction import MetastasisSettings, build_status_network
from lymphct.nodes.identification import IdentificationSettings, build_identification_network
from lymphct.nodes.network import IdentificationNetwork, NodeNetwork
from lymphct.nodes.segmentation import NodeSegmentationSettings, build_node_network

N = TypeVar("N", bound=nn.Module)
S = TypeVar("S", bound=Settings)
G = TypeVar("G", bound=SegmentationTrainingSettings)


@dataclass(frozen=True, slots=True)
class Trained(Generic[N, S]):
    """A network with the settings it was trained with."""

    network: N
    settings: S


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Everything a bundle brings; a part that was not trained is None."""

    info: BundleInfo
    digest: str
    structures: Trained[SegmentationNetwork, StructureSettings] | None
    tumor: Trained[SegmentationNetwork, TumorSettings] | None
    nodes: Trained[NodeNetwork, NodeSegmentationSettings] | None
    identification: Trained[IdentificationNetwork, IdentificationSettings] | None
    metastasis: Trained[StatusNetwork, MetastasisSettings] | None

    @property
    def spacing(self) -> Vector3:
        """Voxel spacing of the working grid, mm."""
        return self.info.spacing

    @property
    def intensity(self) -> Intensity:
        """Intensity statistics of each phase."""
        return {
            Phase(name): IntensityStatistics(s.low, s.high, s.mean, s.sd)
            for name, s in self.info.intensity.items()
        }

    @property
    def bands(self) -> Bands:
        """Distance bands around the structures; those of Tab. II where the bundle has none."""
        stored = {STRUCTURES_BY_NAME[n]: Band(b.d_min, b.d_max) for n, b in self.info.bands.items()}
        return stored or PAPER_BANDS

    def running(self, choice: InferenceChoice) -> Self:
        """Return the same models, slid over patients as a user chose."""
        return replace(
            self,
            structures=_running(self.structures, choice),
            tumor=_running(self.tumor, choice),
            nodes=_running(self.nodes, choice),
        )

    def require_unseen(self, patient_id: str) -> None:
        """Refuse to evaluate a patient the bundle was fitted on (METHOD §9).

        Raises:
            LeakageError: it was.

        """
        if self.info.has_seen(patient_id):
            msg = "the bundle was fitted on this patient"
            raise LeakageError(msg, cure="evaluate on other patients").at(patient=patient_id)


@cache
def models_in(folder: Path, device: str) -> Models:
    """Return the networks of a bundle's folder, read once in a process.

    Args:
        folder: of the bundle.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ModelError: the bundle is refused.

    """
    return load_models(read_bundle(folder), chosen_device(device))


def _running(part: Trained[N, G] | None, choice: InferenceChoice) -> Trained[N, G] | None:
    if part is None:
        return None
    inference = choice.applied(part.settings.inference)
    return Trained(part.network, part.settings.model_copy(update={"inference": inference}))


def inference_notices(models: Models) -> list[Notice]:
    """Say where networks are run otherwise than over the whole image, in float32, by torch."""
    said = {}
    if models.nodes is not None and models.nodes.settings.inference.mode == "box":
        text = "lymph nodes: windows over the box of the attention only"
        said["inference_box"] = Notice(code="inference_box", text=text, value="box")
    for part in (models.structures, models.tumor, models.nodes):
        if part is None:
            continue
        settings = part.settings.inference
        precision = resolved_precision(settings.precision, next(part.network.parameters()).device)
        if precision != "float32":
            text = f"sliding windows were computed in {precision}, not in float32"
            said["inference_precision"] = Notice(code="inference_precision", text=text, value=precision)
        if settings.backend != "torch":
            text = f"sliding windows were computed by {settings.backend}, not by torch"
            said["inference_backend"] = Notice(code="inference_backend", text=text, value=settings.backend)
    return list(said.values())


def load_models(bundle: Bundle, device: torch.device) -> Models:
    """Rebuild the networks of a bundle and load their weights.

    Raises:
        ModelError: weights and architecture do not belong together.

    """
    return Models(
        info=bundle.info,
        digest=bundle.digest,
        structures=_part(bundle, "structures", device, StructureSettings, build_structure_network),
        tumor=_part(bundle, "tumor", device, TumorSettings, build_tumor_network),
        nodes=_part(bundle, "nodes", device, NodeSegmentationSettings, build_node_network),
        identification=_part(
            bundle, "identification", device, IdentificationSettings, build_identification_network
        ),
        metastasis=_part(bundle, "metastasis", device, MetastasisSettings, build_status_network),
    )


def _part(
    bundle: Bundle, name: str, device: torch.device, kind: type[S], build: Callable[[S], N]
) -> Trained[N, S] | None:
    if name not in bundle.weights:
        return None
    architecture: Mapping[str, Any] = bundle.info.parts[name].architecture  # type: ignore[index] # a known part
    try:
        settings = kind.model_validate(architecture)
        network = build(settings)
        network.load_state_dict(bundle.weights[name])
    except (ValidationError, RuntimeError) as error:
        msg = f"the part {name} does not fit its description: {str(error).splitlines()[0][:100]}"
        raise ModelError(msg, cure="use a bundle made by this version") from error
    network.to(device).eval()
    return Trained(network, settings)


def tensor_names(bundle: Bundle) -> dict[str, list[str]]:
    """Return the names of the tensors each part must have, from its architecture."""
    models = load_models(bundle, torch.device("cpu"))
    return {
        name: list(trained.network.state_dict())
        for name in bundle.weights
        if (trained := getattr(models, name)) is not None
    }
