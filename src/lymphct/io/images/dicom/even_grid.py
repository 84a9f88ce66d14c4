"""A tilted or uneven stack of slices brought onto an even grid, and told of (`import --resample`)."""

from typing import Final, NamedTuple

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Notice
from lymphct.core.volume import Volume
from lymphct.io.images.dicom.pixels import read_pixels
from lymphct.io.images.dicom.series import Stack, ordered_stack, stack_slices
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.hounsfield import AIR
from lymphct.io.images.limits import DicomLimits

_MENDED: Final = ("E_TILT", "E_SLICES")
_MOST_TILT: Final = 0.6
"""Sideways shift per mm: 31 degrees, as far as gantries tilt."""
_WIDEST: Final = 6.0
"""Between two slices, mm: across more a node would be invented or lost."""


class Evened(NamedTuple):
    """A stack and the grid it is read onto.

    Attributes:
        stack: the slices.
        geometry: even, along their normal.
        notices: what was done; none where the slices are even as they are.

    """

    stack: Stack
    geometry: Geometry
    notices: tuple[Notice, ...]


def evened(headers: list[SliceHeader], limits: DicomLimits, *, resample: bool) -> Evened:
    """Return slices in their order, and their grid; with `resample` also of a tilted or uneven stack.

    Raises:
        InputError: as `stack_slices`; with `resample` only what is no tilt and no uneven step, or too much.

    """
    try:
        ordered, geometry = stack_slices(headers, limits)
    except InputError as error:
        if not resample or error.code not in _MENDED:
            raise
        return _mended(ordered_stack(headers, limits), error)
    stack = ordered_stack(headers, limits)
    return Evened(stack._replace(headers=ordered), geometry, ())


def _mended(stack: Stack, refusal: InputError) -> Evened:
    gaps = np.diff(stack.heights)
    step = float(np.median(gaps))
    if step <= 0 or gaps.min() < 0.1 * step:
        raise refusal  # two slices at one place: nobody knows which belongs
    if gaps.max() > _WIDEST:
        msg = f"{refusal.cause}; {gaps.max():.3g} mm between two slices are too much to resample"
        raise InputError(msg, code=refusal.code, cure="copy the complete series")
    sideways = _sideways(stack)
    tilt = float(np.linalg.norm(sideways[-1]) / (stack.heights[-1] - stack.heights[0]))
    if tilt > _MOST_TILT or _unsteady(stack, sideways) > 1.0:
        msg = f"{refusal.cause}; the slices do not lie in one line"
        raise InputError(msg, code=refusal.code, cure="give a series without tilt")
    count = int((stack.heights[-1] - stack.heights[0]) / step) + 1
    text = f"resampled onto an even grid of {step:.4g} mm: {refusal.cause}"
    return Evened(stack, stack.grid(step, count), (Notice(code="slices_resampled", text=text, value=step),))


def _sideways(stack: Stack) -> DoubleArray:
    """Return the shift of each slice along i and j against the first, mm."""
    shift: DoubleArray = (stack.positions - stack.positions[0]) @ stack.axes[:, :2]
    return shift


def _unsteady(stack: Stack, sideways: DoubleArray) -> float:
    """Return how far a slice lies beside the line through the first and the last, mm."""
    along = (stack.heights - stack.heights[0]) / (stack.heights[-1] - stack.heights[0])
    return float(np.linalg.norm(sideways - np.outer(along, sideways[-1]), axis=1).max())


def read_evened(stack: Evened, limits: DicomLimits) -> Volume:
    """Read the pixels onto the grid; between slices and between pixels values are linear.

    Raises:
        InputError: as `read_pixels`.

    """
    slices = stack.stack
    if not stack.notices:
        return read_pixels(slices.headers, stack.geometry, limits)
    loose = slices.grid(stack.geometry.spacing[2], len(slices.headers))
    stored = read_pixels(slices.headers, loose, limits).array
    shifts = _sideways(slices) / np.asarray(stack.geometry.spacing[:2])
    straight = [_shifted(stored[:, :, k], shifts[k]) for k in range(len(shifts))]
    heights = slices.heights - slices.heights[0]
    wanted = np.arange(stack.geometry.shape[2]) * stack.geometry.spacing[2]
    array = np.empty(stack.geometry.shape, dtype=np.float32)
    for k, height in enumerate(wanted):
        above = int(np.clip(np.searchsorted(heights, height), 1, len(heights) - 1))
        share = (height - heights[above - 1]) / (heights[above] - heights[above - 1])
        array[:, :, k] = (1 - share) * straight[above - 1] + share * straight[above]
    return Volume(array=np.rint(array).astype(np.int32), geometry=stack.geometry)


def _shifted(image: AnyArray, shift: DoubleArray) -> AnyArray:
    if np.abs(shift).max() < 0.01:
        return image.astype(np.float32)
    moved: AnyArray = ndimage.shift(image.astype(np.float32), shift, order=1, cval=float(AIR))
    return moved
