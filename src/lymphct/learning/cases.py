"""One patient's images as a network learns from them: a handle, read patch by patch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray, IntArray
from lymphct.core.errors import InputError
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import IntensityStatistics, normalized_values
from lymphct.learning.lazy_array import NetworkImage, NetworkLabels
from lymphct.learning.tensors import to_network

BYTE: Final = 255
"""Value of a byte that stands for attention 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCase:
    """What a network learns from one patient; axes k, j, i. Images may lie on a disk until looked at.

    Attributes:
        patient: pseudonymous id.
        image: (c, k, j, i), arterial before venous: HU where `intensity` says how they are normalised, else
            intensities that are normalised already.
        labels: (k, j, i) class numbers; 255 where nobody drew.
        attention: (k, j, i) in [0, 1], or bytes of which 255 stands for 1; None for networks without.
        fill: what lies outside an image that is normalised already: of each channel, or one for all. Where
            `intensity` is given it is the lower clip value of each channel (decision 0017).
        intensity: statistics of each channel; None for a phase that was not acquired, which is 0 everywhere
            once normalised. None altogether where the image is normalised already.
        foreground: voxels of each class by its number, flat indices in C order of (k, j, i), on which patches
            are centred; looked for in the whole map where not given.
        attentive: voxels with attention likewise.
        labelled: foreground classes that were drawn; None for all. Background may hold the others.

    Raises:
        InputError: the images have different shapes, the image has no channel axis, or there is not one value
            for each channel.

    """

    patient: str
    image: NetworkImage
    labels: NetworkLabels
    attention: NetworkImage | None
    fill: float | tuple[float, ...] = 0.0
    intensity: tuple[IntensityStatistics | None, ...] | None = None
    foreground: Callable[[], Mapping[int, IntArray]] | None = None
    attentive: Callable[[], IntArray] | None = None
    labelled: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        shapes = [self.image.shape[1:], self.labels.shape]
        shapes += [] if self.attention is None else [self.attention.shape]
        if self.image.ndim != 4 or len(set(shapes)) > 1:
            msg = (
                f"image {self.image.shape}, labels and attention {shapes[1:]} do not share one (k, j, i) grid"
            )
            raise InputError(msg, cure="give the image as (channel, k, j, i)").at(patient=self.patient)
        channels = len(self.image)
        given = len(self.outside)
        if given != channels:
            msg = f"{channels} channels, but statistics or fill values of {given}"
            raise InputError(msg, cure="give one for each channel").at(patient=self.patient)

    @property
    def outside(self) -> tuple[float, ...]:
        """Value of each channel outside the image, on its scale: of HU a whole one, clipped to `low`."""
        if self.intensity is not None:
            return tuple(0.0 if s is None else math.floor(s.low) for s in self.intensity)
        return self.fill if isinstance(self.fill, tuple) else (self.fill,) * len(self.image)

    @property
    def is_acquired(self) -> tuple[bool, ...]:
        """Whether each channel shows anything; a phase that was not acquired is 0 everywhere."""
        if self.intensity is None:
            return (True,) * len(self.image)
        return tuple(statistics is not None for statistics in self.intensity)

    def normalized_image(self) -> FloatArray:
        """Read the whole image (c, k, j, i), normalised."""
        return self.normalized(np.asarray(self.image))

    def normalized(self, values: AnyArray) -> FloatArray:
        """Return a box (c, …) of the image as the network takes it."""
        if self.intensity is None:
            return values.astype(np.float32, copy=False)
        result = np.zeros(values.shape, np.float32)
        for channel, hu, statistics in zip(result, values, self.intensity, strict=True):
            if statistics is not None:
                channel[...] = normalized_values(hu, statistics)
        return result

    def whole_attention(self) -> FloatArray | None:
        """Read the whole attention map (k, j, i) in [0, 1]; None without one."""
        return None if self.attention is None else attention_values(np.asarray(self.attention))


def attention_values(stored: AnyArray) -> FloatArray:
    """Return attention in [0, 1] from values that are so already, or from bytes; zeros stay exact."""
    values = stored.astype(np.float32, copy=False)
    return values / np.float32(BYTE) if stored.dtype == np.uint8 else values


def training_case(
    patient: str,
    channels: Sequence[Volume],
    labels: Volume,
    attention: Volume | None = None,
    fill: float | tuple[float, ...] | None = None,
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
