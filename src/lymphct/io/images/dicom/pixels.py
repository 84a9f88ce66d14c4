"""The pixels of DICOM slices as HU, decoded only when their size is what the header declares."""

import hashlib
import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Final

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.dicom.pixel_frames import FramePixels
from lymphct.io.images.dicom.rle import decoded_rle, only_fragment
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.dicom.values import quiet_pydicom, refuse_damaged
from lymphct.io.images.hounsfield import AIR
from lymphct.io.images.limits import DicomLimits
from lymphct.io.regular_file import open_regular

_END_OF_CODESTREAM: Final = b"\xff\xd9"


def read_pixels(headers: Sequence[SliceHeader], geometry: Geometry, limits: DicomLimits) -> Volume:
    """Decode ordered slices.

    Returns:
        HU [i, j, k]; int32 when every rescale is whole numbers, else float32. Padding becomes -1024.

    Raises:
        InputError: truncated or damaged pixels, or a file that changed since its header was read.

    """
    whole = all(header.slope.is_integer() and header.intercept.is_integer() for header in headers)
    array: AnyArray = np.empty(geometry.shape, dtype=np.int32 if whole else np.float32)
    by_file: dict[str, list[tuple[int, SliceHeader]]] = {}
    for k, header in enumerate(headers):
        by_file.setdefault(header.digest, []).append((k, header))
    for slices in by_file.values():
        try:
            stored_of = _opened(slices[0][1], limits)
            for k, header in slices:
                array[:, :, k] = _hounsfield(stored_of(header), header, whole=whole).T
        except InputError as error:
            raise _in_file(error, slices[0][1]) from None
    return Volume(array=array, geometry=geometry)


def _in_file(error: InputError, header: SliceHeader) -> InputError:
    # The name of the file may hold patient data, its place in the folder does not.
    return InputError(f"file {header.number} by name: {error.cause}", code=error.code, cure=error.cure)


def _opened(header: SliceHeader, limits: DicomLimits) -> Callable[[SliceHeader], AnyArray]:
    """Read a file that did not change since; return what gives the stored values [row, column] of a slice."""
    limit = limits.multiframe_bytes if header.object_key else limits.file_bytes
    with open_regular(header.path, limit=limit) as (file, _):
        content = file.read(limit + 1)
    if hashlib.sha256(content).hexdigest() != header.digest:
        refuse_damaged("it changed while it was being read")
    if not header.object_key:
        return lambda wanted: _only_slice(content, wanted)
    frames = FramePixels(content, header, limits)
    return lambda wanted: _frame(frames, wanted)


def _only_slice(content: bytes, header: SliceHeader) -> AnyArray:
    with quiet_pydicom():
        try:
            dataset = dcmread(BytesIO(content))
            pixels = bytes(dataset.PixelData)
        except (Exception, RecursionError):  # noqa: BLE001 - pydicom raises many types, and quotes tags in them
            refuse_damaged("it holds no readable pixels (truncated?)")
        if header.syntax == "RLE":
            return decoded_rle(only_fragment(pixels), header)
        _check_size(pixels, header)
        return _decoded(dataset, header)


def _frame(frames: FramePixels, header: SliceHeader) -> AnyArray:
    pixels = frames.frame(header.frame)
    if header.syntax == "RLE":
        return decoded_rle(pixels, header)
    _check_size(pixels, header)
    with quiet_pydicom():
        return _decoded(frames.dataset(header), header)


def _decoded(dataset: Dataset, header: SliceHeader) -> AnyArray:
    try:
        return np.asarray(dataset.pixel_array)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders raise many types
        refuse_damaged(f"the {header.syntax} pixels cannot be decoded (truncated?)")


def _check_size(pixels: bytes, header: SliceHeader) -> None:
    """Compare what the pixels themselves declare with the header, before a decoder allocates memory."""
    columns, rows = header.shape
    if header.syntax == "uncompressed":
        expected = columns * rows * header.bits[0] // 8
        if not expected <= len(pixels) <= expected + 1:
            refuse_damaged(f"the pixels are truncated (expected {expected} bytes, got {len(pixels)})")
        return
    declared = (columns, rows)
    if header.syntax == "JPEG 2000":
        start = pixels.find(b"\xff\x4f\xff\x51")
        if 0 <= start <= len(pixels) - 24:
            right, lower, left, upper = struct.unpack_from(">IIII", pixels, start + 8)
            declared = (right - left, lower - upper)
        else:
            refuse_damaged("the JPEG 2000 pixels have no header")
    elif header.syntax == "JPEG-LS":
        start = pixels.find(b"\xff\xf7")
        if 0 <= start <= len(pixels) - 9:
            declared = struct.unpack_from(">HH", pixels, start + 5)[::-1]
        else:
            refuse_damaged("the JPEG-LS pixels have no header")
    if declared != (columns, rows):
        refuse_damaged(f"the compressed pixels are {declared}, the header says {(columns, rows)}")
    if _END_OF_CODESTREAM not in pixels[-32:]:
        refuse_damaged(f"the {header.syntax} pixels are truncated: their end mark is missing")


def _hounsfield(stored: AnyArray, header: SliceHeader, *, whole: bool) -> AnyArray:
    values: AnyArray
    if whole:
        values = stored.astype(np.int64) * int(header.slope) + int(header.intercept)
        values = np.clip(values, np.iinfo(np.int32).min, np.iinfo(np.int32).max)
    else:
        values = (stored * header.slope + header.intercept).astype(np.float32)
    if header.padding is not None:
        values[stored == header.padding] = AIR
    return values
