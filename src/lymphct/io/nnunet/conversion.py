"""nnU-Net's weights as ours: every tensor used, none missing, axes along k, j, i, channels of our phases.

What cannot be said exactly by a network of ours is refused; what can is said by zeros: a phase it does not
look at gets weights of 0, a structure it does not know a logit that never wins (decision 0044).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from lymphct.core.errors import ModelError
from lymphct.core.terms import STRUCTURES_BY_NAME
from lymphct.io.images.label_names import structure_named
from lymphct.io.nnunet.plans import Channel, NnunetPlan
from lymphct.learning.unet import SegmentationNetwork, from_nnunet

if TYPE_CHECKING:
    from torch import Tensor

NEVER: Final = -10_000.0
"""Logit of a class the network does not know; its probability is 0 in float16 as well."""

_PHASES: Final[tuple[Channel, ...]] = ("arterial", "venous")
_FIRST_CONVOLUTION: Final = {
    "plain": "encoder.stages.0.0.convs.0.conv.weight",
    "residual": "encoder.stem.convs.0.conv.weight",
}


def channels_in(plan: NnunetPlan, given: Sequence[Channel] | None) -> tuple[Channel, ...]:
    """Return what each input channel of a network is: as the user says, else as our export noted.

    Raises:
        ModelError: nobody said, or another number of channels than the network has.

    """
    noted = plan.ours.get("channels")
    channels = tuple(given) if given else tuple(noted) if isinstance(noted, list) else ()
    count = len(plan.schemes)
    if not channels:
        msg = f"the network has {count} channels, and its dataset.json does not say which is which phase"
        raise ModelError(msg, code="E_CHANNELS", cure="say it: --channels A,V or V")
    if len(channels) != count:
        msg = f"the network has {count} channels, --channels names {len(channels)} ({','.join(channels)})"
        raise ModelError(msg, code="E_CHANNELS", cure="name each channel: A, V or attention")
    if "attention" in channels and plan.schemes[channels.index("attention")] != "NoNormalization":
        msg = "the attention channel was normalised in training"
        raise ModelError(msg, code="E_CHANNELS", cure="name it noNorm in dataset.json and train again")
    return channels


def strict_weights(weights: Mapping[str, "Tensor"], plan: NnunetPlan) -> dict[str, "Tensor"]:
    """Return the tensors of `SegmentationNetwork` with the channels and classes of the nnU-Net, axes k, j, i.

    Raises:
        ModelError: a tensor is missing, unknown, of another shape, or two that must be equal differ.

    """
    cleaned = from_nnunet(weights)
    _require_same_twice(weights, cleaned)
    turned = {name: _turned(tensor, plan) for name, tensor in cleaned.items()}
    expected = SegmentationNetwork(len(plan.schemes), plan.heads, plan.unet).state_dict()
    odd = sorted(set(expected) ^ set(turned))
    if odd:
        what = "is missing" if odd[0] in expected else "has no place in the network of plans.json"
        msg = f"the tensor {odd[0][:80]} {what} ({len(odd)} such tensors)"
        raise ModelError(msg, code="E_KEYS", cure="take plans.json and checkpoint from one training")
    for name, tensor in expected.items():
        if tensor.shape != turned[name].shape:
            msg = (
                f"the tensor {name} has shape {tuple(turned[name].shape)}, plans.json makes it "
                f"{tuple(tensor.shape)}"
            )
            raise ModelError(msg, code="E_KEYS", cure="take plans.json and checkpoint from one training")
    return turned


def _require_same_twice(weights: Mapping[str, "Tensor"], cleaned: Mapping[str, "Tensor"]) -> None:
    """Check what nnU-Net lists twice: the names that `from_nnunet` leaves out are those of kept tensors."""
    for raw, tensor in weights.items():
        name = raw.removeprefix("module.").removeprefix("_orig_mod.").removeprefix("decoder.encoder.")
        if raw.removeprefix("module.").removeprefix("_orig_mod.").startswith("decoder.encoder."):
            name = f"encoder.{name}"
        name = name.replace(".all_modules.0.", ".conv.").replace(".all_modules.1.", ".norm.")
        kept = cleaned.get(name)
        if kept is None or kept.shape != tensor.shape or not bool((kept == tensor).all()):
            msg = f"the tensor {raw[:80]} is unknown, or differs from {name[:80]}, whose second name it is"
            raise ModelError(msg, code="E_KEYS", cure="take a checkpoint that nnU-Net wrote")


def _turned(tensor: "Tensor", plan: NnunetPlan) -> "Tensor":
    """Return a kernel with its axes in the order z, y, x of the file, which is k, j, i."""
    if tensor.ndim != 5:
        return tensor
    back = np.argsort(plan.transpose)
    return tensor.permute(0, 1, *(2 + int(axis) for axis in back)).contiguous()


def with_phases(
    weights: Mapping[str, "Tensor"], plan: NnunetPlan, channels: Sequence[Channel], wanted: Sequence[Channel]
) -> dict[str, "Tensor"]:
    """Return the weights for other input channels: those the network does not know get zeros.

    Raises:
        ModelError: the network looks at a channel that is not wanted.

    """
    lost = [channel for channel in channels if channel not in wanted]
    if lost:
        msg = f"the network looks at the {lost[0]}, which there is no channel for here"
        raise ModelError(msg, code="E_CHANNELS", cure="train it without, or use it for lymph nodes")
    name = _FIRST_CONVOLUTION[plan.unet.encoder]
    first = weights[name]
    spread = first.new_zeros((first.shape[0], len(wanted), *first.shape[2:]))
    for place, channel in enumerate(channels):
        spread[:, wanted.index(channel)] = first[:, place]
    return {**weights, name: spread}


def wanted_channels(*, attention: bool) -> tuple[Channel, ...]:
    """Return the channels of our networks in their order."""
    return (*_PHASES, "attention") if attention else _PHASES


def structure_rows(plan: NnunetPlan) -> tuple[int, ...]:
    """Return our label number of each class of the network, background first.

    Raises:
        ModelError: a class is none of our structures, or two are the same.

    """
    rows = [0]
    for name, _ in _classes(plan):
        structure = structure_named(name)
        if structure is None or int(structure) in rows:
            msg = f"the class {name[:60]!r} is none of the {len(STRUCTURES_BY_NAME)} structures, or one twice"
            cure = "predict with it through nnunet:FOLDER, or train it on structures of ours"
            raise ModelError(msg, code="E_NNUNET_CLASSES", cure=cure)
        rows.append(int(structure))
    return tuple(rows)


def require_one_class(plan: NnunetPlan, what: str) -> None:
    """Refuse a network that tells more than background and one class apart.

    Raises:
        ModelError: it does.

    """
    names = [name for name, _ in _classes(plan)]
    if len(names) != 1:
        msg = f"the network tells {len(names)} classes apart ({', '.join(names)[:80]}), a {what} part one"
        cure = "predict with it through nnunet:FOLDER, or train it on the one class"
        raise ModelError(msg, code="E_NNUNET_CLASSES", cure=cure)


def _classes(plan: NnunetPlan) -> list[tuple[str, int]]:
    found = sorted(
        ((name, number) for name, number in plan.labels.items() if number and name != "ignore"),
        key=lambda item: item[1],
    )
    if [number for _, number in found] != list(range(1, plan.heads)):
        msg = f"its label numbers are not 1 to {len(found)}"
        raise ModelError(msg, code="E_NNUNET_CLASSES", cure="copy dataset.json again")
    return found


def with_classes(weights: Mapping[str, "Tensor"], rows: Sequence[int], classes: int) -> dict[str, "Tensor"]:
    """Return the weights with heads for `classes` classes; class n of the network becomes class `rows[n]`."""
    spread = dict(weights)
    for name, tensor in weights.items():
        if not name.startswith("decoder.seg_layers."):
            continue
        is_bias = name.endswith(".bias")
        wide = tensor.new_full((classes, *tensor.shape[1:]), NEVER if is_bias else 0.0)
        wide[list(rows)] = tensor
        spread[name] = wide
    return spread


def as_node_network(weights: Mapping[str, "Tensor"], scales: int) -> dict[str, "Tensor"]:
    """Return the weights under the names of stage 1 without attention heads: `unet.*`, `heads.N.last.*`."""
    named = {}
    for name, tensor in weights.items():
        if name.startswith("decoder.seg_layers."):
            place, kind = name.removeprefix("decoder.seg_layers.").split(".")
            named[f"heads.{scales - 1 - int(place)}.last.{kind}"] = tensor
        else:
            named[f"unet.{name}"] = tensor
    return named
