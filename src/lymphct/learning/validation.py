"""How good a network in training is: Dice on patches that stay the same, or on whole patients."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from lymphct.core.arrays import BoolArray, IntArray, LabelArray
from lymphct.imaging.label_pairs import label_confusion
from lymphct.learning.cases import TrainingCase
from lymphct.learning.devices import autocast
from lymphct.learning.inference import sliding_window_labels
from lymphct.learning.losses import IGNORED, labelled_classes
from lymphct.learning.patches import PatchSampler
from lymphct.learning.prefetching import prefetched, thread_count
from lymphct.learning.settings import AugmentationSettings, SegmentationTrainingSettings
from lymphct.learning.training import mixed_precision


def validation_sampler(
    cases: Sequence[TrainingCase], settings: SegmentationTrainingSettings, seed: int
) -> PatchSampler:
    """Return what draws the patches of validation patients: as in training, but unchanged and whole.

    Patients none of whom has attention are drawn from anywhere.
    """
    sampling = settings.sampling.model_copy(update={"phase_dropout": 0.0})
    if cases[0].attention is not None and sampling.informative_negatives:
        is_lit = any(len(case.attentive()) if case.attentive else np.any(case.attention) for case in cases)
        sampling = sampling.model_copy(update={"informative_negatives": is_lit})
    return PatchSampler(cases, sampling, AugmentationSettings.preset("none"), seed)


def patch_dice(network: nn.Module, sampler: PatchSampler, settings: SegmentationTrainingSettings) -> float:
    """Return the Dice of each foreground class over the voxels of fixed patches, averaged over classes.

    The patches are the first `validation_patches` that `sampler` draws, read anew each time so that they take
    no memory. Classes neither drawn nor found are left out; 1 when that is all of them.
    """
    device = next(network.parameters()).device
    numbers = range(math.ceil(settings.validation_patches / settings.sampling.batch_size))
    batches = prefetched(sampler.batch, numbers, thread_count(settings.training.prefetch, device))
    was_training = network.training
    network.eval()
    pairs = []
    with torch.inference_mode(), autocast(device, mixed_precision(settings.training, device)):
        for batch in batches:
            there = batch.to(device)
            logits = network(there.image, there.attention)[0]
            found = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
            truth = batch.labels.numpy()
            if batch.labelled is None:
                pairs.append(class_counts(found, truth))
            else:
                judged = batch.labelled.numpy()
                pairs += [class_counts(*patch) for patch in zip(found, truth, judged, strict=True)]
    network.train(was_training)
    return pooled_dice(pairs)


def mean_dice(
    network: nn.Module, cases: Sequence[TrainingCase], settings: SegmentationTrainingSettings
) -> float:
    """Return the Dice of each foreground class over the voxels of all cases together, averaged over classes.

    Pooling the voxels lets patients without a class count its false positives; where a class was not drawn,
    the patient does not count for it. Classes neither drawn nor found are left out; 1 when that is all of
    them. One patient is in memory at a time.
    """
    return pooled_dice(_whole_counts(network, case, settings) for case in cases)


def _whole_counts(network: nn.Module, case: TrainingCase, settings: SegmentationTrainingSettings) -> IntArray:
    labels = sliding_window_labels(
        network,
        case.normalized_image(),
        case.whole_attention(),
        settings.sampling.patch_size,
        settings.inference,
    )
    truth = np.asarray(case.labels).astype(np.uint8, copy=False)
    drawn = labelled_classes([case.labelled])
    return class_counts(labels.numpy(), truth, None if drawn is None else drawn[0].numpy())


def class_counts(prediction: LabelArray, truth: LabelArray, drawn: BoolArray | None = None) -> IntArray:
    """Count voxels by class, (2, 255): rightly found ones, and those found plus those that are true.

    Voxels that nobody labelled do not count.

    Args:
        prediction: class numbers.
        truth: class numbers; 255 where nobody looked.
        drawn: (255,) classes that were drawn; the others do not count. None = all.

    """
    pairs = label_confusion(prediction, truth)[:IGNORED, :IGNORED]
    counts = np.zeros((2, IGNORED), np.int64)
    counts[0, : len(pairs)] = pairs.diagonal()
    counts[1, : len(pairs)] = pairs.sum(0) + pairs.sum(1)
    return counts if drawn is None else counts * drawn


def pooled_dice(counts: Iterable[IntArray]) -> float:
    """Return the mean Dice over the classes above 0 that occur, of counts that are added up."""
    total: IntArray = sum(counts, np.zeros((2, IGNORED), np.int64))
    overlap, mass = total[:, 1:]
    seen = mass > 0
    return float((2.0 * overlap[seen] / mass[seen]).mean()) if seen.any() else 1.0
