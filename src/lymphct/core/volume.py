"""An image that knows where it lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray, Vector3
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import WORKING_DIRECTION, Geometry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """Voxel values on a grid; the array is indexed [i, j, k] and read-only.

    Attributes:
        array: values, shape `geometry.shape` (vector fields: further axes last).
        geometry: the grid.

    Raises:
        GeometryMismatchError: the array has another shape than the grid.

    """

    array: AnyArray
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.shape[:3] != self.geometry.shape:
            msg = f"an array of shape {self.array.shape} does not fit a grid of {self.geometry.shape} voxels"
            raise GeometryMismatchError(msg)
        view = self.array.view()
        view.flags.writeable = False
        object.__setattr__(self, "array", view)

    def __repr__(self) -> str:
        components = "".join(f"×{size}" for size in self.array.shape[3:])
        return f"Volume({self.array.dtype}{components}, {self.geometry.outline})"

    @classmethod
    def from_array(
        cls,
        array: npt.ArrayLike,
        spacing: Sequence[float],
        *,
        origin: Sequence[float] = (0.0, 0.0, 0.0),
        direction: npt.ArrayLike = WORKING_DIRECTION,
    ) -> Self:
        """Build an image from an array and where it lies.

        Args:
            array: values indexed [i, j, k]; an array whose slices come first is `array.transpose(2, 1, 0)`.
            spacing: mm between voxel centres along i, j, k.
            origin: mm, LPS+ position of the centre of voxel (0, 0, 0).
            direction: 3×3, unit vectors of i, j, k in LPS+ as columns; by default i points to the patient's
                left, j posterior, k cranial.

        Raises:
            InputError: not three axes (a vector field: and its components), not three spacings or
                coordinates, or a grid that `Geometry` refuses.

        >>> Volume.from_array(np.zeros((4, 5, 6), dtype=np.int16), (0.7, 0.7, 1.5))
        Volume(int16, 4×5×6 voxels of 0.7×0.7×1.5 mm, axes LPS)
        """
        values = np.asarray(array)
        if values.ndim not in {3, 4}:
            msg = f"an image has three axes i, j, k, got an array of shape {values.shape}"
            raise InputError(msg, code="E_SHAPE")
        rows = np.asarray(direction, dtype=np.float64)
        if rows.shape != (3, 3):
            msg = f"the directions of three axes are a 3×3 matrix, got shape {rows.shape}"
            raise InputError(msg, code="E_AFFINE")
        grid = Geometry(
            shape=(values.shape[0], values.shape[1], values.shape[2]),
            spacing=_three(spacing, "spacings"),
            origin=_three(origin, "coordinates of the origin"),
            direction=(_three(rows[0], "x"), _three(rows[1], "y"), _three(rows[2], "z")),
        )
        return cls(array=values, geometry=grid)

    def with_array(self, array: AnyArray) -> Self:
        """Return other values on the same grid."""
        return type(self)(array=array, geometry=self.geometry)

    def require_same_grid(self, other: "Volume", *, name: str, reference: str) -> None:
        """Raise unless both images share their voxels; `name` and `reference` say what they are."""
        if not self.geometry.matches(other.geometry):
            msg = (
                f"the {name} lies on another voxel grid than the {reference} "
                f"({self.geometry.shape} voxels of {_spacing(self.geometry)} mm against "
                f"{other.geometry.shape} of {_spacing(other.geometry)} mm, or another place)"
            )
            raise GeometryMismatchError(
                msg, cure=f"resample the {name} onto the grid of the {reference} first"
            )


class StoredVolume(Protocol):
    """An image of which only the part that is asked for is read."""

    @property
    def geometry(self) -> Geometry:
        """The grid."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def read(self, box: tuple[slice, slice, slice]) -> AnyArray:
        """Return the values of a box inside the grid, indexed [i, j, k].

        Whether the memory is the caller's own is not said: nobody writes into it.

        Args:
            box: along i, j, k; without steps, ends as in `array[box]`.

        Raises:
            InputError: what is stored is missing or damaged.

        """

    def whole(self) -> Volume:
        """Return the whole image.

        Raises:
            InputError: as `read`.

        """


@dataclass(frozen=True, slots=True, eq=False)
class HeldVolume:
    """A `StoredVolume` that is in memory.

    Attributes:
        volume: the image.

    """

    volume: Volume

    @property
    def geometry(self) -> Geometry:
        """The grid."""
        return self.volume.geometry

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.volume.array.dtype

    def read(self, box: tuple[slice, slice, slice]) -> AnyArray:
        """Return a view of the values of a box."""
        return self.volume.array[box]

    def whole(self) -> Volume:
        """Return the image."""
        return self.volume


def _three(values: npt.ArrayLike, name: str) -> Vector3:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (3,):
        msg = f"three {name} are needed, got {numbers.size}"
        raise InputError(msg, code="E_SPACING")
    x, y, z = numbers.tolist()
    return (x, y, z)


def _spacing(geometry: Geometry) -> str:
    return "×".join(f"{step:.3g}" for step in geometry.spacing)
