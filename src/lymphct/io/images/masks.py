"""Masks drawn on a CT: whole numbers, on the voxels of the CT or refused."""

import logging
from dataclasses import replace
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import order_towards, reordered_like
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop
from lymphct.io.images.acquired import ReadImage, Source, name_of
from lymphct.io.images.in_memory import read_in_memory
from lymphct.io.images.single_file import read_single_file

_CROPPED: Final = ".seg.nrrd"
"""3D Slicer stores the part of the grid that its segments fill."""

logger = logging.getLogger(__name__)


def read_mask(path: Source, grid: Geometry | None = None, *, name: str = "mask") -> Volume:
    """Read a mask of one thing, such as the tumor; it may be empty.

    Args:
        path: a NIfTI, NRRD or MetaImage file, or an image in memory.
        grid: the grid it must lie on, whatever its axis order; None to keep the file's own.
        name: what it shows, for messages.

    Returns:
        uint8, 0 or 1, on `grid`.

    Raises:
        InputError: a damaged file, or other values than 0 and 1.
        GeometryMismatchError: another grid.

    """
    mask, unjudged = read_partial_mask(path, grid, name=name)
    if unjudged is not None:
        raise _wrong_values(path, name, 0, UNJUDGED)
    return mask


def read_partial_mask(
    path: Source, grid: Geometry | None = None, *, name: str = "mask"
) -> tuple[Volume, BoolArray | None]:
    """Read a mask as `read_mask` does that may hold 255 where nobody looked.

    A mask of 0 and 255 alone is refused: many tools write the thing itself as 255.

    Returns:
        uint8, 0 or 1, and where nobody looked; None where it holds no 255.

    Raises:
        InputError: as `read_mask`, or no voxel is 1 beside those of 255.
        GeometryMismatchError: another grid.

    """
    volume = read_whole_numbers(path, grid, name=name)
    array = volume.array
    high = int(array.max())
    if high <= 1:
        return volume.with_array(array.astype(np.uint8)), None
    unjudged: BoolArray = array == UNJUDGED
    inside: BoolArray = array == 1
    if high != UNJUDGED or not inside.any() or np.any((array > 1) & ~unjudged):
        raise _wrong_values(path, name, int(array.min()), high)
    return volume.with_array(inside.astype(np.uint8)), unjudged


def _wrong_values(path: Source, name: str, low: int, high: int) -> InputError:
    msg = f"the {name} holds values from {low} to {high}, only 0 and 1 are allowed"
    cure = "write it with 0 and 1"
    if high == UNJUDGED:
        cure = "write it with 0 and 1; 255 is for voxels nobody looked at, beside those of 1, in a manifest"
    return InputError(msg, code="E_LABELS", cure=cure).at(file=name_of(path))


def read_whole_numbers(path: Source, grid: Geometry | None, *, name: str) -> Volume:
    """Read an image of whole numbers from 0 on and bring its axes into the order of `grid`, exactly.

    Raises:
        InputError: a damaged file, or values that are negative or not whole.
        GeometryMismatchError: another grid; a wrong shape is refused before any voxel is read.

    """
    return read_numbered(path, grid, name=name).volume


def read_numbered(path: Source, grid: Geometry | None, *, name: str) -> ReadImage:
    """Read an image of whole numbers as `read_whole_numbers` does, with what its file says of the numbers.

    Raises:
        InputError: as `read_whole_numbers`.
        GeometryMismatchError: the same.

    """
    is_cropped = name_of(path).endswith(_CROPPED)

    def check_shape(geometry: Geometry) -> None:
        if is_cropped:
            return
        if grid is not None and order_towards(geometry, grid).apply_to_grid(geometry).shape != grid.shape:
            msg = f"the {name} has {geometry.shape} voxels, the CT {grid.shape}: another voxel grid"
            cure = f"resample the {name} onto the grid of the CT first"
            raise GeometryMismatchError(msg, cure=cure)

    if isinstance(path, Volume):
        image = read_in_memory(path, name=name, check_grid=check_shape)
    else:
        image = read_single_file(path, check_grid=check_shape)
    for notice in image.notices:
        logger.warning("%s: %s", name_of(path), notice.text)
    try:
        volume = image.volume.with_array(_whole(image.volume.array, name))
        if grid is not None and is_cropped:
            volume = placed(volume, grid)
        if grid is not None:
            volume = reordered_like(volume, grid, name=name, reference_name="CT")
        return replace(image, volume=volume)
    except InputError as error:
        raise error.at(file=name_of(path)) from None


def placed(volume: Volume, grid: Geometry) -> Volume:
    """Put a box that was cut out of a grid back into its place; anything else comes back as it is.

    Args:
        volume: whole numbers on a part of the grid, whatever the order of its axes.
        grid: of the whole.

    """
    box = order_towards(volume.geometry, grid).apply(volume)
    i, j, k = (round(float(x)) for x in np.nan_to_num(grid.index(box.geometry.origin)))
    fits = all(
        first >= 0 and first + size <= full
        for first, size, full in zip((i, j, k), box.geometry.shape, grid.shape, strict=True)
    )
    if not (fits and grid.cropped((i, j, k), box.geometry.shape).matches(box.geometry)):
        return volume
    return Volume(array=crop(box.array, (-i, -j, -k), grid.shape, 0), geometry=grid)


def _whole(array: AnyArray, name: str) -> AnyArray:
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            msg = f"the {name} holds values that are not finite"
            raise InputError(msg, code="E_NOT_FINITE", cure="write it with whole numbers")
        whole = np.rint(array)
        apart = float(np.abs(array - whole).max())
        if apart > 1e-4:  # scaled storage of whole numbers misses them by rounding only
            msg = (
                f"the {name} holds fractional values (up to {apart:.3g} from a whole number): probabilities?"
            )
            raise InputError(msg, code="E_LABELS", cure="threshold it, or resample with nearest neighbour")
        array = whole.astype(np.int64)
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        msg = f"the {name} holds values from {low} to {high}"
        raise InputError(msg, code="E_LABELS", cure="write it with whole numbers from 0 on")
    return array
