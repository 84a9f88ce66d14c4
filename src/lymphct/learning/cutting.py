"""One patch of one case: labels, attention and image are read when they are asked for, and moved alike."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lymphct.core.arrays import AnyArray, Boxed, FloatArray, Index3, LabelArray
from lymphct.imaging.crop import crop
from lymphct.learning.augmentation import SpatialTransform, move
from lymphct.learning.cases import TrainingCase, attention_values


@dataclass(frozen=True, eq=False)
class Cut:
    """A patch that begins at voxel `start` before it is turned; axes k, j, i.

    Attributes:
        case: of one patient.
        start: first voxel, which may lie beside the image.
        patch_size: voxels.
        transform: rotation, scaling and mirroring.

    """

    case: TrainingCase
    start: Index3
    patch_size: Index3
    transform: SpatialTransform

    @cached_property
    def labels(self) -> LabelArray:
        """Class numbers, taken from the nearest voxel; 0 beside the image."""
        box = self._box(self.case.labels, 0)
        return move(self.transform, self.patch_size, np.zeros((0, *box.shape), np.float32), box)[1]

    @cached_property
    def attention(self) -> FloatArray | None:
        """Attention in [0, 1], interpolated linearly; 0 beside the image. None without a map."""
        if self.case.attention is None:
            return None
        return self._moved(attention_values(self._box(self.case.attention, 0))[None])[0]

    def image(self) -> FloatArray:
        """Read normalised intensities (c, k, j, i), interpolated linearly; `fill` lies beside the image."""
        outside = np.array(self.case.outside).reshape(-1, 1, 1, 1)
        return self._moved(self.case.normalized(self._box(self.case.image, outside)))

    def _box(self, array: Boxed, fill: float | AnyArray) -> AnyArray:
        size = self.transform.source_size(self.patch_size)
        start = [
            s - (wide - n) // 2 for s, wide, n in zip(self.start, size, self.patch_size, strict=True)
        ]
        return crop(array, start, size, fill)

    def _moved(self, smooth: FloatArray) -> FloatArray:
        nothing = np.zeros(smooth.shape[1:], np.uint8)
        return move(self.transform, self.patch_size, smooth, nothing)[0]
