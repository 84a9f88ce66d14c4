"""Which phase is which input channel of a network."""

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.learning.windows import Box

WHOLE: Box = (slice(None), slice(None), slice(None))


def network_channels(image: Multiphase) -> tuple[Volume, Volume]:
    """Return arterial and venous phase of a normalised CT; a missing arterial phase is zero everywhere.

    Zero is the mean of a z-scored phase and what phase dropout shows in training.
    """
    venous = image.venous.with_array(image.venous.array.astype(np.float32, copy=False))
    if image.arterial is None:
        return venous.with_array(np.zeros(venous.array.shape, np.float32)), venous
    return image.arterial.with_array(image.arterial.array.astype(np.float32, copy=False)), venous


def network_image(image: Multiphase, box: Box = WHOLE) -> tuple[FloatArray, ...]:
    """Return the channels of a normalised CT, or of a box of it, as a network takes them."""
    return tuple(network_view(channel, box) for channel in network_channels(image))


def network_view(volume: Volume, box: Box = WHOLE) -> FloatArray:
    """Return the values of a volume, or of a box of it, with axes k, j, i; float32 is not copied."""
    values: FloatArray = volume.array[box].astype(np.float32, copy=False)
    return values.transpose(2, 1, 0)
