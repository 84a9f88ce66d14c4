"""One patient's images, ready for a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.volume import Volume
from lymphct.learning.lazy_array import NetworkImage, NetworkLabels
from lymphct.learning.tensors import to_network


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCase:
    """What a network learns from one patient; axes k, j, i.

    Attributes:
        patient: pseudonymous id.
        image: (c, k, j, i) normalised intensities, arterial before venous.
        labels: (k, j, i) class numbers; 255 where nobody drew.
        attention: (k, j, i) in [0, 1]; None for networks without attention.
        fill: normalised intensity outside the image, the lower clip value (decision 0017).
        labelled: foreground classes that were drawn; None for all. Background may hold the others.

    Raises:
        InputError: the images have different shapes, or the image has no channel axis.

    """

    patient: str
    image: NetworkImage
    labels: NetworkLabels
    attention: NetworkImage | None
    fill: float
    labelled: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        shapes = [self.image.shape[1:], self.labels.shape]
        shapes += [] if self.attention is None else [self.attention.shape]
        if self.image.ndim != 4 or len(set(shapes)) > 1:
            msg = (
                f"image {self.image.shape}, labels and attention {shapes[1:]} do not share one (k, j, i) grid"
            )
            raise InputError(msg, cure="give the image as (channel, k, j, i)").at(patient=self.patient)


def training_case(
    patient: str,
    channels: Sequence[Volume],
    labels: Volume,
    attention: Volume | None = None,
    fill: float | None = None,
) -> TrainingCase:
    """Bring the normalised phases, labels and attention of a patient into the order of the networks.

    Args:
        patient: pseudonymous id.
        channels: normalised phases on one grid, arterial before venous.
        labels: class numbers on the same grid.
        attention: attention map on the same grid.
        fill: normalised intensity outside the image; by default the lowest of the image, which is the
            lower clip value wherever there is air.

    Raises:
        GeometryMismatchError: an image lies on another grid than the first channel.

    """
    reference = channels[0]
    for channel in channels[1:]:
        channel.require_same_grid(reference, name="channel", reference="first channel")
    labels.require_same_grid(reference, name="label map", reference="image")
    if attention is not None:
        attention.require_same_grid(reference, name="attention map", reference="image")
    image = np.stack([to_network(channel.array.astype(np.float32, copy=False)) for channel in channels])
    return TrainingCase(
        patient=patient,
        image=image,
        labels=to_network(labels.array),
        attention=None if attention is None else to_network(attention.array.astype(np.float32, copy=False)),
        fill=float(image.min()) if fill is None else fill,
    )
