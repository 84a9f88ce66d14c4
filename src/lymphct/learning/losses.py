"""Tversky loss, cross entropy and their sum over the scales of deep supervision (Eq. 3 to Eq. 5)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lymphct.learning.settings import LossSettings

IGNORED = 255
"""Label of voxels without annotation; they count in no loss and in no score."""


def tversky_loss(probabilities: Tensor, labels: Tensor, settings: LossSettings) -> Tensor:
    """Return −(2·TP + ε)/(2·TP + α·FP + β·FN + ε), soft counts over the whole batch (Eq. 3).

    Args:
        probabilities: (b, classes, …) in [0, 1]; class 0 is background and has no term of its own.
        labels: (b, …) class numbers; voxels of value 255 are left out.
        settings: α, β, ε and the foreground classes to average over.

    Returns:
        A value in [−1, 0]; finite, also its gradient, when no voxel is foreground.

    """
    known = labels != IGNORED
    fractions, present = [], []
    for number, channel in enumerate(probabilities.unbind(1)[1:], start=1):
        truth = labels == number
        true_positive = (channel * truth).sum()
        size = truth.sum()
        false_positive = (channel * known).sum() - true_positive
        false_negative = size - true_positive
        overlap = 2.0 * true_positive + settings.epsilon
        errors = settings.tversky_alpha * false_positive + settings.tversky_beta * false_negative
        fractions.append(overlap / (overlap + errors))
        present.append(size > 0)
    fraction = torch.stack(fractions)
    if settings.average_over == "all":
        return -fraction.mean()
    chosen = torch.stack(present)
    chosen = chosen | ~chosen.any()  # an empty batch has all classes: false positives still count
    return -(fraction * chosen).sum() / chosen.sum()


def cross_entropy(log_probabilities: Tensor, labels: Tensor, positive_voxel_weight: float = 1.0) -> Tensor:
    """Return the mean cross entropy of the labelled voxels (Eq. 4); 0 when none is labelled.

    Args:
        log_probabilities: (b, classes, …) natural logarithms.
        labels: (b, …) class numbers, 255 where unlabelled.
        positive_voxel_weight: weight of foreground voxels; the mean is divided by the sum of weights.

    """
    weights = log_probabilities.new_full((log_probabilities.shape[1],), positive_voxel_weight)
    weights[0] = 1.0
    total = nn.functional.nll_loss(log_probabilities, labels, weights, ignore_index=IGNORED, reduction="sum")
    known = (labels != IGNORED).sum()
    positive = known - (labels == 0).sum()
    mass = known + (positive_voxel_weight - 1.0) * positive
    return total / mass.clamp(min=1.0)


def segmentation_loss(logits: Tensor, labels: Tensor, settings: LossSettings) -> Tensor:
    """Return L = L_CE + L_T of one scale (Eq. 5); logits (b, classes, …), labels (b, …)."""
    log_probabilities = nn.functional.log_softmax(logits.float(), dim=1)
    entropy = cross_entropy(log_probabilities, labels, settings.positive_voxel_weight)
    overlap = tversky_loss(log_probabilities.exp(), labels, settings)
    return settings.cross_entropy_weight * entropy + settings.tversky_weight * overlap


def deep_supervision_weights(scales: int) -> tuple[float, ...]:
    """Return 1, ½, ¼ …, the lowest of several scales 0, divided by their sum (nnU-Net).

    >>> [round(weight, 3) for weight in deep_supervision_weights(3)]
    [0.667, 0.333, 0.0]
    """
    raw = [0.5**scale for scale in range(scales)]
    if scales > 1:
        raw[-1] = 0.0
    return tuple(weight / sum(raw) for weight in raw)


def labels_at(labels: Tensor, shape: Sequence[int]) -> Tensor:
    """Pick the label nearest to the centre of each voxel of a coarser scale (b, k, j, i)."""
    for axis, size in enumerate(shape, start=1):
        step = labels.shape[axis] // size
        if step > 1:
            picked = torch.arange((step - 1) // 2, labels.shape[axis], step, device=labels.device)
            labels = labels.index_select(axis, picked)
    return labels


class DeepSupervisionLoss:
    """The weighted sum of `segmentation_loss` over the scales of a network."""

    def __init__(self, settings: LossSettings) -> None:
        self.settings = settings

    def __call__(self, logits: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return the loss of logits (b, classes, k, j, i), finest first, against labels (b, k, j, i)."""
        weights = deep_supervision_weights(len(logits))
        terms = [
            weight * segmentation_loss(scale, labels_at(labels, scale.shape[2:]), self.settings)
            for weight, scale in zip(weights, logits, strict=True)
            if weight > 0
        ]
        return torch.stack(terms).sum()
