"""Images in the order of the networks that are read and computed where they are looked at."""

from collections.abc import Callable
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray, LabelArray
from lymphct.learning.tensors import to_network
from lymphct.learning.windows import Box

Index = tuple[slice | EllipsisType, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LazyArray:
    """An array (…, k, j, i) behind which stands a file; slicing its last three axes reads that box alone.

    So a sampler can hold all patients of a cohort without holding their images.

    Attributes:
        read: takes a box along i, j, k and returns (…, i, j, k).
        shape: (…, k, j, i).
        dtype: of the values.

    """

    read: Callable[[Box], AnyArray]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Index) -> AnyArray:
        k, j, i = (part if isinstance(part, slice) else slice(None) for part in index[-3:])
        return to_network(self.read((i, j, k)))

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> AnyArray:  # noqa: FBT001 - numpy's protocol
        del copy  # what is read is always new
        return np.asarray(self[..., :, :, :], dtype=dtype)


NetworkImage = FloatArray | LazyArray
"""Float values with axes (…, k, j, i), in memory or read where they are looked at."""
NetworkLabels = LabelArray | LazyArray
"""Whole numbers likewise."""
