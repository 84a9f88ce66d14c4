"""A trained nnU-Net as a part of a bundle, or as what stage 1 starts from (`lymphct import nnunet`)."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError
from torch import Tensor

from lymphct.anatomy.settings import StructureSettings, TumorSettings
from lymphct.anatomy.structures import CLASSES
from lymphct.attention.bands import bands_of
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import new_description
from lymphct.cascade.parts import Part
from lymphct.cascade.sight import Sight, intensity_of
from lymphct.cascade.stages import STAGES
from lymphct.config import Config
from lymphct.core.errors import LeakageError, ModelError
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.settings import Settings
from lymphct.core.terms import PHANTOM_NOTICE, REGISTRATION_METHODS, StageName
from lymphct.io.models.bundle_reading import CARD_FILE, LARGEST_INFO
from lymphct.io.models.bundles import read_bundle, update_bundle_part, write_bundle
from lymphct.io.nnunet.checkpoint import Checkpoint
from lymphct.io.nnunet.conversion import (
    as_node_network,
    channels_in,
    require_one_class,
    strict_weights,
    structure_rows,
    wanted_channels,
    with_classes,
    with_phases,
)
from lymphct.io.nnunet.folders import FINAL, NnunetFolder
from lymphct.io.nnunet.plans import Channel, NnunetPlan
from lymphct.io.results.disk import read_bounded
from lymphct.io.results.fingerprints import code_version
from lymphct.learning.settings import SamplingSettings, UNetSettings
from lymphct.learning.weights import as_stored
from lymphct.nodes.settings import HeadSettings, NodeSegmentationSettings

logger = logging.getLogger(__name__)

PartName = Literal["structures", "tumor", "nodes"]

SAME_SPACING: Final = 0.005
"""mm by which two spacings may differ and be one: nnU-Net's median of rounded headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NnunetImport:
    """What to import.

    Attributes:
        folder: results folder of nnU-Net, or of one fold in it.
        bundle: is made, or receives the part.
        part: what it becomes; None as our export noted.
        fold: which; None takes the first there is.
        checkpoint: name of the file.
        channels: what each input channel is; None as our export noted.
        config: how phases are registered, where the export did not note it.
        name: of a new bundle.

    """

    folder: Path
    bundle: Path
    part: PartName | None = None
    fold: str | None = None
    checkpoint: str = FINAL
    channels: tuple[Channel, ...] | None = None
    config: Config
    name: str = "nnunet"


def import_nnunet(request: NnunetImport) -> Path:
    """Write the network into a bundle and return its folder; other parts of the bundle stay.

    Raises:
        ModelError: the folder is no nnU-Net, the checkpoint is unsafe, what it computes cannot be said by a
            network of ours, or the bundle works at another spacing.
        EnvironmentProblemError: torch is too old to open a foreign checkpoint.

    """
    place = NnunetFolder.at(request.folder, request.fold, request.checkpoint)
    plan, found = place.read()
    part, channels = _part(request, place, plan, found)
    present = read_bundle(request.bundle).info if (request.bundle / "bundle.json").exists() else None
    info = _new_info(request, plan, channels) if present is None else present
    _require_fits(info, plan)
    without_arterial = "arterial" not in channels and (present is None or present.phase_dropout)
    described = part.described(info.salt)
    text = _card(request, plan, part, place)
    if present is None:
        info = info.model_copy(update={"parts": {part.stage: described}, "phase_dropout": without_arterial})
        write_bundle(request.bundle, info, {part.stage: part.weights}, text)
    else:
        card = read_bounded(request.bundle / CARD_FILE, LARGEST_INFO).decode("utf-8", "replace")
        changes: dict[str, Any] = {"phase_dropout": without_arterial}
        if plan.ours.get("is_phantom"):
            changes |= {"is_phantom": True, "notice": PHANTOM_NOTICE}
        update_bundle_part(
            request.bundle,
            part.stage,
            described,
            part.weights,
            changes,
            card=lambda _: f"{card.rstrip()}\n\n{_section(plan, part, place)}\n",
        )
    logger.info("%s: %s of %s, fold %s", part.stage, plan.configuration, plan.name, place.fold)
    return request.bundle


def _part(
    request: NnunetImport, place: NnunetFolder, plan: NnunetPlan, found: Checkpoint
) -> tuple[Part, tuple[Channel, ...]]:
    stage = StageName(request.part or _noted_part(plan))
    channels = channels_in(plan, request.channels)
    settings = _settings(stage, plan, channels)
    has_attention = stage is StageName.NODES and "attention" in channels
    weights = with_phases(
        strict_weights(found.tensors, plan), plan, channels, wanted_channels(attention=has_attention)
    )
    if stage is StageName.STRUCTURES:
        weights = with_classes(weights, structure_rows(plan), CLASSES)
    else:
        require_one_class(plan, stage)
    if stage is StageName.NODES:
        weights = as_node_network(weights, len(plan.unet.features) - 1)
    STAGES[stage].build(settings).load_state_dict(weights, strict=True)
    roles = place.roles(plan)
    phases = {c: plan.statistics(n) for n, c in enumerate(channels) if c != "attention"}
    train = FittedOn.of(roles.train if roles else ())
    part = Part(
        stage=stage,
        settings=settings,
        weights=as_stored(weights),
        train=train,
        # Only of another checkpoint than the last one nnU-Net chose the epoch on those it keeps out.
        validation=FittedOn.of(roles.validation if roles and place.checkpoint != FINAL else ()),
        sight=Sight(phases=intensity_of(phases), foreground=stage.value, fitted_on=train),  # type: ignore[arg-type] # one of the three
        extra={"nnunet": source_record(place, plan, found, channels), "patients_known": roles is not None},
    )
    return part, channels


def _noted_part(plan: NnunetPlan) -> str:
    noted = plan.ours.get("target")
    if noted not in {"structures", "tumor", "nodes"}:
        msg = (
            "nothing says what the network finds"
            if noted is None
            else f"it finds {noted}, which no part does"
        )
        raise ModelError(msg, code="E_NNUNET_CLASSES", cure="say it: --as structures, tumor or nodes")
    return str(noted)


def _settings(stage: StageName, plan: NnunetPlan, channels: Sequence[Channel]) -> Settings:
    sampling = SamplingSettings(patch_size=plan.patch_size, informative_negatives=False)
    try:
        if stage is StageName.STRUCTURES:
            return StructureSettings(unet=plan.unet, sampling=sampling)
        if stage is StageName.TUMOR:
            return TumorSettings(unet=plan.unet, sampling=sampling)
        heads = HeadSettings(
            use_attention=False, extra_block=False, attention_channel="attention" in channels
        )
        return NodeSegmentationSettings(unet=plan.unet, sampling=sampling, heads=heads)
    except ValidationError as error:
        msg = f"its plan makes no network: {error.errors(include_url=False, include_input=False)[0]['msg']}"
        raise ModelError(msg[:200], code="E_NNUNET", cure="copy plans.json again") from error


def source_record(
    place: NnunetFolder, plan: NnunetPlan, found: Checkpoint, channels: Sequence[Channel]
) -> dict[str, Any]:
    """Return what a bundle says of the nnU-Net behind a part."""
    return {
        "dataset": plan.name,
        "configuration": plan.configuration,
        "trainer": str(found.facts.get("trainer", "")),
        "fold": place.fold,
        "epochs": int(found.facts.get("epoch", 0)),
        "channels": list(channels),
        "sha256": found.digest,
    }


def _new_info(request: NnunetImport, plan: NnunetPlan, channels: Sequence[Channel]) -> BundleInfo:
    noted = plan.ours.get("registration")
    method = noted if noted in REGISTRATION_METHODS else request.config.registration.method
    is_phantom = bool(plan.ours.get("is_phantom"))
    try:
        imaging = type(request.config.imaging)(spacing=plan.spacing, sizes_at="grid")
    except ValidationError as error:
        sizes = " × ".join(f"{size:g}" for size in plan.spacing)
        msg = f"a grid of {sizes} mm is none of ours (0.3 to 10 mm)"
        raise ModelError(msg, code="E_NNUNET", cure="is this a network for CT of the abdomen?") from error
    registration = request.config.registration.model_copy(
        update={"method": method if "arterial" in channels else "none"}
    )
    config = request.config.model_copy(update={"imaging": imaging, "registration": registration})
    salt = "phantom-nnunet" if is_phantom else secrets.token_hex(16)
    info = new_description(
        request.name, Learned(bands=bands_of(config.attention)), config, salt=salt, is_phantom=is_phantom
    )
    return info.model_copy(update={"code_version": code_version()})


def _require_fits(info: BundleInfo, plan: NnunetPlan) -> None:
    if any(abs(a - b) > SAME_SPACING for a, b in zip(info.spacing, plan.spacing, strict=True)):
        msg = f"the bundle works at {info.spacing} mm, the network at {plan.spacing} mm"
        raise ModelError(
            msg, code="E_SPACING", cure="import it into a bundle of its own, or plan it at that spacing"
        )


def _card(request: NnunetImport, plan: NnunetPlan, part: Part, place: NnunetFolder) -> str:
    warning = f"**{PHANTOM_NOTICE}**\n\n" if plan.ours.get("is_phantom") else ""
    return (
        f"# {request.name}\n\n{warning}For research. Not a medical device.\n\n{_section(plan, part, place)}\n"
    )


def _section(plan: NnunetPlan, part: Part, place: NnunetFolder) -> str:
    source: Mapping[str, Any] = part.extra["nnunet"]  # type: ignore[assignment] # made by `source_record`
    taught = (
        f"{len(part.train.ids)} patients, whose hashed ids are listed"
        if part.extra["patients_known"]
        else ("patients that are not known here: nothing keeps it from being tested on them")
    )
    return (
        f"## {part.stage}: imported from nnU-Net\n\n"
        f"{plan.name}, {plan.configuration}, trainer {source['trainer']}, fold {place.fold}, "
        f"{source['epochs']} epochs; checkpoint SHA-256 {source['sha256']}. Channels "
        f"{', '.join(source['channels'])}. Taught by {taught}. Its licence is that of the network and of the "
        "data it learned from; nothing here changes it. Images are resampled and cleaned our way, so "
        "results differ a little from nnU-Net's own; the network itself computes the same."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """What stage 1 starts from instead of random weights.

    Attributes:
        tensors: of encoder and decoder; heads are left out.
        taught_by: patients it learned from, as far as they are known.
        record: what the bundle says of it.

    """

    tensors: Mapping[str, Tensor]
    taught_by: frozenset[str]
    record: Mapping[str, Any]


def read_backbone(path: Path, settings: NodeSegmentationSettings, roles: Roles) -> Backbone:
    """Return encoder and decoder of a trained nnU-Net for stage 1.

    Channels are those our export noted; else two are taken for A, V and one for V.

    Args:
        path: results folder, or folder of a fold.
        settings: of stage 1, on the working grid.
        roles: who teaches stage 1, and who chooses.

    Raises:
        ModelError: no nnU-Net, unsafe, or another architecture than `settings` has.
        LeakageError: it learned from a patient on whom stage 1 is chosen.

    """
    place = NnunetFolder.at(path)
    plan, found = place.read()
    require_same_network(plan.unet, settings.unet)
    guess: tuple[Channel, ...] = ("arterial", "venous") if len(plan.schemes) > 1 else ("venous",)
    channels = channels_in(plan, None if plan.ours.get("channels") else guess)
    wanted = wanted_channels(attention=settings.heads.attention_channel)
    weights = with_phases(strict_weights(found.tensors, plan), plan, channels, wanted)
    known = place.roles(plan)
    taught = frozenset(known.train if known else ())
    both = sorted(taught & set(roles.validation))
    if both:
        msg = f"stage nodes would be chosen on this patient, from whom the nnU-Net learned ({len(both)} such)"
        raise LeakageError(msg, cure="take the fold of `export nnunet --split plan`").at(patient=both[0])
    return Backbone(
        tensors={n: tensor for n, tensor in weights.items() if not n.startswith("decoder.seg_layers.")},
        taught_by=taught,
        record={**source_record(place, plan, found, channels), "patients_known": known is not None},
    )


def require_same_network(theirs: UNetSettings, ours: UNetSettings) -> None:
    """Refuse weights for another network than is to be trained.

    Raises:
        ModelError: names the first setting that differs and what would make it fit.

    """
    read = ["features", "strides", "encoder", "kernel_sizes"]
    read.append("residual_blocks" if theirs.encoder == "residual" else "convolutions_per_stage")
    for name in read:
        here, there = getattr(ours, name), getattr(theirs, name)
        if name == "residual_blocks":
            here = here[: len(theirs.features)]
        if here != there:
            value = (
                "null" if there is None else str(there).replace("(", "[").replace(")", "]").replace(" ", "")
            )
            msg = f"the nnU-Net has {name} {there}, nodes.unet has {here}"
            cure = f"--set nodes.unet.{name}={value} --set imaging.sizes_at=grid, or another nnU-Net"
            raise ModelError(msg, code="E_ARCHITECTURE", cure=cure)
