"""The one transpose: images are indexed [i, j, k], network tensors (…, k, j, i)."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)
Number = TypeVar("Number", int, float)


def to_network(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Reorder (…, i, j, k) to the contiguous (…, k, j, i) of the networks.

    >>> to_network(np.zeros((4, 3, 2))).shape
    (2, 3, 4)
    """
    return np.ascontiguousarray(np.swapaxes(array, -1, -3))


def from_network(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Reorder (…, k, j, i) of the networks to the contiguous (…, i, j, k) of a `Volume`."""
    return np.ascontiguousarray(np.swapaxes(array, -1, -3))


def reversed_axes(size: tuple[Number, Number, Number]) -> tuple[Number, Number, Number]:
    """Turn a size or stride along i, j, k into one along k, j, i, or back.

    >>> reversed_axes((160, 192, 80))
    (80, 192, 160)
    """
    return size[2], size[1], size[0]
