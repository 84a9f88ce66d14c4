"""Where the patient is: the body against air, table and bed."""

from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray

TISSUE: Final = -300.0
"""HU above which a voxel is tissue."""

_LEAST_BODY: Final = 1e-3


def body_mask(hu: AnyArray) -> BoolArray:
    """Return the largest connected region above -300 HU; everything where none is large enough to be a body.

    Lungs and gas stay outside.
    """
    labels, count = ndimage.label(hu > TISSUE)
    if count:
        sizes = np.bincount(labels.reshape(-1))
        sizes[0] = 0
        if sizes.max() >= _LEAST_BODY * hu.size:
            mask: BoolArray = labels == sizes.argmax()
            return mask
    return np.ones(hu.shape, dtype=np.bool_)
