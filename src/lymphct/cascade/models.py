"""The trained networks of a bundle, ready to predict."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, Self, TypeVar

import torch
from pydantic import ValidationError
from torch import nn

from lymphct.anatomy.settings import StructureSettings, TumorSettings
from lymphct.attention.bands import Bands
from lymphct.attention.prior import Prior
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.alignment import Intensity, normalized
from lymphct.cascade.description import BundleInfo, DistanceBand
from lymphct.cascade.learned import Learned
from lymphct.cascade.parts import Parts, Weights
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import described_phases
from lymphct.cascade.stages import STAGES, Stage
from lymphct.core.arrays import Vector3
from lymphct.core.errors import InputError, ModelError
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Multiphase, Notice
from lymphct.core.settings import Settings
from lymphct.core.terms import PHANTOM_NOTICE, StageName
from lymphct.learning.devices import resolved_backend, resolved_precision
from lymphct.learning.inference_settings import InferenceChoice
from lymphct.learning.settings import SegmentationTrainingSettings
from lymphct.learning.unet import SegmentationNetwork
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.settings import MetastasisSettings
from lymphct.nodes.network import IdentificationNetwork, NodeNetwork
from lymphct.nodes.settings import IdentificationSettings, NodeSegmentationSettings

_UNSAVED_SALT: Final = "models in memory"

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
    """Everything a bundle brings; a part that was not trained is None.

    `moved_from` holds the bundle's own value of each operating point that a user moved.
    """

    info: BundleInfo
    digest: str
    structures: Trained[SegmentationNetwork, StructureSettings] | None
    tumor: Trained[SegmentationNetwork, TumorSettings] | None
    nodes: Trained[NodeNetwork, NodeSegmentationSettings] | None
    identification: Trained[IdentificationNetwork, IdentificationSettings] | None
    metastasis: Trained[StatusNetwork, MetastasisSettings] | None
    moved_from: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        parts = ", ".join(name for name in STAGES if getattr(self, name) is not None) or "no part"
        return f"Models({self.info.name}: {parts}; {self.digest[:12] or 'not stored'})"

    @property
    def spacing(self) -> Vector3:
        """Voxel spacing of the working grid, mm."""
        return self.info.spacing

    def intensity(self, stage: StageName) -> Intensity:
        """Return the statistics of each phase by which the network of a stage sees it."""
        return Learned.of_bundle(self.info).sight(stage).phases

    def view(self, ct: Multiphase, stage: StageName) -> Multiphase:
        """Return phases in HU as the network of a stage sees them: clipped and z-scored (decision 0037)."""
        return normalized(ct, self.intensity(stage))

    @property
    def bands(self) -> Bands:
        """Distance bands around the structures; those of Tab. II where the bundle has none."""
        return Learned.of_bundle(self.info).bands

    @property
    def prior(self) -> Prior:
        """What makes the attention map: the bundle's atlas or trapezia where it has such, else the bands."""
        return Learned.of_bundle(self.info).prior

    def attending(self, settings: AttentionSettings) -> AttentionSettings:
        """Return settings of the attention map with what the networks were trained with."""
        if not self.info.suppress_other_organs:
            return settings
        return settings.model_copy(update={"suppress_other_organs": True})

    def running(self, choice: InferenceChoice) -> Self:
        """Return the same models, slid over patients as a user chose."""
        return replace(
            self,
            structures=_running(self.structures, choice),
            tumor=_running(self.tumor, choice),
            nodes=_running(self.nodes, choice),
        )

    @property
    def fitted_on(self) -> FittedOn:
        """Everybody from whom any network, threshold or statistic was learned."""
        return self.info.fitted_on_anybody

    def require_unseen(self, patient_id: str) -> None:
        """Refuse to evaluate a patient the models were fitted on (decision 0006).

        Raises:
            LeakageError: they were.

        """
        self.fitted_on.require_unseen(patient_id)


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
    elif models.nodes is not None and models.nodes.settings.inference.windows == "few":
        text = "lymph nodes: windows laid so that few of them have attention"
        said["inference_windows"] = Notice(code="inference_windows", text=text, value="few")
    for part in (models.structures, models.tumor, models.nodes):
        if part is None:
            continue
        settings = part.settings.inference
        device = next(part.network.parameters()).device
        precision = resolved_precision(settings.precision, device)
        if precision != "float32":
            text = f"sliding windows were computed in {precision}, not in float32"
            said["inference_precision"] = Notice(code="inference_precision", text=text, value=precision)
        backend = resolved_backend(settings.backend, device)
        if backend != "torch":
            text = f"sliding windows were computed by {backend}, not by torch"
            said["inference_backend"] = Notice(code="inference_backend", text=text, value=backend)
    return list(said.values())


def build_models(
    info: BundleInfo, weights: Mapping[StageName, Weights], device: torch.device, *, digest: str = ""
) -> Models:
    """Rebuild the networks that are described and load their weights.

    Args:
        info: description of a bundle.
        weights: tensors of each of its parts.
        device: on which the networks will run.
        digest: of the whole bundle; empty for models that were never stored.

    Raises:
        ModelError: weights and architecture do not belong together.

    """
    parts: dict[str, Any] = {
        name: _part(stage, info, weights[name], device) if name in weights else None
        for name, stage in STAGES.items()
    }
    return Models(info=info, digest=digest, **parts)


def _part(stage: Stage, info: BundleInfo, weights: Weights, device: torch.device) -> Trained[Any, Any]:
    try:
        settings = stage.settings.model_validate(info.parts[stage.name].architecture)
        network = stage.build(settings)
        network.load_state_dict(dict(weights))
    except (ValidationError, RuntimeError) as error:
        msg = f"the part {stage.name} does not fit its description: {_first_words(error)}"
        raise ModelError(msg, cure="use a bundle made by this version") from error
    network.to(device).eval()
    return Trained(network, settings)


def _first_words(error: ValidationError | RuntimeError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:100]
    # torch says in the first line that tensors differ, in the second which.
    return " ".join(line.strip() for line in str(error).splitlines()[:2])[:200]


def assembled(parts: Parts, learned: Learned, config: Config, device: torch.device) -> Models:
    """Return trained parts as models, without a disk between them; they know on whom they were fitted."""
    empty = new_description("unsaved", learned, config, salt=_UNSAVED_SALT, is_phantom=False)
    info = empty.model_copy(
        update={
            "parts": {name: part.described(empty.salt) for name, part in parts.items()},
            "thresholds": {name: value for part in parts.values() for name, value in part.thresholds.items()},
            "calibration": next((dict(p.calibration.value) for p in parts.values() if p.calibration), None),
        }
    )
    return build_models(info, {name: part.weights for name, part in parts.items()}, device)


def new_description(
    name: str, learned: Learned, config: Config, *, salt: str, is_phantom: bool
) -> BundleInfo:
    """Return the description of a bundle that has no part yet.

    Args:
        name: of the bundle.
        learned: intensities and bands of its parts.
        config: settings.
        salt: key of the hashes of patient ids.
        is_phantom: whether its patients are synthetic; then every result says so first.

    Raises:
        InputError: intensities that no foreground has, or a grid that is none.

    """
    try:
        return _new_description(name, learned, config, salt=salt, is_phantom=is_phantom)
    except ValidationError as error:
        msg = f"what was learned makes no bundle: {_first_words(error)}"
        cure = "check that the images are CT in HU and their structures drawn on them"
        raise InputError(msg, code="E_LEARNED", cure=cure) from error


def _new_description(
    name: str, learned: Learned, config: Config, *, salt: str, is_phantom: bool
) -> BundleInfo:
    for sight in learned.sights.values():
        sight.described(salt)  # refused here, before anything is trained
    return BundleInfo(
        name=name,
        salt=salt,
        spacing=config.imaging.spacing,
        registration=config.registration.method,
        intensity=described_phases(learned.intensity),
        bands={
            structure.label: DistanceBand(d_min=band.d_min, d_max=band.d_max)
            for structure, band in learned.bands.items()
        },
        atlas=learned.atlas,
        trapezia=learned.trapezia,
        suppress_other_organs=learned.suppress_other_organs or config.attention.suppress_other_organs,
        fitted_on={what: group.hashed(salt) for what, group in learned.fitted_on.items()},
        phase_dropout=config.nodes.sampling.phase_dropout > 0,
        is_phantom=is_phantom,
        notice=PHANTOM_NOTICE if is_phantom else "",
        code_version="",
    )
