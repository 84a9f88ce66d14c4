"""Settings of sliding a network over a patient: those a bundle has, and what a user chooses instead."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from lymphct.core.settings import Settings

Precision = Literal["auto", "gpu", "float32", "bfloat16", "float16"]
Mode = Literal["exact", "box"]
Backend = Literal["auto", "torch", "openvino"]
Grid = Literal["even", "few"]


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
    windows: Grid = "even"
    """even: nnU-Net's grid. few: where heads multiply by attention, windows lie so that few have any, still
    at most `step` apart, but elsewhere, which moves borders. Not stated in the paper (decision 0034)."""
    skip_without_attention: bool = True
    """Run one window without attention for all of them, whose logits are equal; changes no logit
    (Sec. III-A.1). Only for networks whose heads multiply by the attention."""
    mode: Mode = "exact"
    """exact: windows over the whole image. box: over the box of the attention only, several times faster,
    with other windows near the box's border. Not stated in the paper; exact is nnU-Net's grid."""
    precision: Precision = "float32"
    """Of the network's arithmetic; sums stay float32. auto: bfloat16 where the processor has instructions
    for it, float32 elsewhere; gpu: bfloat16 on a GPU that has it, float32 on any CPU. In bfloat16 logits move
    by some hundredths, near borders by more. Not stated in the paper; float32 gives every machine the same
    calls (on a GPU torch may take TF32 for it)."""
    backend: Backend = "torch"
    """Library that runs the network; openvino is an extra, for CPUs. auto: openvino there where it is
    installed; logits then differ from torch's by at most 0.001. Not stated in the paper."""


class InferenceChoice(Settings):
    """How a user wants it rather than as the bundle says; empty values leave it to the bundle."""

    mode: Mode | None = None
    """Of stage 1, the only network with attention. Not stated in the paper; the bundle decides."""
    windows: Grid | None = None
    """Of stage 1, the only network with attention. Not stated in the paper; the bundle decides."""
    precision: Precision | None = "gpu"
    """Of all sliding networks; float32 keeps the exact values. Not stated in the paper (decision 0034)."""
    backend: Backend | None = "auto"
    """Of all sliding networks; torch gives every machine the same calls. Not stated in the paper."""
    window_batch: PositiveInt | None = None
    """Windows per forward pass of all sliding networks. Not stated in the paper; the bundle decides."""
    mirroring: bool | None = None
    """For networks trained on mirrored images only. Not stated in the paper; the bundle decides."""

    def applied(self, settings: InferenceSettings) -> InferenceSettings:
        """Return the settings with what was chosen."""
        return settings.model_copy(update=self.model_dump(exclude_none=True))
