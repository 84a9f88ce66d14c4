"""Intermediate images: a folder of compressed images on one grid, read in boxes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from lymphct.core.arrays import AnyArray, Index3, IntArray, Vector3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Direction, Geometry
from lymphct.core.volume import Volume
from lymphct.io.results.chunks import ChunkedArray, write_chunks
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.io.results.known import damaged

GRID_FILE: Final = "grid.json"
SUFFIX: Final = ".chunks"
_LIST: Final = (8192, 1, 1)
"""Chunk of a list of numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """The larger grid that stored images were cut from.

    Attributes:
        start: its voxel that is their voxel (0, 0, 0).
        full: the larger grid.

    """

    start: Index3
    full: Geometry


def save_volumes(
    folder: Path,
    volumes: Mapping[str, Volume],
    *,
    crop: Crop | None = None,
    locations: Mapping[str, Mapping[int, IntArray]] | None = None,
) -> None:
    """Write images that share one grid: a file each, and the grid.

    Args:
        folder: exists.
        volumes: by name.
        crop: what they were cut from, if they were.
        locations: of image → class → flat voxel indices, kept beside them (`imaging.locations`).

    Raises:
        GeometryMismatchError: they do not share one grid.
        UsageError: values of a type that is not stored (`chunks.TYPES`).
        EnvironmentProblemError: no space, no permission and the like.

    """
    names = sorted(volumes)
    reference = volumes[names[0]]
    for name in names:
        volumes[name].require_same_grid(reference, name=name, reference=names[0])
        write_chunks(folder / f"{name}{SUFFIX}", volumes[name].array)
    counts = {}
    for name, classes in (locations or {}).items():
        counts[name] = {number: len(voxels) for number, voxels in classes.items()}
        if classes:
            every = np.concatenate([classes[number] for number in sorted(classes)]).astype(np.uint32)
            write_chunks(folder / f"{name}.locations{SUFFIX}", every.reshape(-1, 1, 1), _LIST)
    record = _Grid(
        **_fields(reference.geometry),
        volumes=tuple(names),
        locations=counts,
        crop=None if crop is None else _Cropped(start=crop.start, **_fields(crop.full)),
    )
    write_json(folder / GRID_FILE, record.model_dump(mode="json"))


def smallest_unsigned(array: AnyArray) -> AnyArray:
    """Return whole numbers from 0 in the smallest unsigned type that holds them.

    >>> smallest_unsigned(np.array([0, 300])).dtype
    dtype('uint16')
    """
    kind = np.min_scalar_type(int(array.max(initial=0)))
    return array.astype(kind, copy=False)


def _fields(grid: Geometry) -> dict[str, Any]:
    return {
        "shape": grid.shape,
        "spacing": grid.spacing,
        "origin": grid.origin,
        "direction": grid.direction,
    }


class _Frame(BaseModel):
    """A grid as JSON holds it."""

    shape: Index3
    spacing: Vector3
    origin: Vector3
    direction: Direction

    @property
    def geometry(self) -> Geometry:
        return Geometry(shape=self.shape, spacing=self.spacing, origin=self.origin, direction=self.direction)


class _Cropped(_Frame):
    """The larger grid, and where in it the images begin."""

    start: Index3


_Name = Annotated[str, Field(pattern=r"^[a-z_]+$")]


class _Grid(_Frame):
    """Content of `grid.json`."""

    format: Literal["chunks"] = "chunks"
    volumes: tuple[_Name, ...]
    locations: dict[_Name, dict[int, Annotated[int, Field(ge=1)]]]
    crop: _Cropped | None


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image of `save_volumes` of which only what is asked for is read (`core.volume.StoredVolume`).

    Attributes:
        geometry: the grid.
        values: the file behind.

    """

    geometry: Geometry
    values: ChunkedArray

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    def read(self, box: tuple[slice, slice, slice]) -> AnyArray:
        """Return the values of a box, indexed [i, j, k], of which i runs fastest in memory.

        Raises:
            InputError: `E_DAMAGED`, missing or damaged there.

        """
        return self.values.read(box)

    def whole(self) -> Volume:
        """Return the whole image, read anew each time; k runs fastest in memory.

        Raises:
            InputError: as `read`.

        """
        return Volume(array=np.ascontiguousarray(self.read((slice(None),) * 3)), geometry=self.geometry)


class StoredImages(Mapping[str, StoredImage]):
    """The images of a folder by name; a file is opened when something of it is read."""

    def __init__(self, folder: Path, patient: str = "") -> None:
        """Read which images there are.

        Args:
            folder: of `save_volumes`.
            patient: whom an error names.

        Raises:
            InputError: `E_DAMAGED`, the folder is not one of `save_volumes`.

        """
        self.folder, self.patient = folder, patient
        try:
            grid = _Grid.model_validate(read_json(folder / GRID_FILE))
            self.geometry = grid.geometry
            self.crop = None if grid.crop is None else Crop(start=grid.crop.start, full=grid.crop.geometry)
        except (InputError, ValidationError) as error:
            raise damaged(folder / GRID_FILE, patient) from error
        self._names, self._counts = grid.volumes, grid.locations
        self._images: dict[str, StoredImage] = {}

    def __getitem__(self, name: str) -> StoredImage:
        """Return an image.

        Raises:
            KeyError: there is none of that name.
            InputError: `E_DAMAGED`, its file is missing, damaged, or of another shape.

        """
        if name not in self._names:
            raise KeyError(name)
        if name not in self._images:
            image = StoredImage(self.geometry, self._file(name))
            if image.values.shape != self.geometry.shape:
                raise damaged(image.values.path, self.patient)
            self._images[name] = image
        return self._images[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such an image, without a look at its file."""
        return name in self._names

    def locations(self, name: str) -> dict[int, IntArray] | None:
        """Return the voxels of each class of an image that were written with it; None where they were not.

        Raises:
            InputError: `E_DAMAGED`, the file is missing or damaged.

        """
        if name not in self._counts:
            return None
        counts = dict(sorted(self._counts[name].items()))
        if not counts:
            return {}
        every = self._file(f"{name}.locations").read((slice(None),) * 3).reshape(-1).astype(np.int64)
        ends = np.cumsum(list(counts.values()))
        return {number: every[end - counts[number] : end] for number, end in zip(counts, ends, strict=True)}

    def _file(self, name: str) -> ChunkedArray:
        return ChunkedArray(self.folder / f"{name}{SUFFIX}", patient=self.patient)


def load_volumes(folder: Path) -> dict[str, Volume]:
    """Return the whole images of a folder.

    Raises:
        InputError: `E_DAMAGED`, the folder is not one of `save_volumes`, or an image is damaged.

    """
    return {name: image.whole() for name, image in StoredImages(folder).items()}
