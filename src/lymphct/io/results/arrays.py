"""Plain arrays beside a result, read back as memory maps or piece by piece."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.io.results.disk import environment_errors


def save_array(path: Path, array: AnyArray) -> None:
    """Write one array as `.npy`; object arrays are refused."""
    with environment_errors():
        np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def load_array(path: Path) -> AnyArray:
    """Return an array of `save_array` as a read-only memory map.

    Raises:
        InputError: missing or damaged.

    """
    try:
        array: AnyArray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        msg = "an intermediate image is missing or damaged"
        raise InputError(msg, code="E_DAMAGED", cure="prepare the patient again").at(
            file=path.name
        ) from error
    return array


@dataclass(frozen=True, slots=True, eq=False)
class StoredArray:
    """An array of `save_array` of which only what is indexed is read; its file is open no longer than that.

    Attributes:
        path: of the file.
        shape: of the array.

    """

    path: Path
    shape: tuple[int, ...]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the shape of an array.

        Raises:
            InputError: missing or damaged.

        """
        return cls(path, load_array(path).shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> AnyArray:
        return np.array(load_array(self.path)[index])

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> AnyArray:  # noqa: FBT001 - numpy's protocol
        del copy  # what is read is always new
        return np.array(load_array(self.path), dtype=dtype)
