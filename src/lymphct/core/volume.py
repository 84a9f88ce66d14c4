"""An image that knows where it lies."""

from dataclasses import dataclass
from typing import Self

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry


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


def _spacing(geometry: Geometry) -> str:
    return "×".join(f"{step:.3g}" for step in geometry.spacing)
