"""Where the windows of a sliding network lie, and how much each of their voxels counts (nnU-Net's rules)."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lymphct.core.arrays import AnyArray, Index3

Window = tuple[slice, slice, slice]
"""One window or box of a network's image, axes k, j, i."""
Box = tuple[slice, slice, slice]
"""A box of an image, axes i, j, k."""


def window_grid(shape: Sequence[int], patch_size: Index3, step: float) -> list[Window]:
    """Return windows that cover the image at equal steps of at most `step` patches, k slowest.

    Args:
        shape: voxels along k, j, i, nowhere fewer than the patch has.
        patch_size: voxels along k, j, i.
        step: share of the patch.

    """
    starts = []
    for size, wanted in zip(shape, patch_size, strict=True):
        count = math.ceil((size - wanted) / (wanted * step)) + 1
        gap = (size - wanted) / max(count - 1, 1)
        starts.append([round(gap * n) for n in range(count)])
    return [
        (slice(k, k + patch_size[0]), slice(j, j + patch_size[1]), slice(i, i + patch_size[2]))
        for k, j, i in itertools.product(*starts)
    ]


def inside(window: Window, shape: Sequence[int]) -> Window:
    """Return the part of a window (k, j, i) that lies in the image.

    >>> inside((slice(-2, 2), slice(1, 5), slice(4, 8)), (9, 9, 6))
    (slice(0, 2, None), slice(1, 5, None), slice(4, 6, None))
    """
    k, j, i = (
        slice(max(part.start, 0), min(part.stop, size)) for part, size in zip(window, shape, strict=True)
    )
    return k, j, i


def gaussian(patch_size: Index3, sigma: float) -> Tensor:
    """Return weights (k, j, i), 1 at the centre, with a standard deviation of `sigma` patches (nnU-Net)."""
    axes = []
    for size in patch_size:
        offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        axes.append(torch.exp(-0.5 * (offsets / (size * sigma)) ** 2))
    weight = torch.einsum("k,j,i->kji", *axes)
    return (weight / weight.max()).clamp(min=1e-12).float()


def lit_box(attention: AnyArray) -> Window | None:
    """Return the smallest box of all voxels (k, j, i) above 0; None when there is none."""
    box = []
    for axis in range(3):
        lit = np.flatnonzero(attention.max(axis=tuple(other for other in range(3) if other != axis)) > 0)
        if len(lit) == 0:
            return None
        box.append(slice(int(lit[0]), int(lit[-1]) + 1))
    return box[0], box[1], box[2]


def widened(box: Window, shape: Sequence[int], least: Index3) -> Window:
    """Return the box, widened evenly to at least `least` voxels where the image has them.

    >>> widened((slice(2, 4), slice(0, 9), slice(7, 8)), (10, 9, 8), (6, 4, 4))
    (slice(0, 6, None), slice(0, 9, None), slice(4, 8, None))
    """
    k, j, i = (
        _widened_axis(part, size, wanted) for part, size, wanted in zip(box, shape, least, strict=True)
    )
    return k, j, i


def _widened_axis(part: slice, size: int, wanted: int) -> slice:
    low = max(0, min(part.start, (part.start + part.stop - wanted) // 2, size - wanted))
    return slice(low, min(max(part.stop, low + wanted), size))
