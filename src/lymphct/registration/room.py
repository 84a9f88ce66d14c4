"""Memory that is used again: fresh memory is cleared by the system, and that takes its time."""

from math import prod

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray

_SPARE = 1.25
"""Times what is asked for: DEEDS' tables grow by a fifth over its levels. Untouched memory is not used."""


class Room:
    """Hands out arrays by name; the next array of a name takes the place of the one before."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held: dict[str, AnyArray] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> AnyArray:
        """Return an array in C order that holds anything; what was taken under the name before is lost."""
        size = prod(shape) * np.dtype(dtype).itemsize
        if name not in self._held or self._held[name].size < size:
            self._held.pop(name, None)
            self._held[name] = np.empty(int(_SPARE * size), dtype=np.uint8)
        array: AnyArray = self._held[name][:size].view(dtype).reshape(shape)
        return array
