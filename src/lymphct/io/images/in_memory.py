"""Images that are in memory already, under the limits of files."""

import hashlib
from collections.abc import Callable
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import ReadImage
from lymphct.io.images.limits import SafetyLimits, check_safety

_KINDS: Final = "biuf"
"""Truth values, whole numbers, fractions."""


def read_in_memory(
    volume: Volume,
    *,
    name: str,
    limits: SafetyLimits | None = None,
    check_grid: Callable[[Geometry], None] | None = None,
) -> ReadImage:
    """Take an image from memory as `read_nifti` takes one from a file.

    Args:
        volume: the image; one value per voxel.
        name: what it shows, for messages.
        limits: safety limits; None for the defaults.
        check_grid: called with the grid; raises what it must.

    Returns:
        Whole numbers with their type, truth values as uint8, all else as float32; the digest covers values
        and grid.

    Raises:
        InputError: beyond the limits, several values per voxel, or values that are no numbers.

    """
    try:
        check_safety(volume.geometry, limits or SafetyLimits())
        if check_grid is not None:
            check_grid(volume.geometry)
        _require_numbers(volume.array)
    except InputError as error:
        raise error.at(file=name) from None
    plain = volume.with_array(_plain(volume.array))
    return ReadImage(volume=plain, digest=digest_volume(plain))


def _require_numbers(array: AnyArray) -> None:
    if array.ndim != 3:
        msg = f"an array of shape {array.shape} has more than one value per voxel"
        raise InputError(msg, code="E_SHAPE", cure="give an image, not a vector field")
    if array.dtype.kind not in _KINDS:
        msg = f"values of type {array.dtype} are no numbers of an image"
        raise InputError(msg, code="E_DATATYPE", cure="convert it to int16 or float32")


def _plain(array: AnyArray) -> AnyArray:
    """Return the number types that files give: native order, no float64, no truth values."""
    kind = array.dtype.kind
    wanted = np.dtype({"b": np.uint8, "f": np.float32}.get(kind, array.dtype)).newbyteorder("=")
    with np.errstate(over="ignore"):  # the checks of values report what overflows
        plain: AnyArray = np.ascontiguousarray(array, dtype=wanted)
    return plain


def digest_volume(volume: Volume) -> str:
    """Return a SHA-256 of values, their type and the grid, hexadecimal."""
    grid = volume.geometry
    parts = (volume.array.dtype.str, grid.shape, grid.spacing, grid.origin, grid.direction)
    seen = hashlib.sha256(repr(parts).encode("ascii"))
    seen.update(np.ascontiguousarray(volume.array).data)
    return seen.hexdigest()
