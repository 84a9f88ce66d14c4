"""What a network is shown in one iteration: finished patches, or raw ones and what was drawn for them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lymphct.learning.augmentation import IntensityChanges, PatchPlace, image_on_device, intensities_on_device
from lymphct.learning.cutting import Reading


@dataclass(frozen=True, slots=True)
class Batch:
    """Patches for one iteration.

    Attributes:
        image: (b, c, k, j, i) float32.
        labels: (b, k, j, i) uint8.
        attention: (b, 1, k, j, i) float32 in [0, 1]; None when the cases have none.
        labelled: (b, 255) bool, the classes drawn in the patient of each patch; None when all are in all.

    """

    image: Tensor
    labels: Tensor
    attention: Tensor | None
    labelled: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        attention = None if self.attention is None else self.attention.to(device, non_blocking=True)
        labelled = None if self.labelled is None else self.labelled.to(device, non_blocking=True)
        image, labels = self.image.to(device, non_blocking=True), self.labels.to(device, non_blocking=True)
        return Batch(image, labels, attention, labelled)


@dataclass(frozen=True, slots=True)
class PatchSource:
    """One image as it was read, and what becomes of it.

    Attributes:
        image: (c, k, j, i) the box that was read, HU or normalised.
        place: of the patch in the box.
        readings: how each channel is normalised.
        intensities: changes that were drawn.
        is_empty: channels that are 0 in the end.

    """

    image: Tensor
    place: PatchPlace
    readings: tuple[Reading, ...]
    intensities: IntensityChanges
    is_empty: tuple[bool, ...]

    def patch(self, device: torch.device) -> Tensor:
        """Return the finished patch (c, k, j, i), made on a device."""
        there = self.image.to(device, non_blocking=True)
        channels = [
            image_on_device(there[number : number + 1], self.place, how if isinstance(how, float) else (how,))
            for number, how in enumerate(self.readings)
        ]
        patch = intensities_on_device(torch.cat(channels), self.intensities)
        for channel, is_empty in zip(patch, self.is_empty, strict=True):
            if is_empty:
                channel.zero_()
        return patch


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A batch whose images are finished where the network is.

    Labels and attention are finished: they decided whether the patch counts.

    Attributes:
        sources: image of each patch.
        labels: (b, k, j, i) uint8.
        attention: (b, 1, k, j, i) float32 in [0, 1]; None when the cases have none.
        labelled: (b, 255) bool, the classes drawn in the patient of each patch; None when all are in all.

    """

    sources: tuple[PatchSource, ...]
    labels: Tensor
    attention: Tensor | None
    labelled: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Make the patches on a device; they equal those of `PatchSampler.batch` within 1e-4."""
        image = torch.stack([source.patch(device) for source in self.sources])
        return Batch(image, self.labels, self.attention, self.labelled).to(device)
