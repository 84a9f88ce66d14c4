"""Where a voxel lies: grids in the patient's space (LPS+, mm)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import DoubleArray, Index3, Vector3
from lymphct.core.errors import InputError

Direction = tuple[Vector3, Vector3, Vector3]
"""Rows of an orthonormal matrix whose columns are the unit vectors of i, j, k in LPS+."""

WORKING_DIRECTION: Direction = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
"""i → patient left, j → posterior, k → cranial (decision 0014)."""

_TOWARDS = ("LR", "PA", "SI")
"""Letter of each axis of the patient, upwards and downwards in LPS+."""
_PARALLEL = 0.9999
"""Least cosine of axes that are called parallel to the patient's: 0.8 degrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A voxel grid: `world = origin + direction @ (spacing * index)`.

    Attributes:
        shape: voxels along the axes i, j, k.
        spacing: mm between voxel centres along i, j, k.
        origin: mm, LPS+ position of the centre of voxel (0, 0, 0).
        direction: unit vectors of i, j, k as columns of an orthonormal matrix; determinant +1 or -1.

    Raises:
        InputError: a size below 1, a spacing that is not positive and finite, a direction not orthonormal.

    """

    shape: Index3
    spacing: Vector3
    origin: Vector3 = (0.0, 0.0, 0.0)
    direction: Direction = WORKING_DIRECTION

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            msg = f"a grid needs at least one voxel along each axis, got {self.shape}"
            raise InputError(msg, code="E_SHAPE")
        if not all(np.isfinite(s) and s > 0 for s in self.spacing):
            msg = f"voxel spacing {self.spacing} mm is not positive and finite"
            raise InputError(msg, code="E_SPACING", cure="correct the header's pixdim or affine")
        matrix = np.asarray(self.direction)
        orthonormal = np.isfinite(matrix).all() and np.allclose(matrix.T @ matrix, np.eye(3), atol=1e-3)
        if not (orthonormal and np.isfinite(self.origin).all()):
            msg = (
                f"axes {np.round(matrix, 4).tolist()} at origin {self.origin} are not orthonormal and finite"
            )
            raise InputError(msg, code="E_AFFINE", cure="resample the image to an orthogonal grid")

    def __repr__(self) -> str:
        where = ", ".join(f"{x:.6g}" for x in self.origin)
        return f"Geometry({self.outline}, origin ({where}) mm)"

    @property
    def outline(self) -> str:
        """Return size, spacing and axes for people to read.

        Axes are told by the directions closest to i, j, k: L or R(ight), P or A(nterior), S(uperior) or I.

        >>> Geometry(shape=(512, 512, 300), spacing=(0.68, 0.68, 0.8)).outline
        '512×512×300 voxels of 0.68×0.68×0.8 mm, axes LPS'
        """
        shape = "×".join(str(size) for size in self.shape)
        spacing = "×".join(f"{step:.4g}" for step in self.spacing)
        matrix = np.asarray(self.direction)
        main = np.abs(matrix).argmax(axis=0)
        letters = "".join(
            _TOWARDS[axis][int(matrix[axis, column] < 0)] for column, axis in enumerate(main.tolist())
        )
        oblique = " (oblique)" if np.abs(matrix).max(axis=0).min() < _PARALLEL else ""
        return f"{shape} voxels of {spacing} mm, axes {letters}{oblique}"

    @classmethod
    def from_affine(cls, affine: DoubleArray, shape: Index3) -> Self:
        """Build the grid from a 4×4 matrix that maps voxel indices to LPS+ mm."""
        matrix = np.asarray(affine, dtype=np.float64)
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        direction = matrix[:3, :3] / np.where(spacing > 0, spacing, 1.0)
        return cls(
            shape=shape,
            spacing=_vector(spacing),
            origin=_vector(matrix[:3, 3]),
            direction=(_vector(direction[0]), _vector(direction[1]), _vector(direction[2])),
        )

    @property
    def affine(self) -> DoubleArray:
        """Return the 4×4 matrix that maps voxel indices to LPS+ mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def voxel_volume(self) -> float:
        """Return the volume of one voxel, mm³."""
        return float(np.prod(self.spacing))

    @property
    def size(self) -> Vector3:
        """Return the extent along i, j, k, mm (voxels × spacing)."""
        return _vector(np.asarray(self.shape) * np.asarray(self.spacing))

    def world(self, index: npt.ArrayLike) -> DoubleArray:
        """Map indices (…, 3) to LPS+ positions (…, 3), mm."""
        steps: DoubleArray = np.asarray(index, dtype=np.float64) * np.asarray(self.spacing)
        positions: DoubleArray = steps @ np.asarray(self.direction).T + np.asarray(self.origin)
        return positions

    def index(self, world: npt.ArrayLike) -> DoubleArray:
        """Map LPS+ positions (…, 3), mm, to fractional indices (…, 3)."""
        offset: DoubleArray = np.asarray(world, dtype=np.float64) - np.asarray(self.origin)
        indices: DoubleArray = (offset @ np.asarray(self.direction)) / np.asarray(self.spacing)
        return indices

    def matches(self, other: "Geometry", *, tolerance_voxels: float = 0.01) -> bool:
        """Tell whether both grids have the same voxels: no corner lies further apart than the tolerance."""
        if self.shape != other.shape:
            return False
        corners = np.indices((2, 2, 2)).reshape(3, -1).T * (np.asarray(self.shape) - 1)
        apart = np.linalg.norm(self.world(corners) - other.world(corners), axis=1)
        return bool(apart.max() <= tolerance_voxels * min(self.spacing))

    def cropped(self, start: Index3, shape: Index3) -> Self:
        """Return the grid of the box of `shape` voxels that begins at voxel `start` (may be negative)."""
        return type(self)(
            shape=shape, spacing=self.spacing, origin=_vector(self.world(start)), direction=self.direction
        )

    def resampled(self, spacing: Vector3) -> Self:
        """Return a grid with another spacing over the same box: the outer faces of the first voxels agree."""
        old, new = np.asarray(self.spacing), np.asarray(spacing)
        shape = np.maximum(np.round(np.asarray(self.shape) * old / new), 1).astype(int)
        first = self.world((new - old) / (2 * old))
        return type(self)(
            shape=(int(shape[0]), int(shape[1]), int(shape[2])),
            spacing=spacing,
            origin=_vector(first),
            direction=self.direction,
        )


def _vector(values: npt.ArrayLike) -> Vector3:
    x, y, z = np.asarray(values, dtype=np.float64).tolist()
    return (x, y, z)
