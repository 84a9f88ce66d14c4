"""The part of an image over which windows are laid: the body, or the surroundings of an organ."""

from typing import Final

import numpy as np

from lymphct.anatomy.cleaning import keep_large_components
from lymphct.core.arrays import AnyArray, BoolArray, Index3, Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.learning.windows import Box

SAMPLED_EVERY: Final = 4.0
"""mm between the voxels looked at to find the body, whose wall is thicker."""
BODY_SHARE: Final = 0.1
"""Tissue with less than this share of the largest piece is not the body but table, tubes or noise."""


def region_around(mask: BoolArray, spacing: Vector3, margin: float) -> Box | None:
    """Return the box of a mask (i, j, k) and `margin` mm around it, within the image; None without any."""
    parts = []
    for axis, (size, step) in enumerate(zip(mask.shape, spacing, strict=True)):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(inside):
            return None
        voxels = int(np.ceil(margin / step))
        parts.append(slice(max(int(inside[0]) - voxels, 0), min(int(inside[-1]) + 1 + voxels, size)))
    return parts[0], parts[1], parts[2]


def body_region(ct: Volume, margin: float) -> Box:
    """Return the box of the body and `margin` mm around it within the image.

    The body is what is brighter than the darkest voxel, in large pieces; all of the image where nothing is.

    Args:
        ct: normalised phase: air and everything darker than the lower clip value have that value.
        margin: mm, beyond what sampling may have missed.

    """
    spacing = ct.geometry.spacing
    every = [max(int(SAMPLED_EVERY / step), 1) for step in spacing]
    sampled = ct.array[tuple(slice(None, None, step) for step in every)]
    body = keep_large_components(sampled > sampled.min(), BODY_SHARE) > 0
    coarse = (spacing[0] * every[0], spacing[1] * every[1], spacing[2] * every[2])
    found = region_around(body, coarse, margin + max(coarse))
    if found is None:
        return whole(ct)
    i, j, k = (
        slice(part.start * step, min(part.stop * step, size))
        for part, step, size in zip(found, every, ct.geometry.shape, strict=True)
    )
    return i, j, k


def whole(ct: Volume) -> Box:
    """Return the box that is the image."""
    i, j, k = (slice(0, size) for size in ct.geometry.shape)
    return i, j, k


def pasted(part: AnyArray, box: Box, shape: Index3) -> AnyArray:
    """Return an image of `shape` that is `part` in the box and 0 elsewhere."""
    image = np.zeros(shape, dtype=part.dtype)
    image[box] = part
    return image


def grown(box: Box, mask: AnyArray, geometry: Geometry, margin: float) -> Box:
    """Push the faces that a mask of the box reaches outward by `margin` mm, as far as the image goes.

    The box itself comes back when the mask reaches none, or the image ends there.
    """
    parts = []
    for axis, (part, step) in enumerate(zip(box, geometry.spacing, strict=True)):
        voxels = int(np.ceil(margin / step))
        low = part.start - voxels * bool(mask.take(0, axis=axis).any())
        high = part.stop + voxels * bool(mask.take(-1, axis=axis).any())
        parts.append(slice(max(low, 0), min(high, geometry.shape[axis])))
    return parts[0], parts[1], parts[2]
