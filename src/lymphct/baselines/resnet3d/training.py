"""How ResNet3D-18 learns: the draws, augmentation and loop of the status network, on boxes (Sec. IV-E)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lymphct.core.arrays import FloatArray
from lymphct.core.evidence import Evidence, Patches
from lymphct.learning.augmentation import (
    PatchPlace,
    change_intensity,
    cut_image,
    cut_labels,
    draw_spatial,
)
from lymphct.learning.settings import AugmentationSettings
from lymphct.metastasis.sampling import by_status, drawn
from lymphct.metastasis.settings import StatusSamplingSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxCase:
    """What a patient teaches: a box (3, k, j, i) and the N status, 1 or 0."""

    patient: str
    box: Patches
    n_status: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxBatch:
    """Boxes (b, 3, k, j, i) and statuses (b,), 0 or 1."""

    boxes: Tensor
    n_status: Tensor

    def to(self, device: torch.device) -> "BoxBatch":
        """Return the batch on a device."""
        return BoxBatch(
            boxes=self.boxes.to(device, non_blocking=True),
            n_status=self.n_status.to(device, non_blocking=True),
        )


def box_cases(evidence: Sequence[Evidence]) -> list[BoxCase]:
    """Return what is learned from; patients without status or without a box are left out."""
    return [
        BoxCase(patient=item.patient, box=item.crop, n_status=item.clinical.n_status)
        for item in evidence
        if item.crop is not None and item.clinical.n_status is not None
    ]


class BoxSampler:
    """Draws batches, half N+ and half N-; batch n depends on the seed and n alone.

    Raises:
        InputError: the cases are not of both classes.

    """

    def __init__(
        self,
        cases: Sequence[BoxCase],
        sampling: StatusSamplingSettings,
        augmentation: AugmentationSettings,
        seed: int,
    ) -> None:
        self._groups = by_status(cases)
        self._sampling, self._augmentation, self._seed = sampling, augmentation, seed

    def batch(self, iteration: int) -> BoxBatch:
        """Draw half the batch from each class and augment it."""
        rng = np.random.default_rng((self._seed, iteration))
        cases = drawn(self._groups, self._sampling.batch_size // 2, rng)
        boxes = np.stack([augmented(as_box(case.box), self._augmentation, rng) for case in cases])
        boxes[rng.random(len(cases)) < self._sampling.phase_dropout, 0] = 0.0
        return BoxBatch(
            boxes=torch.from_numpy(boxes), n_status=torch.tensor([case.n_status for case in cases])
        )


def as_box(stored: Patches) -> FloatArray:
    """Read a box as numbers of single precision."""
    return np.array(stored, dtype=np.float32)


def augmented(box: FloatArray, settings: AugmentationSettings, rng: np.random.Generator) -> FloatArray:
    """Rotate, scale and mirror a box (3, k, j, i) about its middle, then change the values of the CT.

    The lowest value of a channel, the lower clip value, comes in from outside; the mask stays 0 or 1.
    """
    size = (box.shape[1], box.shape[2], box.shape[3])
    transform = draw_spatial(settings, rng)
    k, j, i = ((n - m) // 2 for n, m in zip(size, transform.source_size(size), strict=True))
    place = PatchPlace((k, j, i), size, transform)
    ct, mask = box[:2], box[2]
    floor = ct.min(axis=(1, 2, 3), keepdims=True)
    moved = cut_image(ct - floor, place, 0.0) + floor
    changed = change_intensity(moved, settings, rng)
    return np.concatenate([changed, cut_labels(mask.astype(np.uint8), place)[None].astype(np.float32)])


def box_loss(network: nn.Module, batch: BoxBatch) -> Tensor:
    """Return the cross entropy of a batch."""
    on_device = batch.to(next(network.parameters()).device)
    return functional.cross_entropy(network(on_device.boxes).float(), on_device.n_status)


def predict_box(network: nn.Module, box: Patches) -> float:
    """Return the probability of N+ a box (3, k, j, i) gives."""
    was_training = network.training
    network.eval()
    with torch.no_grad():
        image = torch.from_numpy(as_box(box))[None].to(next(network.parameters()).device)
        probability = float(torch.softmax(network(image).double(), dim=1)[0, 1])
    network.train(was_training)
    return probability
