"""Voxels of drawn masks that nobody looked at: 255 in files; inside, one image with a bit per mask.

The masks themselves are 0 there, so that nothing takes such a voxel for an organ, a tumor or a lymph node;
whoever learns or is measured asks here whether a 0 means "nothing" or "nobody looked" (decision 0038).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray
from lymphct.core.geometry import Geometry
from lymphct.core.terms import StageName
from lymphct.core.volume import Volume

UNJUDGED: Final = 255
"""What such a voxel holds in a mask on disk, unless the file says otherwise."""

BITS: Final[Mapping[StageName, int]] = {StageName.STRUCTURES: 1, StageName.TUMOR: 2, StageName.NODES: 4}
"""Which bit stands for which mask."""


def packed(masks: Mapping[StageName, BoolArray | None], grid: Geometry) -> Volume | None:
    """Return one image of the voxels that nobody looked at, mask by mask; None where everybody looked.

    >>> grid = Geometry(shape=(3, 1, 1), spacing=(1.0, 1.0, 1.0))
    >>> tumor = np.array([True, False, False]).reshape(grid.shape)
    >>> packed({StageName.STRUCTURES: ~tumor, StageName.TUMOR: tumor}, grid).array.ravel().tolist()
    [2, 1, 1]
    >>> packed({StageName.TUMOR: None}, grid) is None
    True
    """
    there = {stage: mask for stage, mask in masks.items() if mask is not None and mask.any()}
    if not there:
        return None
    bits = np.zeros(grid.shape, dtype=np.uint8)
    for stage, mask in there.items():
        bits[mask] |= BITS[stage]
    return Volume(array=bits, geometry=grid)


def unjudged_in(bits: AnyArray, stage: StageName) -> BoolArray:
    """Return where nobody looked for what a stage finds, of a part of the image of `packed`."""
    found: BoolArray = (bits & BITS[stage]) != 0
    return found
