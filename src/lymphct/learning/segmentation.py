"""Training of a segmentation network, shared by structures, tumor and lymph nodes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Self

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from lymphct.core.settings import Settings
from lymphct.learning.augmentation import AugmentationSettings
from lymphct.learning.cases import TrainingCase
from lymphct.learning.inference import sliding_window_labels
from lymphct.learning.inference_settings import InferenceSettings
from lymphct.learning.losses import IGNORED, DeepSupervisionLoss, LossSettings
from lymphct.learning.patches import Batch, PatchSampler, SamplingSettings
from lymphct.learning.training import EpochRecord, TrainingSettings, TrainingState, train
from lymphct.learning.unet import UNetSettings


class SegmentationTrainingSettings(Settings):
    """Everything that decides how a segmentation network is trained (Sec. IV-A.2)."""

    unet: UNetSettings = UNetSettings()
    """Architecture; nnU-Net's plan (Sec. IV-A.2)."""
    sampling: SamplingSettings = SamplingSettings()
    """Patches (Sec. III-A.1, Sec. IV-A.2)."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Not stated in the paper; nnU-Net's."""
    loss: LossSettings = LossSettings()
    """Eq. 3 to Eq. 5."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and schedule; nnU-Net's (Sec. IV-A.2)."""
    inference: InferenceSettings = InferenceSettings()
    """Sliding windows; nnU-Net's, without windows that have no attention (Sec. III-A.1)."""
    validation_cases: PositiveInt | None = None
    """The first so many validation patients are scored; None = all. Not stated in the paper."""

    @model_validator(mode="after")
    def _patch_fits_network(self) -> Self:
        total, size = self.unet.total_stride, self.sampling.patch_size
        if any(voxels % step for voxels, step in zip(size, total, strict=True)):
            msg = f"patch_size {size} must be a multiple of the network's total stride {total}"
            raise ValueError(msg)
        return self


def fit_segmentation(  # noqa: PLR0913 - seed and state are keywords that name their role
    network: nn.Module,
    cases: Sequence[TrainingCase],
    validation: Sequence[TrainingCase],
    settings: SegmentationTrainingSettings,
    *,
    seed: int,
    state: TrainingState | None = None,
) -> Iterator[EpochRecord]:
    """Train a network on patches; keep the weights with the best mean Dice on the validation patients.

    Args:
        network: `network(image, attention)` returns logits per scale, finest first; trained in place.
        cases: training patients.
        validation: patients scored by sliding windows; may be empty, then the last weights count.
        settings: patches, loss, optimiser, inference.
        seed: of patches and augmentation.
        state: a state of the same training to go on from.

    Raises:
        InputError: no training case, or attention given for some only.
        LearningStoppedError: the loss is not finite.

    """
    sampler = PatchSampler(cases, settings.sampling, settings.augmentation, seed)
    scored = validation[: settings.validation_cases]
    validate = partial(mean_dice, cases=scored, settings=settings) if scored else None
    yield from train(
        network,
        sampler.batch,
        batch_loss(settings.loss),
        settings.training,
        validate=validate,
        state=state,
    )


def batch_loss(settings: LossSettings) -> Callable[[nn.Module, Batch], Tensor]:
    """Return the loss of a network on a batch, with deep supervision."""
    criterion = DeepSupervisionLoss(settings)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        there = batch.to(next(network.parameters()).device)
        return criterion(network(there.image, there.attention), there.labels)

    return loss


def mean_dice(
    network: nn.Module, cases: Sequence[TrainingCase], settings: SegmentationTrainingSettings
) -> float:
    """Return the Dice of each foreground class over the voxels of all cases together, averaged over classes.

    Pooling the voxels lets patients without a class count its false positives. Classes neither drawn nor
    found are left out; 1 when that is all of them.
    """
    counts: Tensor | None = None
    for case in cases:
        labels = sliding_window_labels(
            network, case.image, case.attention, settings.sampling.patch_size, settings.inference
        )
        table = _confusion(labels.long(), torch.as_tensor(case.labels.astype("int64")))
        counts = table if counts is None else counts + table
    if counts is None:
        return 1.0
    overlap, mass = counts.diagonal()[1:], (counts.sum(0) + counts.sum(1))[1:]
    seen = mass > 0
    return float((2.0 * overlap[seen] / mass[seen]).mean()) if bool(seen.any()) else 1.0


def _confusion(prediction: Tensor, truth: Tensor) -> Tensor:
    """Count voxels by drawn and found label, both below `IGNORED`."""
    known = truth != IGNORED
    pairs = truth[known] * IGNORED + prediction[known]
    return torch.bincount(pairs, minlength=IGNORED * IGNORED).reshape(IGNORED, IGNORED)
