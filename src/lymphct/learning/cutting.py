"""One patch of one case: only the box it needs is read, and each image only once somebody asks for it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray, LabelArray
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.augmentation import PatchPlace, cut_attention, cut_image, cut_labels
from lymphct.learning.cases import TrainingCase
from lymphct.learning.lazy_array import NetworkImage, NetworkLabels

Reading = IntensityStatistics | float
"""How a channel is normalised; of one that is so already, what lies outside."""

NOTHING = IntensityStatistics(low=-1.0, high=1.0, mean=0.0, sd=1.0)
"""Statistics of a phase that was not acquired: its zeros stay zeros."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A patch and what has been read of it; axes k, j, i.

    Attributes:
        case: of one patient.
        place: of the patch in the case's images.

    """

    case: TrainingCase
    place: PatchPlace

    @cached_property
    def labels(self) -> LabelArray:
        """Class numbers, taken from the nearest voxel; 0 beside the image."""
        box, place = _read(self.case.labels, self.place)
        return cut_labels(box.astype(np.uint8, copy=False), place)

    @cached_property
    def attention(self) -> FloatArray | None:
        """Attention in [0, 1], interpolated linearly; 0 beside the image. None without a map."""
        if self.case.attention is None:
            return None
        return cut_attention(*_read(self.case.attention, self.place))

    def image(self, out: FloatArray) -> None:
        """Write normalised intensities (c, k, j, i), interpolated linearly; `fill` beside the image."""
        box, place = self.source()
        for number, how in enumerate(readings(self.case)):
            channel, target = box[number : number + 1], out[number : number + 1]
            cut_image(channel, place, how if isinstance(how, float) else (how,), target)

    def source(self) -> tuple[AnyArray, PatchPlace]:
        """Read the box (c, k, j, i) of the image the patch is made of, and where the patch lies in it."""
        return _read(self.case.image, self.place)


def readings(case: TrainingCase) -> tuple[Reading, ...]:
    """Return how each channel of a case is normalised."""
    if case.intensity is None:
        return tuple(map(float, case.outside))
    return tuple(NOTHING if statistics is None else statistics for statistics in case.intensity)


def _read(array: NetworkImage | NetworkLabels, place: PatchPlace) -> tuple[AnyArray, PatchPlace]:
    """Read what an image has of the box of a patch, and where the patch lies in that."""
    inside, start = [], []
    for first, wide, full in zip(place.start, place.source_size, array.shape[-3:], strict=True):
        low, high = max(first, 0), max(min(first + wide, full), 0)
        inside.append(slice(low, high))
        start.append(first - low)
    k, j, i = start
    return np.asarray(array[..., inside[0], inside[1], inside[2]]), replace(place, start=(k, j, i))
