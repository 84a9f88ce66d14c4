"""What an nnU-Net says of itself: `plans.json` and `dataset.json` of a results folder, checked.

nnU-Net lists sizes along the axes of its arrays: z, y, x of the file, reordered by `transpose_forward`. Here
everything is along i, j, k.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from pydantic import ValidationError

from lymphct.cascade.description import PhaseIntensity
from lymphct.core.arrays import Index3, Vector3
from lymphct.core.errors import InputError, ModelError
from lymphct.io.results.jsonfile import read_json
from lymphct.learning.settings import UNetSettings

Channel = Literal["arterial", "venous", "attention"]

PLANS_FILE, DATASET_FILE = "plans.json", "dataset.json"
OURS: Final = "lymphct"
"""Key of `dataset.json` under which `lymphct export nnunet` notes what an import needs."""

_PLAIN, _RESIDUAL = "PlainConvUNet", "ResidualEncoderUNet"
_OTHER_TOOL: Final = "predict with it through nnunet:FOLDER instead"


@dataclass(frozen=True, slots=True, kw_only=True)
class NnunetPlan:
    """One configuration of an nnU-Net, along i, j, k.

    Attributes:
        name: of the data set, such as `Dataset501_Structures`.
        configuration: such as `3d_fullres`.
        unet: architecture.
        patch_size: voxels.
        spacing: mm.
        transpose: nnU-Net's `transpose_forward`: which of z, y, x each axis of its arrays is.
        schemes: normalisation by channel, such as `CTNormalization`.
        intensity: statistics by channel, raw values of the fingerprint.
        labels: number by name, as the file has them.
        ours: what our export noted; empty for other data sets.

    """

    name: str
    configuration: str
    unet: UNetSettings
    patch_size: Index3
    spacing: Vector3
    transpose: tuple[int, int, int]
    schemes: tuple[str, ...]
    intensity: Mapping[str, Mapping[str, float]]
    labels: Mapping[str, int]
    ours: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heads(self) -> int:
        """Classes of the network, background among them; `ignore` is none."""
        return len([name for name in self.labels if name != "ignore"])

    def statistics(self, channel: int) -> PhaseIntensity:
        """Return how a CT channel is clipped and z-scored.

        Raises:
            ModelError: it is normalised otherwise, or its values are no HU of a foreground.

        """
        if self.schemes[channel] != "CTNormalization":
            _refuse(
                f"channel {channel} is normalised by {self.schemes[channel]}, a phase needs CTNormalization",
                "name the channels CT in dataset.json and train it again",
            )
        found = self.intensity.get(str(channel), {})
        try:
            return PhaseIntensity(
                low=found["percentile_00_5"],
                high=found["percentile_99_5"],
                mean=found["mean"],
                sd=found["std"],
            )
        except KeyError:
            _refuse(f"plans.json has no intensities of channel {channel}", "copy the folder again")
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            _refuse(f"the intensities of channel {channel} are none of a CT: {reason}", _OTHER_TOOL)


def read_plan(folder: Path, configuration: str | None = None) -> NnunetPlan:
    """Read the plan of a trained nnU-Net.

    Args:
        folder: `Trainer__Plans__Configuration`, with `plans.json`, `dataset.json` and `fold_X`.
        configuration: such as `3d_fullres`; None takes it from the folder's name.

    Raises:
        ModelError: no such folder, a file is missing or damaged, or the architecture is none of ours.

    """
    plans, dataset = _read(folder, PLANS_FILE), _read(folder, DATASET_FILE)
    name = configuration or folder.resolve().name.rpartition("__")[2]
    try:
        return _plan(plans, dataset, name)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        msg = f"not the plans of an nnU-Net v2 ({type(error).__name__}: {reason})"
        raise _error(msg, "give the folder Trainer__Plans__Configuration").at(file=PLANS_FILE) from error


def _read(folder: Path, name: str) -> dict[str, Any]:
    if not (folder / name).is_file():
        msg = f"no trained nnU-Net: the folder has no {name}"
        cure = "give the folder Trainer__Plans__Configuration, which holds plans.json and fold_0"
        raise _error(msg, cure, "E_NNUNET_FOLDER").at(file=folder.name)
    try:
        value = read_json(folder / name)
    except InputError as error:
        raise ModelError(error.cause, code=error.code, cure=error.cure).at(file=name) from error
    if not isinstance(value, dict):
        _refuse(f"{name} is not a table", "copy the folder again")
    return value


def _plan(plans: Mapping[str, Any], dataset: Mapping[str, Any], configuration: str) -> NnunetPlan:
    chosen = _resolved(plans["configurations"], configuration)
    if chosen.get("previous_stage"):
        _refuse(f"{configuration} needs the network {chosen['previous_stage']} before it", _OTHER_TOOL)
    if len(chosen["patch_size"]) != 3:
        _refuse(f"{configuration} is no 3-D configuration", "take 3d_fullres")
    forward = tuple(int(axis) for axis in plans["transpose_forward"])
    if sorted(forward) != [0, 1, 2]:
        _refuse(f"transpose_forward is {list(forward)}", "copy the folder again")
    transpose = (forward[0], forward[1], forward[2])
    spacing = chosen.get("spacing") or plans["original_median_spacing_after_transp"]
    labels, noted = dataset["labels"], dataset.get(OURS)
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in labels.values()):
        _refuse("its labels are regions of several numbers", _OTHER_TOOL)
    if any(chosen.get("use_mask_for_norm", ())):
        _refuse("it normalises within a mask", _OTHER_TOOL)
    return NnunetPlan(
        name=str(plans.get("dataset_name", "nnU-Net"))[:60],
        configuration=configuration,
        unet=_architecture(chosen, transpose),
        patch_size=_int3(chosen["patch_size"], transpose),
        spacing=_along_ijk([float(size) for size in spacing], transpose),
        transpose=transpose,
        schemes=tuple(str(scheme) for scheme in chosen["normalization_schemes"]),
        intensity=plans.get("foreground_intensity_properties_per_channel", {}),
        labels={str(name): int(number) for name, number in labels.items()},
        ours=noted if isinstance(noted, dict) else {},
    )


def _resolved(configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name not in configurations:
        known = ", ".join(sorted(configurations))[:120]
        _refuse(f"plans.json has no configuration {name[:40]!r}, only {known}", "keep nnU-Net's folder name")
    chosen, seen = dict(configurations[name]), {name}
    while parent := chosen.pop("inherits_from", None):
        if parent in seen:
            _refuse(f"the configuration {name} inherits from itself", "copy the folder again")
        seen.add(parent)
        chosen = {**configurations[parent], **chosen}
    return chosen


def _architecture(chosen: Mapping[str, Any], transpose: Index3) -> UNetSettings:
    network = chosen.get("architecture")
    if network is None:
        name, kwargs = str(chosen["UNet_class_name"]), _former(chosen)
    else:
        name, kwargs = str(network["network_class_name"]).rpartition(".")[2], network["arch_kwargs"]
        _require_common(kwargs)
    if name not in {_PLAIN, _RESIDUAL}:
        _refuse(f"the architecture {name[:60]} is neither {_PLAIN} nor {_RESIDUAL}", _OTHER_TOOL)
    is_residual = name == _RESIDUAL
    depth = int(kwargs["n_stages"])
    decoder = _each(kwargs["n_conv_per_stage_decoder"], depth - 1)
    blocks = _each(kwargs["n_blocks_per_stage" if is_residual else "n_conv_per_stage"], depth)
    if set(decoder) != ({1} if is_residual else {blocks[0]}) or (not is_residual and len(set(blocks)) > 1):
        _refuse(f"its stages have {list(blocks)} and {list(decoder)} convolutions", _OTHER_TOOL)
    kernels = [_int3(kernel, transpose) for kernel in _each(kwargs["kernel_sizes"], depth)]
    settings = {
        "features": tuple(kwargs["features_per_stage"]),
        "strides": tuple(_int3(stride, transpose) for stride in _each(kwargs["strides"], depth)),
        "convolutions_per_stage": 2 if is_residual else blocks[0],
        "encoder": "residual" if is_residual else "plain",
        "kernel_sizes": None if set(kernels) == {(3, 3, 3)} else tuple(kernels),
        **({"residual_blocks": tuple(blocks)} if is_residual else {}),
    }
    try:
        return UNetSettings.model_validate(settings)
    except ValidationError as error:
        _refuse(error.errors(include_url=False, include_input=False)[0]["msg"][:150], _OTHER_TOOL)


def _former(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that plans before nnU-Net 2.4 spread over the configuration."""
    kernels = chosen["conv_kernel_sizes"]
    base, most = int(chosen["UNet_base_num_features"]), int(chosen["unet_max_num_features"])
    encoder = chosen["n_conv_per_stage_encoder"]
    return {
        "n_stages": len(kernels),
        "features_per_stage": [min(base * 2**n, most) for n in range(len(kernels))],
        "kernel_sizes": kernels,
        "strides": chosen["pool_op_kernel_sizes"],
        "n_conv_per_stage": encoder,
        "n_blocks_per_stage": encoder,
        "n_conv_per_stage_decoder": chosen["n_conv_per_stage_decoder"],
    }


def _require_common(kwargs: Mapping[str, Any]) -> None:
    """Refuse what the two architectures may be told besides, and ours cannot be."""
    norm = kwargs.get("norm_op_kwargs") or {}
    is_common = (
        str(kwargs.get("conv_op", "Conv3d")).endswith("Conv3d")
        and str(kwargs.get("norm_op", "")).endswith("InstanceNorm3d")
        and str(kwargs.get("nonlin", "")).endswith("LeakyReLU")
        and not (set(kwargs.get("nonlin_kwargs") or {}) - {"inplace"})
        and kwargs.get("dropout_op") is None
        and kwargs.get("conv_bias") is True
        and norm.get("affine") is True
        and norm.get("eps", 1e-5) == 1e-5
        and not kwargs.get("nonlin_first")
        and not kwargs.get("squeeze_excitation")
        and not kwargs.get("stochastic_depth_p")
        and kwargs.get("bottleneck_channels") is None
        and kwargs.get("stem_channels") in {None, kwargs["features_per_stage"][0]}
    )
    if not is_common:
        _refuse("its layers are not nnU-Net's own (convolution, instance norm, LeakyReLU)", _OTHER_TOOL)


def _each(value: Any, count: int) -> list[Any]:  # noqa: ANN401 - numbers or lists of them
    values = [value] * count if isinstance(value, int) else list(value)
    if len(values) < count:
        msg = f"{len(values)} values for {count} stages"
        raise ValueError(msg)
    return values[:count]


def _along_ijk(values: Sequence[float], transpose: Index3) -> Vector3:
    """Return what is listed along nnU-Net's axes along i, j, k: x, y, z of the file."""
    found = dict(zip(transpose, values, strict=True))
    return found[2], found[1], found[0]


def _int3(value: Any, transpose: Index3) -> Index3:  # noqa: ANN401 - a number or three of them
    three = [value] * 3 if isinstance(value, int) else list(value)
    i, j, k = _along_ijk(three, transpose)
    return int(i), int(j), int(k)


def _refuse(cause: str, cure: str) -> NoReturn:
    raise _error(cause, cure)


def _error(cause: str, cure: str, code: str = "E_NNUNET") -> ModelError:
    return ModelError(cause, code=code, cure=cure)
