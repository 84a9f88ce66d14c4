"""Intermediate images: plain arrays beside one JSON file with their grid, read back as memory maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from lymphct.core.arrays import AnyArray, Index3, Vector3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.volume import Volume
from lymphct.io.results.disk import environment_errors
from lymphct.io.results.jsonfile import read_json, write_json

GRID_FILE = "grid.json"


def save_volumes(folder: Path, volumes: Mapping[str, Volume]) -> None:
    """Write images that share one grid: `<name>.npy` each, and the grid.

    Raises:
        GeometryMismatchError: they do not share one grid.
        EnvironmentProblemError: no space, no permission and the like.

    """
    names = sorted(volumes)
    geometry = volumes[names[0]].geometry
    for name in names:
        volumes[name].require_same_grid(volumes[names[0]], name=name, reference=names[0])
        save_array(folder / f"{name}.npy", volumes[name].array)
    grid = _Grid(
        shape=geometry.shape,
        spacing=geometry.spacing,
        origin=geometry.origin,
        direction=geometry.direction,
        volumes=tuple(names),
    )
    write_json(folder / GRID_FILE, grid.model_dump(mode="json"))


def load_volumes(folder: Path) -> dict[str, Volume]:
    """Return the images of a folder as read-only memory maps.

    Raises:
        InputError: the folder is not one of `save_volumes`.

    """
    try:
        grid = _Grid.model_validate(read_json(folder / GRID_FILE))
    except ValidationError as error:
        msg = "not a grid of ours"
        raise InputError(msg, code="E_GRID_FILE", cure="prepare the patient again").at(
            file=GRID_FILE
        ) from error
    geometry = Geometry(shape=grid.shape, spacing=grid.spacing, origin=grid.origin, direction=grid.direction)
    return {
        name: Volume(array=load_array(folder / f"{name}.npy"), geometry=geometry) for name in grid.volumes
    }


class _Grid(BaseModel):
    """Content of `grid.json`."""

    shape: Index3
    spacing: Vector3
    origin: Vector3
    direction: Direction
    volumes: tuple[Annotated[str, Field(pattern=r"^[a-z_]+$")], ...]


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
