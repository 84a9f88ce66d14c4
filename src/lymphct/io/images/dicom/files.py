"""The headers of DICOM slices, read behind limits; text of tags leaves this module for DICOM files alone."""

import hashlib
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from lymphct.core.errors import InputError
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
from lymphct.io.regular_file import open_regular

_PREAMBLE: Final = 132
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_PIXEL_GROUP: Final = 0x7FE0
_CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED: Final = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")

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
    "BurnedInAnnotation",
)  # fmt: skip
_TAGS: Final[list[int]] = [int(Tag(keyword)) for keyword in _KEYWORDS]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """What one axial slice says of itself.

    Attributes:
        path: its file.
        number: its place among the files of the folder by name, from 1; messages name it instead of the
            file, whose name may hold patient data.
        digest: sha256 of the file.
        syntax: one of the values of `SYNTAXES`.
        series, instance, patient_key, frame_key: keyed hashes, comparable within this process; empty when
            unknown.
        position, orientation: LPS+ mm and two unit vectors.
        shape: columns, rows.
        spacing: mm between columns, between rows.
        slope, intercept: HU = slope × stored + intercept.
        padding: stored value outside the field of view; None when there is none.
        bits: allocated and stored per pixel.
        is_signed: whether stored values may be negative.
        is_lossy, is_burned_in: compressed with loss; text drawn into the pixels.
        is_known_text: whether the character set of its text is one of DICOM's.
        series_number: by which series are listed; 0 when unknown.
        description: of the series; shown in the list of several series and nowhere else.

    """

    path: Path
    number: int
    digest: str
    syntax: str
    series: str
    instance: str
    patient_key: str
    frame_key: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    shape: tuple[int, int]
    spacing: tuple[float, float]
    slope: float
    intercept: float
    padding: int | None
    bits: tuple[int, int]
    is_signed: bool
    is_lossy: bool
    is_burned_in: bool
    is_known_text: bool = True
    series_number: int = 0
    description: str = field(default="", repr=False)


def scan_file(path: Path, number: int, limits: DicomLimits) -> SliceHeader | str:
    """Read the header of one file.

    Returns:
        The header of an axial CT slice; or what else the file is, in our words: "empty", "no DICOM",
        "other object".

    Raises:
        InputError: a damaged, hostile or unsupported file that belongs to the series.

    """
    content = _content(path, limits)
    if isinstance(content, str):
        return content
    syntax = _transfer_syntax(content)
    with quiet_pydicom():
        dataset = _parse(content, syntax, limits)
        kind = _kind(dataset)
        if kind != "slice":
            return kind
        if syntax not in SYNTAXES:
            msg = "the compression of the pixels (transfer syntax) is not supported"
            raise InputError(msg, code="E_SYNTAX", cure="export without compression, or as RLE or JPEG 2000")
        digest = hashlib.sha256(content).hexdigest()
        return _slice_header(dataset, path=path, number=number, digest=digest, syntax=syntax)


def read_elements(path: Path, keywords: Sequence[str], limits: DicomLimits) -> Dataset:
    """Read these elements of a slice that `scan_file` took, and no others, decoded when they are asked for.

    Their text is a patient's: it may go into DICOM files that the user asks for, and nowhere else.

    Raises:
        InputError: the file is not the one it was.

    """
    content = _content(path, limits)
    if isinstance(content, str):
        refuse_damaged("a slice changed while it was read")
    return _parse(content, _transfer_syntax(content), limits, [int(Tag(keyword)) for keyword in keywords])


def _content(path: Path, limits: DicomLimits) -> bytes | str:
    """Return the bytes of a DICOM file, or what else the file is; the limits are those of DICOM files."""
    try:
        with open_regular(path, limit=sys.maxsize) as (file, size):
            content = file.read(_PREAMBLE)
            is_dicom = content[128:] == b"DICM"
            content += file.read(limits.file_bytes) if is_dicom else b""
    except InputError as error:
        if error.code != "E_EMPTY":
            raise
        return "empty"
    if is_dicom and size > limits.file_bytes:
        msg = f"the file is too large ({size} bytes, limit {limits.file_bytes})"
        raise InputError(msg, code="E_TOO_LARGE", cure="export one file per slice")
    return content if is_dicom else "no DICOM"


def _transfer_syntax(content: bytes) -> str:
    """Return the transfer syntax of the file's meta group, which is always explicit and little-endian."""
    place, syntax = 132, ""
    while not syntax and place + 8 <= len(content):
        group, element, kind = struct.unpack_from("<HH2s", content, place)
        if group != 2:
            break
        if kind in {b"OB", b"OW", b"UN", b"SQ", b"UT"}:
            length, start = int.from_bytes(content[place + 8 : place + 12], "little"), place + 12
        else:
            length, start = int.from_bytes(content[place + 6 : place + 8], "little"), place + 8
        if element == 0x10:
            syntax = content[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        place = start + length
    if not syntax:
        refuse_damaged("the DICOM header names no transfer syntax")
    return syntax


def _parse(content: bytes, syntax: str, limits: DicomLimits, tags: list[int] = _TAGS) -> Dataset:
    """Parse the elements we need, up to the pixels; each other element is skipped unread."""
    if syntax == "1.2.840.10008.1.2.1.99":
        msg = "deflated DICOM files (transfer syntax) are not supported"
        raise InputError(msg, code="E_SYNTAX", cure="export without compression")
    stream = BytesIO(content)
    try:
        dataset: Dataset = read_partial(stream, stop_when=_guard(stream, limits), specific_tags=list(tags))
    except InputError:
        raise
    except (Exception, RecursionError):  # noqa: BLE001 - pydicom raises many types, and quotes tags in them
        refuse_damaged("the DICOM header cannot be parsed")
    return dataset


def _guard(stream: BytesIO, limits: DicomLimits) -> Callable[[BaseTag, str | None, int], bool]:
    """Return what pydicom asks before it reads each value; it would take what is left of a cut-off one."""
    count, size = 0, len(stream.getbuffer())

    def stop(tag: BaseTag, _kind: str | None, length: int) -> bool:
        nonlocal count
        count += 1
        if count > limits.elements:
            refuse_damaged(f"more than {limits.elements} data elements, the limit")
        left = size - stream.tell()
        if length != _UNDEFINED_LENGTH and length > left:
            refuse_damaged(f"an element claims {length} bytes where {left} are left (truncated?)")
        return int(tag) >> 16 >= _PIXEL_GROUP

    return stop


def _kind(dataset: Dataset) -> str:
    """Tell a slice from the other objects that lie in exported folders."""
    sop_class = element_text(dataset, "SOPClassUID")
    if not element_text(dataset, "Modality") and sop_class in {"", _CT_IMAGE}:
        # Every object states its modality: this may be a slice that was cut off, and must not be left out.
        refuse_damaged("the DICOM header states no modality (truncated?)")
    if element_text(dataset, "Modality") != "CT" or (
        sop_class not in {"", _CT_IMAGE} and sop_class not in _ENHANCED
    ):
        return "other object"
    if sop_class in _ENHANCED or element_whole_number(dataset, "NumberOfFrames", 1) != 1:
        msg = "multi-frame (enhanced) CT is not supported"
        raise InputError(msg, code="E_DICOM", cure="export one file per slice")
    image_type = element_value(dataset, "ImageType") or []
    if "LOCALIZER" in [str(part).upper() for part in image_type]:
        return "other object"
    return "slice"


def _slice_header(dataset: Dataset, *, path: Path, number: int, digest: str, syntax: str) -> SliceHeader:
    if element_text(dataset, "RescaleType").upper() not in {"", "HU"}:
        msg = "the values of the slice are not HU (RescaleType)"
        raise InputError(msg, code="E_NOT_HU", cure="export the CT in HU")
    bits = element_whole_number(dataset, "BitsAllocated", 0), element_whole_number(dataset, "BitsStored", 0)
    gray = element_text(dataset, "PhotometricInterpretation") == "MONOCHROME2"
    if element_whole_number(dataset, "SamplesPerPixel", 1) != 1 or not gray or bits[0] not in {8, 16, 32}:
        msg = "the pixels are not one gray value each (MONOCHROME2 of 8, 16 or 32 bits)"
        raise InputError(msg, code="E_DATATYPE", cure="export the original CT series")
    columns, rows = element_whole_number(dataset, "Columns", 0), element_whole_number(dataset, "Rows", 0)
    if min(columns, rows) < 1:
        refuse_damaged("the DICOM header gives no number of rows and columns")
    spacing = element_numbers(dataset, "PixelSpacing", 2, "E_SPACING")
    if min(spacing) <= 0:
        msg = f"the pixel spacing {spacing} mm is zero or negative"
        raise InputError(msg, code="E_SPACING", cure="export the series again")
    (slope,) = element_numbers(dataset, "RescaleSlope", 1, "E_SCALING")
    if slope == 0:
        msg = "the rescale slope is zero: the slice holds no HU"
        raise InputError(msg, code="E_SCALING", cure="export the series again")
    return SliceHeader(
        path=path,
        number=number,
        digest=digest,
        syntax=SYNTAXES[syntax],
        series=keyed_hash(element_text(dataset, "SeriesInstanceUID")),
        instance=keyed_hash(element_text(dataset, "SOPInstanceUID")),
        patient_key=keyed_hash(element_text(dataset, "PatientID")),
        frame_key=keyed_hash(element_text(dataset, "FrameOfReferenceUID")),
        position=element_numbers(dataset, "ImagePositionPatient", 3, "E_POSITION"),
        orientation=element_numbers(dataset, "ImageOrientationPatient", 6, "E_POSITION"),
        shape=(columns, rows),
        spacing=(spacing[1], spacing[0]),  # DICOM gives the step between rows first
        slope=slope,
        intercept=element_numbers(dataset, "RescaleIntercept", 1, "E_SCALING")[0],
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
