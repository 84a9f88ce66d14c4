"""Where each frame of a multi-frame file lies among its pixels, told before any of them is decoded."""

import struct
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from lymphct.io.images.dicom.elements import (
    END_OF_SEQUENCE,
    ITEM,
    OFFSETS,
    OPEN,
    SYNTAX,
    Element,
    NeedMoreError,
    walked,
)
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.dicom.values import refuse_damaged
from lymphct.io.images.limits import DicomLimits

_PIXEL_DATA: Final = 0x7FE00010


class FramePixels:
    """The pixels of a multi-frame file, frame by frame.

    Raises:
        InputError: truncated, or frames that cannot be told apart.

    """

    def __init__(self, content: bytes, header: SliceHeader, limits: DicomLimits) -> None:
        """Find the frames; `content` is the file, `header` that of any of its frames."""
        self._content, self._header = content, header
        try:
            found = walked(content, (SYNTAX, OFFSETS), most=limits.elements, whole=True)
        except (NeedMoreError, struct.error):
            refuse_damaged("it holds no readable pixels (truncated?)")
        if found.pixels is None or found.pixels.tag != _PIXEL_DATA:
            refuse_damaged("it holds no readable pixels (truncated?)")
        self._syntax = found.values[SYNTAX].rstrip(b"\0 ").decode("ascii", "replace")
        if header.syntax == "uncompressed":
            self._spans = [[span] for span in self._even(found.pixels)]
        else:
            self._spans = self._compressed(found.pixels, found.values.get(OFFSETS, b""))

    def frame(self, number: int) -> bytes:
        """Return the bytes of a frame, counted from 0."""
        return b"".join(self._content[start:end] for start, end in self._spans[number])

    def dataset(self, header: SliceHeader) -> Dataset:
        """Return a frame as an object of one slice, for a decoder."""
        made, pixels = Dataset(), self.frame(header.frame)
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = UID(self._syntax)
        made.Columns, made.Rows = header.shape
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored = header.bits
        made.HighBit = header.bits[1] - 1
        made.PixelRepresentation = int(header.is_signed)
        made.PixelData = pixels if header.syntax == "uncompressed" else encapsulate([pixels])
        made["PixelData"].is_undefined_length = header.syntax != "uncompressed"
        return made

    def _even(self, pixels: Element) -> list[tuple[int, int]]:
        header = self._header
        size = header.shape[0] * header.shape[1] * header.bits[0] // 8
        there = min(pixels.length, len(self._content) - pixels.start)
        if not size * header.frames <= there <= size * header.frames + 1:
            refuse_damaged(f"the pixels are truncated (expected {size * header.frames} bytes, got {there})")
        return [(pixels.start + n * size, pixels.start + (n + 1) * size) for n in range(header.frames)]

    def _compressed(self, pixels: Element, extended: bytes) -> list[list[tuple[int, int]]]:
        """Return the fragments of each frame; an offset table tells where frames of several begin."""
        if pixels.length != OPEN:
            refuse_damaged("compressed pixels that are not in fragments")
        table, *fragments = self._fragments(pixels.start)
        count = self._header.frames
        if len(fragments) < count:
            refuse_damaged(f"{len(fragments)} fragments of compressed pixels where {count} frames belong")
        if len(fragments) == count:
            return [[fragment] for fragment in fragments]
        basic = self._content[slice(*table)]
        kind, value = (f"<{count}L", basic) if basic else (f"<{count}Q", extended)
        if len(value) != struct.calcsize(kind):
            refuse_damaged(f"{len(fragments)} fragments of {count} frames, and no table where each begins")
        starts = struct.unpack(kind, value)
        # Offsets count from the first fragment's item on, whose mark and length take eight bytes.
        places = {start - fragments[0][0]: which for which, (start, _) in enumerate(fragments)}
        if (
            starts[0] != 0
            or any(start not in places for start in starts)
            or sorted(set(starts)) != list(starts)
        ):
            refuse_damaged("the table of where frames begin does not fit the fragments")
        firsts = [places[start] for start in starts]
        return [fragments[a:b] for a, b in zip(firsts, [*firsts[1:], len(fragments)], strict=True)]

    def _fragments(self, place: int) -> list[tuple[int, int]]:
        """Return where each item of the pixels begins and ends; the first is the table of offsets."""
        found: list[tuple[int, int]] = []
        while place + 8 <= len(self._content):
            group, number, length = struct.unpack_from("<HHL", self._content, place)
            tag, start = group << 16 | number, place + 8
            if tag == END_OF_SEQUENCE and found:
                return found
            if tag != ITEM or length == OPEN or start + length > len(self._content):
                break
            found.append((start, start + length))
            place = start + length
        return refuse_damaged("the compressed pixels end within a fragment (truncated?)")
