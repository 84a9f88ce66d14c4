"""A box cut out of an image; where it reaches beyond the image lies a constant."""

from collections.abc import Sequence

import numpy as np

from lymphct.core.arrays import AnyArray, Boxed, Index3
from lymphct.core.volume import Volume


def crop(array: Boxed, start: Sequence[int], size: Index3, fill: float | AnyArray) -> AnyArray:
    """Copy the box of `size` that begins at voxel `start` of the last three axes; outside lies `fill`.

    Axes before them are kept whole; a fill of shape (c, 1, 1, 1) has a value for each channel. The box may
    lie partly or wholly beside the image.

    >>> crop(np.array([[[1, 2, 3]]]), (0, 0, 1), (1, 1, 4), fill=9)
    array([[[2, 3, 9, 9]]])
    """
    inside, target = [], []
    for first, wanted, full in zip(start, size, array.shape[-3:], strict=True):
        low, high = max(first, 0), max(min(first + wanted, full), 0)
        inside.append(slice(low, high))
        target.append(slice(low - first, high - first))
    part = array[..., inside[0], inside[1], inside[2]]
    if part.shape[-3:] == size:
        return np.array(part)
    box = np.full((*array.shape[:-3], *size), fill, dtype=array.dtype)
    if part.size:
        box[..., target[0], target[1], target[2]] = part
    return box


def crop_volume(volume: Volume, start: Index3, size: Index3, *, fill: float = 0.0) -> Volume:
    """Return the box of an image with the grid it lies on; components of a vector field stay together."""
    components_first = np.moveaxis(volume.array, (0, 1, 2), (-3, -2, -1))
    box = crop(components_first, start, size, fill)
    return Volume(
        array=np.moveaxis(box, (-3, -2, -1), (0, 1, 2)), geometry=volume.geometry.cropped(start, size)
    )
