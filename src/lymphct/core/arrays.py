"""Names for the arrays that travel inside the rooms."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
LabelArray = npt.NDArray[np.integer[Any]]
IntArray = npt.NDArray[np.int64]


class Boxed(Protocol):
    """An array, or what stands for one, from which boxes can be cut."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, index: Any, /) -> Any: ...  # noqa: ANN401 - as numpy has it


Index3 = tuple[int, int, int]
"""Three whole numbers along i, j, k."""
Vector3 = tuple[float, float, float]
"""Three lengths or coordinates along i, j, k or x, y, z (LPS+), mm unless named otherwise."""
