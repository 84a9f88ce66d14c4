"""Which phase is which input channel of a network."""

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.learning.tensors import to_network


def network_channels(image: Multiphase) -> tuple[Volume, Volume]:
    """Return arterial and venous phase of a normalised CT; a missing arterial phase is zero everywhere.

    Zero is the mean of a z-scored phase and what phase dropout shows in training.
    """
    venous = image.venous.with_array(image.venous.array.astype(np.float32, copy=False))
    if image.arterial is None:
        return venous.with_array(np.zeros_like(venous.array)), venous
    return image.arterial.with_array(image.arterial.array.astype(np.float32, copy=False)), venous


def network_image(image: Multiphase) -> FloatArray:
    """Return the channels of a normalised CT as a network takes them: (2, k, j, i) float32."""
    return np.stack([to_network(channel.array) for channel in network_channels(image)])
