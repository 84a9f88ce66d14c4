"""Training of a segmentation network, shared by structures, tumor and lymph nodes."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from lymphct.learning.batches import Batch, RawBatch
from lymphct.learning.cases import TrainingCase
from lymphct.learning.losses import IGNORED, DeepSupervisionLoss
from lymphct.learning.patches import PatchSampler
from lymphct.learning.settings import LossSettings, SegmentationTrainingSettings
from lymphct.learning.training import EpochRecord, Told, TrainingState, train
from lymphct.learning.validation import mean_dice, patch_dice, validation_sampler

logger = logging.getLogger(__name__)


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
        cases: training patients; no more of them is read than the patches that are drawn.
        validation: patients scored by patches or windows; may be empty, then the last weights count.
        settings: patches, loss, optimiser, inference.
        seed: of patches and augmentation.
        state: a state of the same training to go on from.
        told: called with the number of iterations done.

    Yields:
        One record per epoch, with the share of patches that were drawn again; the state counts them.

    Raises:
        InputError: no training case, or attention given for some only.
        LearningStoppedError: loss or gradient stay not finite.

    """
    sampler = PatchSampler(without_untaught(cases), settings.sampling, settings.augmentation, seed)
    if state is not None:
        sampler.count_on(state.meta)
    on_device = is_augmented_on_device(settings.augmentation.augment_on, next(network.parameters()).device)
    next_batch: Callable[[int], Batch | RawBatch] = sampler.raw_batch if on_device else sampler.batch
    drawn, rejected = sampler.drawn, sampler.rejected
    records = train(
        network,
        next_batch,
        batch_loss(settings.loss),
        settings.training,
        validate=_validation(validation, settings, seed),
        state=state,
        told=told,
    )
    for record in records:
        share = (sampler.rejected - rejected) / max(sampler.drawn - drawn, 1)
        drawn, rejected = sampler.drawn, sampler.rejected
        meta = {**record.state.meta, "drawn": drawn, "rejected": rejected}
        yield replace(record, rejected_share=share, state=replace(record.state, meta=meta))
    logger.info(
        "%.1f %% of %d patches were drawn again: no attention, or no foreground where it was wanted",
        100 * sampler.rejected_share,
        sampler.drawn,
    )


def without_untaught(cases: Sequence[TrainingCase]) -> Sequence[TrainingCase]:
    """Return the same cases, in which classes that nobody drew anywhere are background everywhere.

    Background would else stand for them in every patch, and a network that may call it by either name uses
    the name of what nobody showed it (decision 0040). Classes that somebody drew stay open in the others.
    """
    if any(case.labelled is None for case in cases):
        return cases
    taught = {label for case in cases for label in case.labelled or ()}
    known = []
    for case in cases:
        open_here = taught.difference(case.labelled or ())
        everything = tuple(label for label in range(1, IGNORED) if label not in open_here)
        known.append(replace(case, labelled=everything if open_here else None))
    return known


def is_augmented_on_device(augment_on: str, device: torch.device) -> bool:
    """Return whether patches are finished where the network is: `auto` leaves it to GPUs."""
    return augment_on == "device" or (augment_on == "auto" and device.type != "cpu")


def batch_loss(settings: LossSettings) -> Callable[[nn.Module, Batch | RawBatch], Tensor]:
    """Return the loss of a network on a batch, with deep supervision."""
    criterion = DeepSupervisionLoss(settings)

    def loss(network: nn.Module, batch: Batch | RawBatch) -> Tensor:
        there = batch.to(next(network.parameters()).device)
        return criterion(network(there.image, there.attention), there.labels.long(), there.labelled)

    return loss


def _validation(
    cases: Sequence[TrainingCase], settings: SegmentationTrainingSettings, seed: int
) -> Callable[[nn.Module], float] | None:
    if not cases:
        return None
    if settings.validate_on == "windows":
        return partial(mean_dice, cases=cases[: settings.validation_cases], settings=settings)
    return partial(patch_dice, sampler=validation_sampler(cases, settings, seed), settings=settings)
