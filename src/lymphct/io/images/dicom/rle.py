"""Run-length encoded pixels (PS3.5 Annex G), decoded only when every length is what the header declares."""

import struct
from typing import Final

import numpy as np
from pydicom.encaps import generate_fragments

from lymphct.core.arrays import AnyArray
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.dicom.values import refuse_damaged

_HEADER: Final = 64
_MOST_SEGMENTS: Final = 15
_NOTHING: Final = 128
"""A control byte that stands for no pixel."""


def decoded_rle(frame: bytes, header: SliceHeader) -> AnyArray:
    """Decode one frame.

    Args:
        frame: the fragment that holds it.
        header: of the slice, whose size and type the frame must have.

    Returns:
        Stored values [row, column] of the type the header declares.

    Raises:
        InputError: wrong segments, or a decoded length that does not fit.

    """
    columns, rows = header.shape
    planes = header.bits[0] // 8
    if len(frame) < _HEADER:
        refuse_damaged("the RLE pixels cannot be decoded (truncated?)")
    count, *offsets = struct.unpack_from(f"<{_MOST_SEGMENTS + 1}L", frame)
    if count != planes:
        refuse_damaged(f"the RLE pixels cannot be decoded: {count} segments where {planes} belong")
    ends = [*offsets[1:planes], len(frame)]
    values = np.zeros((rows * columns, planes), dtype=np.uint8)
    for plane, (start, end) in enumerate(zip(offsets[:planes], ends, strict=True)):
        if not _HEADER <= start <= end <= len(frame):
            refuse_damaged("the RLE pixels cannot be decoded: segments lie outside the frame (truncated?)")
        # The most significant byte comes first; NumPy's little-endian numbers have it last.
        values[:, planes - 1 - plane] = np.frombuffer(_unpacked(frame[start:end], rows * columns), np.uint8)
    kind = "i" if header.is_signed else "u"
    return values.view(f"<{kind}{planes}").reshape(rows, columns)


def only_fragment(pixels: bytes) -> bytes:
    """Return the one fragment of an encapsulated value of the pixel element.

    Raises:
        InputError: damaged, or several.

    """
    try:
        # The first item is a table of offsets, empty for one frame.
        fragments = list(generate_fragments(pixels))[1:]
    except Exception:  # noqa: BLE001 - pydicom raises many types
        refuse_damaged("the RLE pixels cannot be decoded (truncated?)")
    if len(fragments) != 1:
        refuse_damaged(f"the RLE pixels cannot be decoded: {len(fragments)} fragments where one frame is one")
    return fragments[0]


def _unpacked(segment: bytes, size: int) -> bytes:
    """Return the bytes of one segment; they are `size`, or the file is damaged."""
    unpacked = bytearray()
    place = 0
    while place < len(segment) and len(unpacked) < size:
        control = segment[place]
        if control < _NOTHING:
            unpacked += segment[place + 1 : place + 2 + control]
            place += 2 + control
        elif control > _NOTHING:
            unpacked += segment[place + 1 : place + 2] * (257 - control)
            place += 2
        else:
            place += 1
    # A segment has an even number of bytes: one may be left, and place runs over where one is missing.
    if len(unpacked) != size or place > len(segment) or any(segment[place:]) or len(segment) - place > 1:
        refuse_damaged(
            f"the RLE pixels cannot be decoded (truncated?): {len(unpacked)} bytes where {size} belong, "
            f"{max(len(segment) - place, 0)} left over"
        )
    return bytes(unpacked)
