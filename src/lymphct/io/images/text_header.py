"""Headers of text before the voxels: what NRRD and MetaImage files have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import numpy as np

from lymphct.core.arrays import DoubleArray, Index3
from lymphct.core.errors import InputError
from lymphct.io.images.image_header import ImageHeader, straight_grid
from lymphct.io.images.limits import SafetyLimits, check_safety, check_voxel_count
from lymphct.io.images.nifti_stream import Packing

LONGEST_HEADER: Final = 1_048_576
"""Bytes; that of a segmentation with many segments has a few thousand."""
MOST_NUMBERS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TextHeader:
    """A header of text that passed all checks.

    Attributes:
        image: grid, type and size of the voxels.
        start: bytes of the header, after which the voxels begin.
        packing: how the voxels are stored.
        segments: names of the segments by number; empty for images.

    """

    image: ImageHeader
    start: int
    packing: Packing
    segments: Mapping[int, str] = field(default_factory=dict)


def image_header(
    affine: DoubleArray, sizes: tuple[int, ...], dtype: np.dtype[Any], limits: SafetyLimits
) -> ImageHeader:
    """Check what a header declares.

    Args:
        affine: voxel indices → LPS+ mm.
        sizes: voxels along i, j, k.
        dtype: of the stored numbers, with their byte order.
        limits: safety limits.

    Raises:
        InputError: an impossible size, grid or spacing.

    """
    if len(sizes) != 3:
        text = "×".join(str(n) for n in sizes)
        refuse(f"the image has {len(sizes)} dimensions ({text}), a 3D volume is needed", "E_SHAPE")
    if min(sizes) < 1:
        refuse(f"incomplete or damaged file: impossible dimensions {list(sizes)}", "E_SHAPE")
    check_voxel_count(sizes, limits)
    shape: Index3 = (sizes[0], sizes[1], sizes[2])
    with np.errstate(all="ignore"):  # what a hostile header overflows is refused, not computed with
        geometry, notices = straight_grid(affine, shape, limits)
    check_safety(geometry, limits)
    return ImageHeader(
        geometry=geometry,
        components=1,
        dtype=dtype,
        extension=0,
        offset=0,
        slope=1.0,
        intercept=0.0,
        notices=notices,
    )


def whole_numbers(text: str, what: str) -> tuple[int, ...]:
    """Return whole numbers from 0 on, separated by blanks.

    Raises:
        InputError: something else.

    """
    words = text.split()
    if len(words) > MOST_NUMBERS or not all(w.isascii() and w.isdigit() and len(w) < 16 for w in words):
        refuse(f"incomplete or damaged file: {what} are no whole numbers", "E_HEADER")
    return tuple(int(word) for word in words)


def numbers(text: str, count: int, what: str) -> DoubleArray:
    """Return `count` numbers, separated by blanks; whether they are finite is judged with the grid.

    Raises:
        InputError: something else.

    """
    words = text.split()
    try:
        values = np.array([float(word) for word in words[:MOST_NUMBERS]], dtype=np.float64)
    except ValueError:
        values = np.zeros(0)
    if len(values) != count or len(words) != count:
        refuse(f"the header holds no {count} numbers for {what}", "E_HEADER")
    return values


def refuse(cause: str, code: str, cure: str = "export as NIfTI (.nii.gz) or export it again") -> NoReturn:
    """Raise the error for a header that cannot be used."""
    raise InputError(cause, code=code, cure=cure)
