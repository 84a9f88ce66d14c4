"""What the header of an image file declares, whatever its format, once it was checked."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lymphct.core.arrays import DoubleArray, Index3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Notice
from lymphct.io.images.limits import SafetyLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """A header that passed all checks.

    Attributes:
        geometry: the grid, LPS+.
        components: values per voxel, 1 for an image.
        dtype: of the stored values, with their byte order.
        extension: bytes before what may stand between header and voxels.
        offset: bytes before the first voxel.
        slope, intercept: value = slope × stored + intercept.
        notices: what was accepted with a reservation.

    """

    geometry: Geometry
    components: int
    dtype: np.dtype[Any]
    extension: int
    offset: int
    slope: float
    intercept: float
    notices: tuple[Notice, ...]

    @property
    def payload_bytes(self) -> int:
        """Return the bytes that the voxels take."""
        voxels = self.geometry.shape[0] * self.geometry.shape[1] * self.geometry.shape[2]
        return voxels * self.components * self.dtype.itemsize


def straight_grid(
    affine: DoubleArray, shape: Index3, limits: SafetyLimits
) -> tuple[Geometry, tuple[Notice, ...]]:
    """Return the grid of an LPS+ affine; axes that miss a right angle by a hair are straightened.

    Raises:
        InputError: `E_AFFINE`, values that are not finite, a spacing of zero, or a sheared grid.

    """
    affine = affine.copy()
    if not np.isfinite(affine).all():
        msg = "the affine of the header holds values that are not finite"
        raise InputError(msg, code="E_AFFINE", cure="convert again from DICOM")
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if not (steps > 0).all():
        msg = f"the affine of the header is singular: voxel spacing {in_mm(steps)} mm holds a zero"
        raise InputError(msg, code="E_AFFINE", cure="convert again from DICOM")
    axes = affine[:3, :3] / steps
    shear = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if not shear <= limits.shear:
        msg = f"the affine is sheared (cosine {shear:.3g} between two axes, limit {limits.shear:g})"
        raise InputError(msg, code="E_AFFINE", cure="resample the image to an orthogonal grid first")
    notices: tuple[Notice, ...] = ()
    if shear > 1e-6:
        left, _, right = np.linalg.svd(axes)
        affine[:3, :3] = (left @ right) * steps  # the nearest orthonormal axes
        if shear > 1e-4:
            text = "the axes of the image are not quite at right angles and were straightened"
            notices = (Notice(code="shear_removed", text=text, value=round(shear, 6)),)
    return Geometry.from_affine(affine, shape), notices


def in_mm(steps: Any) -> str:  # noqa: ANN401 - any sequence of three numbers
    """Return three numbers as a message shows them."""
    return "×".join(f"{float(step):.4g}" for step in steps)
