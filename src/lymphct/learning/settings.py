"""Settings of the networks and of their training, shared by all stages; the defaults are nnU-Net's."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from lymphct.core.arrays import Index3
from lymphct.core.settings import Edge, Settings
from lymphct.learning.inference_settings import InferenceSettings

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Range = tuple[NonNegativeFloat, NonNegativeFloat]
Preset = Literal["none", "flips", "paper"]
PLAIN_STRIDE: Index3 = (1, 1, 1)


class UNetSettings(Settings):
    """Architecture of the U-Net, by default nnU-Net's plan for the patch 160×192×80 (Sec. IV-A.2)."""

    features: tuple[PositiveInt, ...] = (32, 64, 128, 256, 320, 320)
    """Feature channels per resolution, finest first. Not stated in the paper; nnU-Net's rule."""
    strides: tuple[tuple[PositiveInt, PositiveInt, PositiveInt], ...] = (
        (1, 1, 1),
        (2, 2, 2),
        (2, 2, 2),
        (2, 2, 2),
        (2, 2, 2),
        (2, 2, 1),
    )
    """Stride along i, j, k that leads to each resolution. Not stated in the paper; nnU-Net's rule."""
    convolutions_per_stage: PositiveInt = 2
    """3×3×3 convolutions per resolution. Not stated in the paper; nnU-Net's plain U-Net."""
    encoder: Literal["plain", "residual"] = "plain"
    """Not stated in the paper; nnU-Net's default is plain, residual is its ResEnc variant."""
    residual_blocks: tuple[PositiveInt, ...] = (1, 3, 4, 6, 6, 6)
    """Blocks per resolution of the residual encoder. Not stated in the paper; nnU-Net's ResEnc presets."""
    kernel_sizes: tuple[tuple[PositiveInt, PositiveInt, PositiveInt], ...] | None = None
    """Kernel along i, j, k of each resolution, odd; None: 3×3×3. Not stated in the paper; nnU-Net plans flat
    kernels for thick slices (decision 0044)."""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Where nothing is said of kernels, settings and bundles read as they did before it could be said.
        values: dict[str, Any] = handler(self)
        if self.kernel_sizes is None:
            values.pop("kernel_sizes", None)
        return values

    @model_validator(mode="after")
    def _resolutions_agree(self) -> Self:
        if len(self.features) < 2 or len(self.features) != len(self.strides):
            msg = (
                f"a U-Net needs at least two resolutions and one stride for each, "
                f"got {len(self.features)} feature counts and {len(self.strides)} strides"
            )
            raise ValueError(msg)
        if self.strides[0] != PLAIN_STRIDE:
            msg = f"the first stride must be (1, 1, 1) to keep the input's voxels, got {self.strides[0]}"
            raise ValueError(msg)
        kernels = self.kernel_sizes
        if kernels is not None and (
            len(kernels) != len(self.features) or not all(edge % 2 for kernel in kernels for edge in kernel)
        ):
            msg = f"kernel_sizes must name odd edges for each of {len(self.features)} resolutions"
            raise ValueError(msg)
        if self.encoder == "residual" and len(self.residual_blocks) < len(self.features):
            msg = f"residual_blocks names {len(self.residual_blocks)} of {len(self.features)} resolutions"
            raise ValueError(msg)
        return self

    @property
    def total_stride(self) -> Index3:
        """Factor along i, j, k between the image and the lowest resolution; patches are multiples of it."""
        i, j, k = (math.prod(axis) for axis in zip(*self.strides, strict=True))
        return i, j, k

    @property
    def decoder_convolutions(self) -> int:
        """Convolutions per decoder stage: as many as in the plain encoder, one beside a residual one."""
        return self.convolutions_per_stage if self.encoder == "plain" else 1


class SamplingSettings(Settings):
    """What a batch is made of (Sec. III-A.1, Sec. IV-A.2)."""

    patch_size: tuple[Edge, Edge, Edge] = (160, 192, 80)
    """Training sub-volume, voxels along i, j, k (Sec. IV-A.2)."""
    batch_size: PositiveInt = 2
    """Patches per iteration. Not stated in the paper; the default of nnU-Net."""
    foreground_fraction: Probability = 1 / 3
    """More than this share of a batch is centred on foreground. Not stated in the paper; nnU-Net's third."""
    informative_negatives: bool = True
    """Whether a patch must have some attention; it is decided on the final patch (Sec. III-A.1)."""
    min_attention_fraction: Probability = 0.0
    """Share of voxels with attention that a patch must exceed; 0 asks for one voxel (Sec. III-A.1)."""
    phase_dropout: Probability = 0.0
    """How often the arterial channel of a patch is emptied, so that patients without it can be predicted.
    Not stated in the paper; 0 is its way."""
    tries: Annotated[int, Field(ge=1)] = 20
    """Patches drawn before one is cut straight from the attention or foreground. Not stated in the paper."""

    @property
    def foreground_patches(self) -> int:
        """Patches of a batch that contain foreground: the smallest number above the fraction."""
        if self.foreground_fraction == 0:
            return 0
        return min(self.batch_size, int(self.batch_size * self.foreground_fraction) + 1)


class AugmentationSettings(Settings):
    """Probabilities and ranges of the random changes, by default those of nnU-Net (Sec. IV-A.2).

    nnU-Net's elastic deformation (off by default there) is left out (decision 0031).
    """

    augment_on: Literal["auto", "cpu", "device"] = "auto"
    """Where patches are cut and changed: by the processor, or where the network is. auto: on a GPU, if that
    is where the network is. Both give the same patches within 1e-4. Not stated in the paper."""
    mirror_axes: tuple[bool, bool, bool] = (True, True, True)
    """Whether i, j, k may be mirrored, each with probability ½. Not stated in the paper; nnU-Net."""
    rotation_probability: Probability = 0.2
    """Not stated in the paper; nnU-Net."""
    rotation_degrees: NonNegativeFloat = 30.0
    """Largest angle about each axis, in voxel space. Not stated in the paper; nnU-Net."""
    scaling_probability: Probability = 0.2
    """Not stated in the paper; nnU-Net."""
    scaling: Range = (0.7, 1.4)
    """Voxels of the image per voxel of the patch. Not stated in the paper; nnU-Net."""
    noise_probability: Probability = 0.1
    """Not stated in the paper; nnU-Net."""
    noise_deviation: Range = (0.0, 0.1)
    """Of Gaussian noise on z-scored intensities. Not stated in the paper; nnU-Net, which calls it variance
    but multiplies by it."""
    blur_probability: Probability = 0.2
    """Per patch, then ½ per channel. Not stated in the paper; nnU-Net."""
    blur_sigma: Range = (0.5, 1.0)
    """Voxels, for each axis another. Not stated in the paper; nnU-Net."""
    brightness_probability: Probability = 0.15
    """Not stated in the paper; nnU-Net."""
    brightness: Range = (0.75, 1.25)
    """Factor on each channel. Not stated in the paper; nnU-Net."""
    contrast_probability: Probability = 0.15
    """Not stated in the paper; nnU-Net."""
    contrast: Range = (0.75, 1.25)
    """Factor about each channel's mean, range kept. Not stated in the paper; nnU-Net."""
    low_resolution_probability: Probability = 0.25
    """Per patch, then ½ per channel. Not stated in the paper; nnU-Net."""
    low_resolution: tuple[Share, Share] = (0.5, 1.0)
    """Share of the voxels along each axis that are kept; those between are interpolated. Not stated in the
    paper; nnU-Net."""
    gamma_probability: Probability = 0.3
    """Not stated in the paper; nnU-Net."""
    inverted_gamma_probability: Probability = 0.1
    """Gamma on the inverted image. Not stated in the paper; nnU-Net."""
    gamma: Range = (0.7, 1.5)
    """Exponent on each channel, mean and SD kept. Not stated in the paper; nnU-Net."""

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, given: Any) -> Any:  # noqa: ANN401 - what pydantic hands over
        """Understand records from before there was low resolution, when noise was given by its variance."""
        if not isinstance(given, Mapping):
            return given
        settings = dict(given)
        match settings.get("noise_variance"):
            case [int() | float() as low, int() | float() as high] if min(low, high) >= 0:
                del settings["noise_variance"]
                # Where a record was merged over today's defaults, those stand beside it.
                settings["noise_deviation"] = (math.sqrt(low), math.sqrt(high))
                settings["low_resolution_probability"] = 0.0
        return settings

    @classmethod
    def preset(cls, name: Preset) -> "AugmentationSettings":
        """Return no augmentation, mirroring only (which costs nothing), or nnU-Net's."""
        if name == "paper":
            return cls()
        off = {field: 0.0 for field in cls.model_fields if field.endswith("_probability")}
        mirror = (True, True, True) if name == "flips" else (False, False, False)
        return cls.model_validate(off | {"mirror_axes": mirror})


class LossSettings(Settings):
    """The loss of a segmentation network: L = L_CE + L_T (Sec. III-A.1)."""

    tversky_alpha: NonNegativeFloat = 0.5
    """Weight of false positives (Eq. 3)."""
    tversky_beta: NonNegativeFloat = 1.5
    """Weight of false negatives; above alpha to raise recall (Eq. 3)."""
    epsilon: PositiveFloat = 1e-5
    """Keeps the fraction finite when nothing is there. Not stated in the paper; nnU-Net's value."""
    positive_voxel_weight: PositiveFloat = 1.0
    """Weight of foreground voxels in the cross entropy; 1 is Eq. 4, the authors' code has 4."""
    cross_entropy_weight: NonNegativeFloat = 1.0
    """Weight of the cross entropy in the sum (Eq. 5)."""
    tversky_weight: NonNegativeFloat = 1.0
    """Weight of the Tversky loss in the sum (Eq. 5)."""
    average_over: Literal["all", "present"] = "all"
    """Foreground classes the Tversky loss is averaged over: all, or those with a voxel in the batch.
    Not stated in the paper; all is nnU-Net's way, present suits many classes and small patches."""


class TrainingSettings(Settings):
    """The optimiser and its schedule, by default those of nnU-Net (Sec. III-A.1)."""

    epochs: PositiveInt = 1000
    """Not stated in the paper; nnU-Net."""
    iterations_per_epoch: PositiveInt = 250
    """Not stated in the paper; nnU-Net."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum, or AdamW, which needs far fewer iterations on small data. Not stated in the
    paper for segmentation; nnU-Net's is SGD."""
    learning_rate: PositiveFloat = 1e-2
    """At the end of the warm-up. Not stated in the paper for segmentation; nnU-Net."""
    momentum: Fraction = 0.99
    """Of SGD. Not stated in the paper for segmentation; nnU-Net."""
    weight_decay: NonNegativeFloat = 3e-5
    """Not stated in the paper for segmentation; nnU-Net."""
    schedule: Literal["poly", "cosine"] = "poly"
    """Decay of the learning rate over all iterations. Not stated in the paper; nnU-Net's is poly."""
    poly_power: PositiveFloat = 0.9
    """Exponent of the polynomial decay. Not stated in the paper; nnU-Net."""
    warmup_iterations: NonNegativeInt = 0
    """Iterations of linear rise before the decay. Not stated in the paper; nnU-Net has none."""
    gradient_clip: NonNegativeFloat = 12.0
    """Largest norm of the gradient; 0 = not clipped. Not stated in the paper; nnU-Net."""
    mixed_precision: bool = True
    """On a GPU: convolutions in bfloat16 (float16 with loss scaling where the GPU has none). Not stated in
    the paper; nnU-Net."""
    cpu_bfloat16: bool = False
    """On a CPU: convolutions in bfloat16, for processors that compute in it. Not stated in the paper."""
    channels_last: bool = False
    """Store channels innermost, an order some processors convolve faster. Not stated in the paper."""
    validate_every: PositiveInt = 1
    """Epochs between validations; the last epoch is always validated. Not stated in the paper."""
    score_momentum: Fraction = 0.0
    """Share of the past in the moving average of the score by which the best weights are kept; 0 = the
    score itself. Not stated in the paper; nnU-Net has 0.9."""
    judge_start: bool = False
    """Let validation patients judge the weights before the first step too, so that the best ones are never
    worse than the start. Not stated in the paper; off."""
    max_skipped: PositiveInt = 10
    """Steps in a row that may be left out because loss or gradient is not finite; then the training stops.
    Not stated in the paper; a single such step does no harm."""
    prefetch: Literal["auto"] | NonNegativeInt = "auto"
    """Threads that prepare batches ahead; changes no result. auto: on a GPU one per core, at most 8, on a CPU
    none, as the network keeps its cores busy. Not stated in the paper."""

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, values: Any) -> Any:  # noqa: ANN401 - whatever was given
        """Read `prefetch_threads`, the name in bundles and settings of version 0.1."""
        if isinstance(values, Mapping) and "prefetch_threads" in values:
            renamed = {name: value for name, value in values.items() if name != "prefetch_threads"}
            return {"prefetch": values["prefetch_threads"], **renamed}
        return values


class ClassifierTrainingSettings(TrainingSettings):
    """The optimiser of stage 2 and of the status network, as the paper prints it (Sec. IV-A.2)."""

    epochs: PositiveInt = 500
    """Not stated in the paper but in the authors' code."""
    iterations_per_epoch: PositiveInt = 50
    """Not stated in the paper; the authors' code has it for stage 2."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum (Sec. IV-A.2), or AdamW, which needs far fewer iterations on small data."""
    learning_rate: PositiveFloat = 5e-4
    """At the end of the warm-up (Sec. IV-A.2)."""
    momentum: Fraction = 0.95
    """Of SGD (Sec. IV-A.2)."""
    weight_decay: NonNegativeFloat = 1e-4
    """Of SGD or AdamW (Sec. IV-A.2)."""


class SegmentationTrainingSettings(Settings):
    """Everything that decides how a segmentation network is trained (Sec. IV-A.2)."""

    unet: UNetSettings = UNetSettings()
    """Architecture; nnU-Net's plan (Sec. III-A.1) for the patch of Sec. IV-A.2."""
    sampling: SamplingSettings = SamplingSettings()
    """Patches (Sec. III-A.1, Sec. IV-A.2)."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Not stated in the paper; nnU-Net's."""
    loss: LossSettings = LossSettings()
    """Eq. 3 to Eq. 5."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and schedule. Not stated in the paper for segmentation; nnU-Net's."""
    inference: InferenceSettings = InferenceSettings()
    """Sliding windows; nnU-Net's, without windows that have no attention (Sec. III-A.1)."""
    validate_on: Literal["patches", "windows"] = "patches"
    """What chooses the epoch, every `validate_every` epochs: patches: `validation_patches` of all validation
    patients, the same ones each time; windows: whole patients, `validation_cases` of them, which takes far
    longer. With patches, whole patients are scored once, when the training has ended. Not stated in the
    paper; nnU-Net scores patches, 100 new ones after each epoch."""
    validation_patches: PositiveInt = 50
    """Patches that are scored. Not stated in the paper; 50 take about 3 % of the time of nnU-Net's epoch of
    500 patches, as nothing is learned from them."""
    validation_cases: PositiveInt | None = None
    """The first so many validation patients are scored as a whole; None = all. Not stated in the paper."""

    @model_validator(mode="after")
    def _patch_fits_network(self) -> Self:
        total, size = self.unet.total_stride, self.sampling.patch_size
        if any(voxels % step for voxels, step in zip(size, total, strict=True)):
            msg = f"patch_size {size} must be a multiple of the network's total stride {total}"
            raise ValueError(msg)
        return self
