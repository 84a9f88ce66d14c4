"""The grid on which two images are registered: isotropic, on the fixed image's axes, around the body."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray, FloatArray, Index3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.body import body_mask
from lymphct.registration.pulling import affine_mapping, inside, read_linear

AIR: Final = -1024.0
"""HU outside the field of view."""
LEAST_VOXELS: Final = 16
"""Along each axis of the work grid; fewer do not hold a search."""
LEAST_SLICES: Final = 8
"""Voxels along each axis of an image as acquired; fewer show no anatomy to compare."""
MOST_VOXELS: Final = 32_000_000
"""Of the work grid; DEEDS needs about 136 bytes for each."""

_COARSE: Final = 4.0
_BODY_MARGIN: Final = 10.0
_PLACES: Final = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class WorkPair:
    """Two images on one isotropic grid.

    Attributes:
        grid: axes of the fixed image, cropped to both bodies and to what the moving image can reach.
        fixed: HU, float32.
        moving: HU, float32, resampled through the patient's coordinates; -1024 outside its field of view.
        valid: voxels inside the moving image's field of view.
        body: the fixed body; everything where no body is found.
        overlap: share of the whole fixed body that lies inside the moving image's field of view.

    """

    grid: Geometry
    fixed: FloatArray
    moving: FloatArray
    valid: BoolArray
    body: BoolArray
    overlap: float

    @property
    def measured(self) -> BoolArray:
        """Return where quality is measured: the body inside the moving field of view."""
        return self.body & self.valid


def work_pair(fixed: Volume, moving: Volume, spacing_mm: float, *, threads: int = 1) -> WorkPair:
    """Bring both images onto the work grid.

    Raises:
        InputError: values that are not finite, no common region, or a grid beyond `MOST_VOXELS`.

    """
    for name, volume in (("fixed", fixed), ("moving", moving)):
        _require_finite(volume, name)
    step = max(spacing_mm, _COARSE)
    coarse = fixed.geometry.resampled((step, step, step))
    _require_room(coarse)
    seen = _inside(moving.geometry, coarse, threads)
    body = body_mask(_read(fixed, coarse, threads))
    overlap = float(np.count_nonzero(body & seen) / np.count_nonzero(body))
    if overlap == 0.0:
        msg = "the images show no common region: nothing of the fixed body lies inside the moving image"
        raise InputError(msg, code="E_OVERLAP", cure="check that both series show the same body region")
    both = body | (body_mask(_read(moving, coarse, threads)) & seen)
    grid = _cropped(fixed.geometry, spacing_mm, (both, seen), step)
    _require_room(grid)
    on_grid = _read(fixed, grid, threads)
    return WorkPair(
        grid=grid,
        fixed=on_grid,
        moving=_read(moving, grid, threads),
        valid=_inside(moving.geometry, grid, threads),
        body=body_mask(on_grid),
        overlap=overlap,
    )


def require_registrable(fixed: Volume, moving: Volume, pair: WorkPair) -> None:
    """Refuse what cannot be registered: too few voxels, or nothing to see.

    Raises:
        InputError: `E_TOO_SMALL` or `E_CONSTANT`, with the measured value.

    """
    for name, volume in (("fixed", fixed), ("moving", moving)):
        if min(volume.geometry.shape) < LEAST_SLICES:
            size = "×".join(str(n) for n in volume.geometry.shape)
            msg = f"the {name} image has {size} voxels, too few to register ({LEAST_SLICES} along each axis)"
            raise InputError(msg, code="E_TOO_SMALL", cure="give the whole series, or use method none")
    if min(pair.grid.shape) < LEAST_VOXELS:
        size = "×".join(str(n) for n in pair.grid.shape)
        msg = (
            f"both images have only {size} voxels of {pair.grid.spacing[0]:g} mm in common, too few to "
            f"register ({LEAST_VOXELS} along each axis)"
        )
        raise InputError(msg, code="E_TOO_SMALL", cure="give images that overlap more, or a finer spacing")
    for name, values in (("fixed", pair.fixed[pair.valid]), ("moving", pair.moving[pair.valid])):
        if values.size == 0 or values.min() == values.max():
            value = "nothing" if values.size == 0 else f"{values[0]:g}"
            msg = f"the {name} image shows nothing to register: all voxels in common are {value}"
            raise InputError(msg, code="E_CONSTANT", cure="check the image and its window")


def _require_finite(volume: Volume, name: str) -> None:
    # A float64 sum of float32 values is finite exactly when all of them are.
    if volume.array.dtype.kind == "f" and not np.isfinite(np.sum(volume.array, dtype=np.float64)):
        msg = f"the {name} image holds values that are not finite (NaN or infinite)"
        raise InputError(msg, code="E_NOT_FINITE", cure="export the CT again, in HU")


def _require_room(grid: Geometry) -> None:
    voxels = int(np.prod([int(n) for n in grid.shape], dtype=object))
    if voxels > MOST_VOXELS:
        msg = f"the grid of registration would have {voxels:.3g} voxels (limit {MOST_VOXELS:.3g})"
        raise InputError(msg, code="E_TOO_LARGE", cure="use a larger spacing of registration")


def _read(volume: Volume, grid: Geometry, threads: int) -> FloatArray:
    """Read an image at the voxels of a grid; -1024 where nothing of it is seen.

    Where the grid is twice as coarse or more, a voxel is the mean of two places along that axis: single
    places would keep the noise of the fine image.
    """
    matrix = np.linalg.inv(volume.geometry.affine) @ grid.affine
    crossed = np.abs(matrix[:3, :3]).max(axis=0)
    parts = np.clip(np.floor(crossed + 0.1).astype(int), 1, _PLACES)
    total, count = np.zeros(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.uint8)
    for index in np.ndindex(*parts.tolist()):
        offset = np.eye(4)
        offset[:3, 3] = (np.asarray(index) + 0.5) / parts - 0.5
        mapping = affine_mapping(matrix @ offset)
        values = read_linear(volume.array, mapping, grid.shape, fill=np.nan, threads=threads)
        is_seen = ~np.isnan(values)
        np.add(total, values, out=total, where=is_seen)
        count += is_seen
    np.divide(total, count, out=total, where=count > 0)
    total[count == 0] = AIR
    return total


def _inside(view: Geometry, grid: Geometry, threads: int) -> BoolArray:
    mapping = affine_mapping(np.linalg.inv(view.affine) @ grid.affine)
    found: BoolArray = inside(view.shape, mapping, grid.shape, threads=threads)
    return found


def _cropped(fixed: Geometry, spacing_mm: float, found: tuple[AnyArray, AnyArray], step: float) -> Geometry:
    """Return the isotropic grid over the box of the bodies within the moving field of view.

    Beyond that view there is nothing to find, and its cut end would be taken for an edge of the body: the
    error there falls to a sixth when both images end at one plane.
    """
    grid = fixed.resampled((spacing_mm, spacing_mm, spacing_mm))
    start, stop = np.zeros(3), np.asarray(grid.shape) * spacing_mm  # mm from the first face
    for mask, margin in zip(found, (_BODY_MARGIN, 0.0), strict=True):
        low, high = _box(mask)
        start = np.maximum(start, low * step - margin)
        stop = np.minimum(stop, high * step + margin)
    first = np.floor(start / spacing_mm + 1e-6).astype(int)
    last = np.minimum(np.ceil(stop / spacing_mm - 1e-6).astype(int), grid.shape)
    i, j, k = first.tolist()
    shape: Index3 = tuple(np.maximum(last - first, 1).tolist())
    return grid.cropped((i, j, k), shape)


def _box(mask: AnyArray) -> tuple[AnyArray, AnyArray]:
    spans = [
        np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        for axis in range(3)
    ]
    return np.array([span[0] for span in spans]), np.array([span[-1] + 1 for span in spans])
