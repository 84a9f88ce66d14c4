"""Tversky loss, cross entropy and their sum over the scales of deep supervision (Eq. 3 to Eq. 5)."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from lymphct.learning.settings import LossSettings

IGNORED = 255
"""Label of voxels without annotation; they count in no loss and in no score."""


def labelled_classes(drawn: Sequence[Collection[int] | None]) -> Tensor | None:
    """Return which classes the patients of a batch show, (b, 255) bool by label; None where all show all.

    Args:
        drawn: per patch the foreground classes that were drawn there; None for all of them.

    """
    if all(classes is None for classes in drawn):
        return None
    labelled = torch.zeros(len(drawn), IGNORED, dtype=torch.bool)
    for row, classes in zip(labelled, drawn, strict=True):
        row[torch.tensor([0, *(range(IGNORED) if classes is None else classes)])] = True
    return labelled


def tversky_loss(
    probabilities: Tensor, labels: Tensor, settings: LossSettings, labelled: Tensor | None = None
) -> Tensor:
    """Return −(2·TP + ε)/(2·TP + α·FP + β·FN + ε), soft counts over the whole batch (Eq. 3).

    Args:
        probabilities: (b, classes, …) in [0, 1]; class 0 is background and has no term of its own.
        labels: (b, …) class numbers; voxels of value 255 are left out.
        settings: α, β, ε and the foreground classes to average over.
        labelled: (b, at least classes) bool, the classes drawn in each patch; None for all. A class counts in
            the patches that show it, and is left out of the average where none does.

    Returns:
        A value in [−1, 0]; finite, also its gradient, when no voxel is foreground.

    """
    known = labels != IGNORED
    fractions, present = [], []
    for number, channel in enumerate(probabilities.unbind(1)[1:], start=1):
        judged = known if labelled is None else known & _over(labels, labelled[:, number])
        truth = judged & (labels == number)
        true_positive = (channel * truth).sum()
        size = truth.sum()
        false_positive = (channel * judged).sum() - true_positive
        false_negative = size - true_positive
        overlap = 2.0 * true_positive + settings.epsilon
        errors = settings.tversky_alpha * false_positive + settings.tversky_beta * false_negative
        fractions.append(overlap / (overlap + errors))
        present.append(size > 0)
    fraction = torch.stack(fractions)
    drawn = None if labelled is None else labelled[:, 1 : len(fractions) + 1].any(0)
    if settings.average_over == "all":
        return -fraction.mean() if drawn is None else -_mean_of(fraction, drawn)
    chosen = torch.stack(present)
    # An empty batch has all classes: false positives still count.
    chosen = chosen | (~chosen.any() if drawn is None else drawn & ~chosen.any())
    return -_mean_of(fraction, chosen)


def _over(labels: Tensor, per_patch: Tensor) -> Tensor:
    """Bring one value per patch into the shape of a batch of labels (b, …)."""
    return per_patch.reshape(-1, *(1,) * (labels.ndim - 1))


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values; 0 where none is."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def with_merged_background(log_probabilities: Tensor, labelled: Tensor) -> Tensor:
    """Let background stand for itself and for every class that was not drawn, patch by patch.

    Where nobody drew the spleen, "background" says that a voxel is none of the drawn classes: its probability
    is the sum over background and those classes (the marginal loss of partially labelled data sets).

    Args:
        log_probabilities: (b, classes, …) natural logarithms.
        labelled: (b, at least classes) bool.

    Returns:
        The same with another class 0; the classes that were not drawn stay, and no label may name them.

    """
    merged = ~labelled[:, : log_probabilities.shape[1]]
    merged[:, 0] = True
    merged = merged.reshape(*merged.shape, *(1,) * (log_probabilities.ndim - 2))
    background = log_probabilities.masked_fill(~merged, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([background, log_probabilities[:, 1:]], dim=1)


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


def segmentation_loss(
    logits: Tensor, labels: Tensor, settings: LossSettings, labelled: Tensor | None = None
) -> Tensor:
    """Return L = L_CE + L_T of one scale (Eq. 5).

    Args:
        logits: (b, classes, …).
        labels: (b, …) class numbers, 255 where nobody looked.
        settings: weights of both terms.
        labelled: (b, at least classes) bool, the classes drawn in each patch; None for all (decision 0038).

    """
    log_probabilities = nn.functional.log_softmax(logits.float(), dim=1)
    merged = log_probabilities if labelled is None else with_merged_background(log_probabilities, labelled)
    entropy = cross_entropy(merged, labels, settings.positive_voxel_weight)
    overlap = tversky_loss(log_probabilities.exp(), labels, settings, labelled)
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

    def __call__(self, logits: Sequence[Tensor], labels: Tensor, labelled: Tensor | None = None) -> Tensor:
        """Return the loss of logits (b, classes, k, j, i), finest first, against labels (b, k, j, i).

        `labelled` says which classes were drawn in each patch, see `segmentation_loss`.
        """
        weights = deep_supervision_weights(len(logits))
        terms = [
            weight * segmentation_loss(scale, labels_at(labels, scale.shape[2:]), self.settings, labelled)
            for weight, scale in zip(weights, logits, strict=True)
            if weight > 0
        ]
        return torch.stack(terms).sum()
