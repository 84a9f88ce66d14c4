"""An image in one file: NIfTI, NRRD or MetaImage, told apart by content and read behind the same limits."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Notice
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import ReadImage
from lymphct.io.images.limits import AnatomicalLimits, SafetyLimits
from lymphct.io.images.metaimage import META_STARTS, parse_metaimage
from lymphct.io.images.nifti import read_nifti
from lymphct.io.images.nifti_header import HEADER_BYTES, parse_header
from lymphct.io.images.nifti_stream import VerifiedStream
from lymphct.io.images.nrrd import NRRD_MAGIC, parse_nrrd
from lymphct.io.images.text_header import LONGEST_HEADER, TextHeader
from lymphct.io.images.voxels import read_payload, scaled_values
from lymphct.io.regular_file import combined_digest, open_regular

SUFFIXES: Final = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")
"""How the names of such files end; what is read is decided by content."""

_Parser = Callable[[bytes, SafetyLimits], TextHeader]


def image_stem(name: str) -> str | None:
    """Return the name of an image file without suffix; None for other files.

    >>> image_stem("liver.nii.gz"), image_stem("case.seg.nrrd"), image_stem("notes.txt")
    ('liver', 'case', None)
    """
    return next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), None)


def read_single_file(
    path: Path,
    *,
    limits: SafetyLimits | None = None,
    anatomy: AnatomicalLimits | None = None,
    check_grid: Callable[[Geometry], None] | None = None,
) -> ReadImage:
    """Read an image.

    Args:
        path: the file; its content decides what it is, not its suffix.
        limits: safety limits; None for the defaults.
        anatomy: limits of a CT; its compression is bounded, masks compress without bound.
        check_grid: called with the grid before any voxel is read; raises what it must.

    Returns:
        Axes as in the file, LPS+. Whole numbers keep their type, all else is float32.

    Raises:
        InputError: anything wrong with the file, with the file's name.

    """
    limits = limits or SafetyLimits()
    try:
        with open_regular(path, limit=limits.file_bytes) as (file, size):
            parse, block = _parser(file)
            if parse is not None:
                return _read(file, size, parse(block, limits), block, (limits, anatomy, check_grid))
    except InputError as error:
        raise error.at(file=path.name) from None
    return read_nifti(path, limits=limits, anatomy=anatomy, check_grid=check_grid)


def single_file_grid(path: Path) -> Geometry:
    """Return the grid of an image from its header alone; same errors as `read_single_file`."""
    limits = SafetyLimits()
    try:
        with open_regular(path, limit=limits.file_bytes) as (file, size):
            parse, block = _parser(file)
            if parse is not None:
                return parse(block, limits).image.geometry
            file.seek(0)
            stream = VerifiedStream(file, size)
            start = bytearray(HEADER_BYTES)
            start = start[: stream.read_into(memoryview(start))]
            return parse_header(bytes(start), components=1, limits=limits).geometry
    except InputError as error:
        raise error.at(file=path.name) from None


def _parser(file: BinaryIO) -> tuple[_Parser | None, bytes]:
    """Return what parses the header, no parser for NIfTI and all else; and the beginning of the file."""
    block = file.read(LONGEST_HEADER)
    if block.startswith(NRRD_MAGIC):
        return parse_nrrd, block
    is_meta = any(block.startswith(start) for start in META_STARTS) and b"=" in block[:64]
    return (parse_metaimage if is_meta else None), block


_Limits = tuple[SafetyLimits, AnatomicalLimits | None, Callable[[Geometry], None] | None]


def _read(file: BinaryIO, size: int, header: TextHeader, block: bytes, checks: _Limits) -> ReadImage:
    limits, anatomy, check_grid = checks
    if check_grid:
        check_grid(header.image.geometry)
    file.seek(header.start)
    stream = VerifiedStream(file, size - header.start, limits=anatomy, packing=header.packing)
    raw, _ = read_payload(stream, header.image, b"")
    surplus = stream.finish(limits.trailing_bytes)
    notices = header.image.notices
    if surplus:
        text = f"{surplus} bytes behind the last voxel were ignored"
        notices = (*notices, Notice(code="trailing_bytes", text=text, value=float(surplus)))
    digests = [hashlib.sha256(block[: header.start]).hexdigest(), stream.digest]
    return ReadImage(
        volume=Volume(array=scaled_values(raw, header.image), geometry=header.image.geometry),
        digest=combined_digest(digests),
        notices=notices,
        segments=header.segments,
    )
