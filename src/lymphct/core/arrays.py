"""Names for the arrays that travel inside the rooms."""

from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
LabelArray = npt.NDArray[np.integer[Any]]

Index3 = tuple[int, int, int]
"""Three whole numbers along i, j, k."""
Vector3 = tuple[float, float, float]
"""Three lengths or coordinates along i, j, k or x, y, z (LPS+), mm unless named otherwise."""
