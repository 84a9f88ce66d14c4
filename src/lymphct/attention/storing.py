"""An attention map as it is stored and learned from: one byte per voxel, with exact zeros."""

from typing import Final

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray

FULL: Final = 255
"""Stored value of attention 1."""


def as_bytes(attention: AnyArray) -> npt.NDArray[np.uint8]:
    """Round attention in [0, 1] to 255ths; what is above 0 stays above 0, so no lit voxel goes dark.

    >>> as_bytes(np.array([0.0, 1e-6, 0.5, 1.0], np.float32)).tolist()
    [0, 1, 128, 255]
    """
    values = np.rint(attention * np.float32(FULL)).astype(np.uint8)
    np.maximum(values, attention > 0, out=values)
    return values
