"""The headers of DICOM slices, read behind limits; text of tags leaves this module for DICOM files alone.

A file holds one slice, or is an Enhanced CT and holds many: then each of its frames is a slice.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lymphct.core.errors import InputError
from lymphct.io.images.dicom.elements import (
    BIG_ENDIAN,
    DIMENSIONS,
    FRAME_GROUPS,
    IMPLICIT,
    SHARED_GROUPS,
    SYNTAX,
    NeedMoreError,
    walked,
)
from lymphct.io.images.dicom.file_content import file_content, parsed, transfer_syntax
from lymphct.io.images.dicom.frames import Frame, frames_of
from lymphct.io.images.dicom.kinds import CT_IMAGE, ENHANCED
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.dicom.values import (
    element_numbers,
    element_text,
    element_value,
    element_whole_number,
    keyed_hash,
    quiet_pydicom,
    refuse_damaged,
)
from lymphct.io.images.limits import DicomLimits

SYNTAXES: Final = {
    "1.2.840.10008.1.2": "uncompressed",
    "1.2.840.10008.1.2.1": "uncompressed",
    "1.2.840.10008.1.2.2": "uncompressed",
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
}
"""Transfer syntaxes that are read. Deflated files are left out: they unpack without a bound."""

_LOSSY: Final = ("1.2.840.10008.1.2.4.81",)

_KEYWORDS: Final = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "ImageType", "Modality", "PatientID",
    "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "FrameOfReferenceUID",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation", "NumberOfFrames",
    "PixelPaddingValue", "RescaleSlope", "RescaleIntercept", "RescaleType", "LossyImageCompression",
    "BurnedInAnnotation", "ConcatenationUID", "InConcatenationNumber", "InConcatenationTotalNumber",
)  # fmt: skip
_TAGS: Final[list[int]] = [int(Tag(keyword)) for keyword in _KEYWORDS]


def scan_file(path: Path, number: int, limits: DicomLimits) -> tuple[SliceHeader, ...] | str:
    """Read the header of one file.

    Returns:
        The headers of its axial CT slices: one, or one for each frame; or what else the file is, in our
        words: "empty", "no DICOM", "other object".

    Raises:
        InputError: a damaged, hostile or unsupported file that belongs to the series.

    """
    content = file_content(path, limits)
    if isinstance(content, str):
        return content
    syntax = transfer_syntax(content)
    with quiet_pydicom():
        dataset = parsed(content, syntax, limits, _TAGS)
        kind = _kind(dataset)
        if kind == "other object":
            return kind
        if syntax not in SYNTAXES:
            msg = "the compression of the pixels (transfer syntax) is not supported"
            raise InputError(msg, code="E_SYNTAX", cure="export without compression, or as RLE or JPEG 2000")
        digest = hashlib.sha256(content).hexdigest()
        if kind == "slice":
            place = _place(dataset)
            return (_slice_header(dataset, place, path=path, number=number, digest=digest, syntax=syntax),)
        frames = _frames(dataset, content, syntax, limits)
        first = _slice_header(dataset, frames[0], path=path, number=number, digest=digest, syntax=syntax)
        return _frame_headers(dataset, first, frames)


def read_elements(path: Path, keywords: Sequence[str], limits: DicomLimits) -> Dataset:
    """Read these elements of a slice that `scan_file` took, and no others, decoded when they are asked for.

    Their text is a patient's: it may go into DICOM files that the user asks for, and nowhere else.

    Raises:
        InputError: the file is not the one it was.

    """
    content = file_content(path, limits)
    if isinstance(content, str):
        refuse_damaged("a slice changed while it was read")
    tags = [int(Tag(keyword)) for keyword in keywords]
    return parsed(content, transfer_syntax(content), limits, tags)


def _kind(dataset: Dataset) -> str:
    """Tell a slice, and a file of many, from the other objects that lie in exported folders."""
    sop_class = element_text(dataset, "SOPClassUID")
    if not element_text(dataset, "Modality") and sop_class in {"", CT_IMAGE}:
        # Every object states its modality: this may be a slice that was cut off, and must not be left out.
        refuse_damaged("the DICOM header states no modality (truncated?)")
    if element_text(dataset, "Modality") != "CT" or (
        sop_class not in {"", CT_IMAGE} and sop_class not in ENHANCED
    ):
        return "other object"
    if sop_class not in ENHANCED and element_whole_number(dataset, "NumberOfFrames", 1) != 1:
        msg = "several frames in a file of single-frame CT"
        raise InputError(msg, code="E_DICOM", cure="export one file per slice, or as Enhanced CT")
    image_type = element_value(dataset, "ImageType") or []
    if "LOCALIZER" in [str(part).upper() for part in image_type]:
        return "other object"
    return "frames" if sop_class in ENHANCED else "slice"


def _place(dataset: Dataset) -> Frame:
    """Return where a file of one slice lies, and how it becomes HU."""
    if element_text(dataset, "RescaleType").upper() not in {"", "HU"}:
        msg = "the values of the slice are not HU (RescaleType)"
        raise InputError(msg, code="E_NOT_HU", cure="export the CT in HU")
    spacing = element_numbers(dataset, "PixelSpacing", 2, "E_SPACING")
    if min(spacing) <= 0:
        msg = f"the pixel spacing {spacing} mm is zero or negative"
        raise InputError(msg, code="E_SPACING", cure="export the series again")
    (slope,) = element_numbers(dataset, "RescaleSlope", 1, "E_SCALING")
    if slope == 0:
        msg = "the rescale slope is zero: the slice holds no HU"
        raise InputError(msg, code="E_SCALING", cure="export the series again")
    return Frame(
        number=0,
        position=element_numbers(dataset, "ImagePositionPatient", 3, "E_POSITION"),
        orientation=element_numbers(dataset, "ImageOrientationPatient", 6, "E_POSITION"),
        spacing=(spacing[1], spacing[0]),  # DICOM gives the step between rows first
        slope=slope,
        intercept=element_numbers(dataset, "RescaleIntercept", 1, "E_SCALING")[0],
        stack="",
    )


def _frames(dataset: Dataset, content: bytes, syntax: str, limits: DicomLimits) -> tuple[Frame, ...]:
    """Return the frames of a file that holds many."""
    if syntax == BIG_ENDIAN:
        msg = "multi-frame CT in big-endian order (transfer syntax) is not supported"
        raise InputError(msg, code="E_SYNTAX", cure="export it little-endian")
    wanted = (SYNTAX, DIMENSIONS, SHARED_GROUPS, FRAME_GROUPS)
    is_whole = len(content) <= limits.file_bytes
    try:
        # No header is longer than a slice may be, whatever the file says.
        header = walked(content[: limits.file_bytes], wanted, most=limits.elements, whole=is_whole)
    except (NeedMoreError, struct.error):
        if not is_whole:
            refuse_damaged(f"the header has more than {limits.file_bytes} bytes, the limit")
        refuse_damaged("the header ends within an element (truncated?)")
    return frames_of(
        header.sequences,
        element_whole_number(dataset, "NumberOfFrames", 1),
        limits,
        has_kinds=syntax != IMPLICIT.decode("ascii"),
        is_part=bool(element_text(dataset, "ConcatenationUID")),
    )


def _frame_headers(dataset: Dataset, first: SliceHeader, frames: Sequence[Frame]) -> tuple[SliceHeader, ...]:
    instance, whole = (element_text(dataset, name) for name in ("SOPInstanceUID", "ConcatenationUID"))
    if not instance:
        refuse_damaged("the multi-frame object has no SOPInstanceUID")
    part = (
        element_whole_number(dataset, "InConcatenationNumber", 0),
        element_whole_number(dataset, "InConcatenationTotalNumber", 0),
    )
    if whole and part[0] < 1:
        refuse_damaged("a part of a concatenation does not say which it is (InConcatenationNumber)")
    return tuple(
        replace(
            first,
            instance=keyed_hash(f"{instance} {frame.number}"),
            position=frame.position,
            orientation=frame.orientation,
            spacing=frame.spacing,
            slope=frame.slope,
            intercept=frame.intercept,
            frame=frame.number,
            frames=len(frames),
            object_key=keyed_hash(whole or instance),
            stack=frame.stack,
            part=part if whole else (0, 0),
        )
        for frame in frames
    )


def _slice_header(  # noqa: PLR0913 - what is known of a file
    dataset: Dataset, place: Frame, *, path: Path, number: int, digest: str, syntax: str
) -> SliceHeader:
    bits = element_whole_number(dataset, "BitsAllocated", 0), element_whole_number(dataset, "BitsStored", 0)
    gray = element_text(dataset, "PhotometricInterpretation") == "MONOCHROME2"
    if element_whole_number(dataset, "SamplesPerPixel", 1) != 1 or not gray or bits[0] not in {8, 16, 32}:
        msg = "the pixels are not one gray value each (MONOCHROME2 of 8, 16 or 32 bits)"
        raise InputError(msg, code="E_DATATYPE", cure="export the original CT series")
    columns, rows = element_whole_number(dataset, "Columns", 0), element_whole_number(dataset, "Rows", 0)
    if min(columns, rows) < 1:
        refuse_damaged("the DICOM header gives no number of rows and columns")
    return SliceHeader(
        path=path,
        number=number,
        digest=digest,
        syntax=SYNTAXES[syntax],
        series=keyed_hash(element_text(dataset, "SeriesInstanceUID")),
        instance=keyed_hash(element_text(dataset, "SOPInstanceUID")),
        patient_key=keyed_hash(element_text(dataset, "PatientID")),
        frame_key=keyed_hash(element_text(dataset, "FrameOfReferenceUID")),
        position=place.position,
        orientation=place.orientation,
        shape=(columns, rows),
        spacing=place.spacing,
        slope=place.slope,
        intercept=place.intercept,
        padding=_padding(dataset, bits[0]),
        bits=bits,
        is_signed=element_whole_number(dataset, "PixelRepresentation", 0) == 1,
        is_lossy=syntax in _LOSSY or element_text(dataset, "LossyImageCompression") == "01",
        is_burned_in=element_text(dataset, "BurnedInAnnotation").upper() == "YES",
        is_known_text=_knows_text(dataset),
        series_number=element_whole_number(dataset, "SeriesNumber", 0),
        description=element_text(dataset, "SeriesDescription"),
    )


def _knows_text(dataset: Dataset) -> bool:
    value = element_value(dataset, "SpecificCharacterSet")
    names = [] if value is None else [value] if isinstance(value, str) else list(value)
    return all(str(name).strip() in python_encoding for name in names)


def _padding(dataset: Dataset, bits: int) -> int | None:
    if "PixelPaddingValue" not in dataset:
        return None
    value = element_whole_number(dataset, "PixelPaddingValue", 0)
    signed = element_whole_number(dataset, "PixelRepresentation", 0) == 1
    return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value
