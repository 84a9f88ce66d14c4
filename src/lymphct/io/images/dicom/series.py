"""From loose slices to one stack: one patient, one series, even steps along the normal, or refused."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Notice
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.limits import DicomLimits

_FARTHEST: Final = 1e6
_SKIPPED: Final = {
    "copy": "are copies of others",
    "empty": "are empty (0 bytes; slices that were not copied?)",
    "no DICOM": "are not DICOM",
    "other object": "are no CT slices (localizer, report, mask)",
}
"""What is said of files that are not read, by their kind."""


def stack_slices(
    headers: Sequence[SliceHeader], limits: DicomLimits
) -> tuple[tuple[SliceHeader, ...], Geometry]:
    """Order slices along their normal and find their grid.

    Position along the normal decides the order, never the instance number or the file name: a
    wrong order is a wrong anatomy.

    Returns:
        The slices by k, and the grid: i along rows, j along columns, k along the normal, LPS+.

    Raises:
        InputError: mixed, missing, duplicate, uneven, shifted, tilted or non-axial slices.

    """
    with np.errstate(all="ignore"):  # impossible numbers are refused, not computed with
        return _stacked(headers, limits)


def _stacked(headers: Sequence[SliceHeader], limits: DicomLimits) -> tuple[tuple[SliceHeader, ...], Geometry]:
    stack = ordered_stack(headers, limits)
    step = _even_step(stack.heights, limits)
    _require_straight(stack.positions, stack.normal, min(headers[0].spacing), limits)
    return stack.headers, stack.grid(step, len(headers))


class Stack(NamedTuple):
    """Slices in the order of their heights, whatever the steps between them.

    Attributes:
        headers: by k.
        positions: LPS+ mm, of the first voxel of each.
        axes: unit vectors of i, j, k as columns.

    """

    headers: tuple[SliceHeader, ...]
    positions: DoubleArray
    axes: DoubleArray

    @property
    def normal(self) -> DoubleArray:
        """Return the unit vector along which the slices are ordered."""
        normal: DoubleArray = self.axes[:, 2]
        return normal

    @property
    def heights(self) -> DoubleArray:
        """Return the positions along the normal, mm, in rising order."""
        heights: DoubleArray = self.positions @ self.normal
        return heights

    def grid(self, step: float, count: int) -> Geometry:
        """Return the grid of `count` slices with a step of `step` mm, the first where the first slice is."""
        affine = np.eye(4)
        affine[:3, :3] = self.axes * (*self.headers[0].spacing, step)
        affine[:3, 3] = self.positions[0]
        return Geometry.from_affine(affine, (*self.headers[0].shape, count))


def ordered_stack(headers: Sequence[SliceHeader], limits: DicomLimits) -> Stack:
    """Order the slices of one axial series along their normal.

    Raises:
        InputError: mixed or non-axial slices, one slice alone, or impossible positions.

    """
    _require_one_series(headers)
    if len(headers) < 2:
        msg = "the series has one slice, a volume is needed"
        raise InputError(msg, code="E_SLICES", cure="give the folder that holds the whole series")
    row, column = np.reshape(headers[0].orientation, (2, 3))
    if abs(float(row @ column)) > 1e-3 or np.abs(np.linalg.norm([row, column], axis=1) - 1).max() > 1e-3:
        msg = "the orientation of the slices is no pair of perpendicular unit vectors"
        raise InputError(msg, code="E_AFFINE", cure="export the series again")
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    if abs(normal[2]) < limits.axial_cosine:
        msg = f"the slices are not axial (cosine {abs(normal[2]):.2f} to the body axis)"
        raise InputError(msg, code="E_POSITION", cure="give the axial series")
    ordered = sorted(headers, key=lambda header: float(normal @ header.position))
    positions = np.array([header.position for header in ordered])
    farthest = float(np.abs(positions).max())
    if farthest > _FARTHEST:
        msg = f"a slice lies {farthest:.3g} mm from the origin (limit {_FARTHEST:g} mm)"
        raise InputError(msg, code="E_POSITION", cure="export the series again")
    left, _, right = np.linalg.svd(np.stack([row, column, normal], axis=1))
    # The nearest orthonormal axes: header values are rounded.
    return Stack(tuple(ordered), positions, left @ right)


def series_notices(headers: Sequence[SliceHeader], skipped: dict[str, int]) -> tuple[Notice, ...]:
    """Return what a reader of results must know about a series that was accepted."""
    notices = []
    for kind, count in sorted(skipped.items()):
        text = f"{count} files of the folder {_SKIPPED[kind]} and were skipped"
        notices.append(Notice(code="files_skipped", text=text, value=float(count)))
    if not all(header.is_known_text for header in headers):
        text = "the character set of the DICOM text is unknown: ids of the patient may not compare"
        notices.append(Notice(code="unknown_character_set", text=text))
    if any(header.is_lossy for header in headers):
        text = "the pixels were compressed with loss: HU are not exact"
        notices.append(Notice(code="lossy_compression", text=text))
    if any(header.is_burned_in for header in headers):
        text = "text may be drawn into the pixels (BurnedInAnnotation)"
        notices.append(Notice(code="burned_in_text", text=text))
    return tuple(notices)


def _require_one_series(headers: Sequence[SliceHeader]) -> None:
    first = headers[0]
    if len({header.patient_key for header in headers}) > 1:
        msg = "the folder holds slices of different patients"
        raise InputError(msg, code="E_PATIENTS", cure="give each patient a folder")
    if len({header.frame_key for header in headers} - {""}) > 1:
        msg = "the slices of the series have different frames of reference (mixed)"
        raise InputError(msg, code="E_SERIES", cure="give the folder of one series and one phase")
    known = [header.instance for header in headers if header.instance]
    if len(set(known)) < len(known):
        msg = f"{len(known) - len(set(known))} files have the SOPInstanceUID of another and other content"
        raise InputError(msg, code="E_SLICES", cure="copy the series again")
    differing = (
        ("matrix", len({header.shape for header in headers}) > 1),
        ("pixel spacing", _spread([header.spacing for header in headers]) > 1e-3 * min(first.spacing)),
        ("orientation", _spread([header.orientation for header in headers]) > 1e-3),
    )
    for what, differs in differing:
        if differs:
            msg = f"the slices of the series differ in {what} (mixed)"
            raise InputError(msg, code="E_SERIES", cure="give the folder of one series and one phase")


def _spread(rows: Sequence[tuple[float, ...]]) -> float:
    return float(np.ptp(np.asarray(rows), axis=0).max())


def _even_step(heights: DoubleArray, limits: DicomLimits) -> float:
    """Return the slice spacing, mm, from positions along the normal in rising order."""
    gaps = np.diff(heights)
    step = float(np.percentile(gaps, 50, method="lower"))
    duplicates = int(np.count_nonzero(gaps <= limits.position_tolerance * max(step, 1e-3)))
    if duplicates:
        msg = f"duplicate slices: {duplicates} at the same position as another (two phases in one series?)"
        raise InputError(msg, code="E_SLICES", cure="give the folder of one series and one phase")
    widest = float(gaps.max())
    missing = round(widest / step) - 1
    if missing >= 1 and abs(widest - (missing + 1) * step) <= 0.1 * step:
        total = int(np.sum(np.round(gaps / step) - 1))
        msg = f"missing slices: {total} (a gap of {widest:.4g} mm where the slice spacing is {step:.4g} mm)"
        raise InputError(msg, code="E_SLICES", cure="copy the complete series")
    even = (heights[-1] - heights[0]) / (len(heights) - 1)
    apart = np.abs(heights - (heights[0] + even * np.arange(len(heights))))
    if max(float(apart.max()), float(np.abs(gaps - even).max())) > limits.position_tolerance * even:
        msg = f"uneven slice spacing: {gaps.min():.4g} to {gaps.max():.4g} mm"
        raise InputError(msg, code="E_SLICES", cure="give a series of even slices")
    return float(even)


def _require_straight(positions: DoubleArray, normal: DoubleArray, pixel: float, limits: DicomLimits) -> None:
    """Refuse a stack whose slices are shifted sideways: gantry tilt, or slices of other scans."""
    offsets = positions - positions[0]
    along = offsets @ normal
    sideways = offsets - np.outer(along, normal)
    slope = sideways[-1] / along[-1]
    tilt = float(np.linalg.norm(slope))
    if tilt > limits.tilt:
        msg = f"gantry tilt: the slices shift sideways by {np.degrees(np.arctan(tilt)):.2g} degrees"
        raise InputError(msg, code="E_TILT", cure="give a series without tilt, or a resampled one")
    apart = float(np.linalg.norm(sideways - np.outer(along, slope), axis=1).max())
    if apart > 0.1 * pixel:
        msg = f"a slice is shifted sideways by {apart:.3g} mm against the others"
        raise InputError(msg, code="E_POSITION", cure="give the folder of one series and one phase")
