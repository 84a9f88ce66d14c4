"""How networks are slid over patients: in training, in the bundle, and as a user wants it on one machine."""

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from lymphct.core.settings import Settings

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Mode = Literal["exact", "box"]
Backend = Literal["torch", "openvino"]


class InferenceSettings(Settings):
    """How a network is slid over a patient."""

    step: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Largest step between windows as a share of the patch. Not stated in the paper; nnU-Net's value."""
    gaussian_sigma: PositiveFloat = 0.125
    """Width of the Gaussian weight as a share of the patch. Not stated in the paper; nnU-Net's value."""
    window_batch: PositiveInt = 2
    """Windows per forward pass. Not stated in the paper; decides speed and memory, 2 is fastest on a CPU,
    a GPU takes more. Large patches go through a CPU one by one, whatever this says."""
    mirroring: bool = False
    """Average over the eight mirrored versions. Not stated in the paper; off, as it costs eightfold time."""
    skip_without_attention: bool = True
    """Run one window without attention for all of them, whose logits are equal; changes no logit
    (Sec. III-A.1). Only for networks whose heads multiply by the attention."""
    mode: Mode = "exact"
    """exact: windows over the whole image. box: over the box of the attention only, several times faster,
    with other windows near the box's border. Not stated in the paper; exact is nnU-Net's grid."""
    precision: Precision = "float32"
    """Of the network's arithmetic; sums stay float32. auto: bfloat16 where the processor has instructions
    for it, float32 elsewhere; logits then move by some hundredths, near borders by more. Not stated in the
    paper; float32 gives every machine the same calls (on a GPU torch may take TF32 for it)."""
    backend: Backend = "torch"
    """Library that runs the network; openvino is an extra, for CPUs. Not stated in the paper."""


class InferenceChoice(Settings):
    """What a user wants otherwise than the bundle says; empty values leave it to the bundle."""

    mode: Mode | None = None
    """Of stage 1, the only network with attention. Not stated in the paper; the bundle decides."""
    precision: Precision | None = None
    """Of all sliding networks. Not stated in the paper; the bundle decides."""
    backend: Backend | None = None
    """Of all sliding networks. Not stated in the paper; the bundle decides."""
    window_batch: PositiveInt | None = None
    """Windows per forward pass of all sliding networks. Not stated in the paper; the bundle decides."""
    mirroring: bool | None = None
    """For networks trained on mirrored images only. Not stated in the paper; the bundle decides."""

    def applied(self, settings: InferenceSettings) -> InferenceSettings:
        """Return the settings with what was chosen."""
        return settings.model_copy(update=self.model_dump(exclude_none=True))


def resolved_precision(precision: Precision, device: torch.device) -> Precision:
    """Replace `auto` by what the device is fast at."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16: AVX512-BF16 or AMX, or a GPU's own."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of torch do not tell; slow and right is better than guessed.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
