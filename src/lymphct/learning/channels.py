"""Which phase is which input channel of a network."""

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.core.errors import InputError
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Phase, Phases, sees
from lymphct.core.volume import Volume
from lymphct.learning.windows import Box

WHOLE: Box = (slice(None), slice(None), slice(None))


def network_channels(image: Multiphase, phases: Phases = "both") -> tuple[Volume, Volume]:
    """Return arterial and venous phase of a normalised CT.

    A missing arterial phase and one the network does not see are zero everywhere: the mean of a z-scored
    phase, and what phase dropout shows in training.

    Raises:
        InputError: `E_ARTERIAL`, the network sees the arterial phase alone, and it is missing.

    """
    if image.arterial is None and phases == "arterial":
        msg = "the arterial phase is missing, and the network sees no other"
        raise InputError(msg, code="E_ARTERIAL", cure="give the arterial phase, or another network")
    arterial = _channel(image.arterial, image, Phase.ARTERIAL, phases)
    return arterial, _channel(image.venous, image, Phase.VENOUS, phases)


def _channel(volume: Volume | None, image: Multiphase, phase: Phase, phases: Phases) -> Volume:
    if volume is None or not sees(phases, phase):
        return image.venous.with_array(np.zeros(image.venous.array.shape, np.float32))
    return volume.with_array(volume.array.astype(np.float32, copy=False))


def network_image(image: Multiphase, box: Box = WHOLE, phases: Phases = "both") -> tuple[FloatArray, ...]:
    """Return the channels of a normalised CT, or of a box of it, as a network takes them."""
    return tuple(network_view(channel, box) for channel in network_channels(image, phases))


def network_view(volume: Volume, box: Box = WHOLE) -> FloatArray:
    """Return the values of a volume, or of a box of it, with axes k, j, i; float32 is not copied."""
    values: FloatArray = volume.array[box].astype(np.float32, copy=False)
    return values.transpose(2, 1, 0)
