"""Training of a segmentation network, shared by structures, tumor and lymph nodes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from lymphct.learning.cases import TrainingCase
from lymphct.learning.inference import sliding_window_labels
from lymphct.learning.losses import IGNORED, DeepSupervisionLoss, labelled_classes
from lymphct.learning.patches import Batch, PatchSampler
from lymphct.learning.settings import LossSettings, SegmentationTrainingSettings
from lymphct.learning.training import EpochRecord, Told, TrainingState, train


def fit_segmentation(  # noqa: PLR0913 - seed and state are keywords that name their role
    network: nn.Module,
    cases: Sequence[TrainingCase],
    validation: Sequence[TrainingCase],
    settings: SegmentationTrainingSettings,
    *,
    seed: int,
    state: TrainingState | None = None,
    told: Told | None = None,
) -> Iterator[EpochRecord]:
    """Train a network on patches; keep the weights with the best mean Dice on the validation patients.

    Args:
        network: `network(image, attention)` returns logits per scale, finest first; trained in place.
        cases: training patients.
        validation: patients scored by sliding windows; may be empty, then the last weights count.
        settings: patches, loss, optimiser, inference.
        seed: of patches and augmentation.
        state: a state of the same training to go on from.
        told: called with the number of iterations done.

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
        told=told,
    )


def batch_loss(settings: LossSettings) -> Callable[[nn.Module, Batch], Tensor]:
    """Return the loss of a network on a batch, with deep supervision."""
    criterion = DeepSupervisionLoss(settings)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        there = batch.to(next(network.parameters()).device)
        return criterion(network(there.image, there.attention), there.labels, there.labelled)

    return loss


def mean_dice(
    network: nn.Module, cases: Sequence[TrainingCase], settings: SegmentationTrainingSettings
) -> float:
    """Return the Dice of each foreground class over the voxels of all cases together, averaged over classes.

    Pooling the voxels lets patients without a class count its false positives; where a class was not drawn,
    the patient does not count for it. Classes neither drawn nor found are left out; 1 when that is all of
    them.
    """
    if not cases:
        return 1.0
    overlap, mass = torch.zeros(2, IGNORED, dtype=torch.int64)
    for case in cases:
        labels = sliding_window_labels(
            network,
            np.asarray(case.image),
            None if case.attention is None else np.asarray(case.attention),
            settings.sampling.patch_size,
            settings.inference,
        )
        table = _confusion(labels.long(), torch.as_tensor(np.asarray(case.labels).astype("int64")))
        drawn = labelled_classes([case.labelled])
        counts = torch.stack([table.diagonal(), table.sum(0) + table.sum(1)])
        overlap, mass = torch.stack([overlap, mass]) + (counts if drawn is None else counts * drawn)
    overlap, mass = overlap[1:], mass[1:]
    seen = mass > 0
    return float((2.0 * overlap[seen] / mass[seen]).mean()) if bool(seen.any()) else 1.0


def _confusion(prediction: Tensor, truth: Tensor) -> Tensor:
    """Count voxels by drawn and found label, both below `IGNORED`."""
    known = truth != IGNORED
    pairs = truth[known] * IGNORED + prediction[known]
    return torch.bincount(pairs, minlength=IGNORED * IGNORED).reshape(IGNORED, IGNORED)
