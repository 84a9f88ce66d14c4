"""The header of a MetaImage file with its voxels (`.mha`), as ITK writes it: positions are LPS."""

from typing import Final

import numpy as np

from lymphct.core.arrays import DoubleArray
from lymphct.io.images.limits import SafetyLimits
from lymphct.io.images.text_header import TextHeader, image_header, numbers, refuse, whole_numbers

META_STARTS: Final = (b"ObjectType", b"NDims", b"Comment", b"ObjectSubType")
"""With one of these fields the header begins."""

_LAST: Final = b"ElementDataFile"
_TYPES: Final = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def parse_metaimage(block: bytes, limits: SafetyLimits) -> TextHeader:
    """Check the header of a MetaImage file.

    Args:
        block: the beginning of the file.
        limits: safety limits.

    Raises:
        InputError: anything but a 3-D image of one number per voxel in one file, raw or zlib, whose place in
            the patient is known.

    """
    fields, start = _fields(block)
    if fields.get("ElementDataFile") != "LOCAL" or fields.get("HeaderSize", "0") != "0":
        refuse(
            "header and voxels lie in two files (.mhd), which is not supported", "E_HEADER", "save as .mha"
        )
    if fields.get("ObjectType", "Image") != "Image" or not _is_true(fields.get("BinaryData", "")):
        refuse("the file is no binary image (MetaImage)", "E_DATATYPE")
    if fields.get("ElementNumberOfChannels", "1") != "1":
        refuse("the image has several values per voxel, one is needed", "E_SHAPE")
    kind = _TYPES.get(fields.get("ElementType", ""))
    if kind is None:
        refuse("voxels of this type are not supported (MetaImage ElementType)", "E_DATATYPE")
    sizes = whole_numbers(fields.get("DimSize", ""), "sizes")
    if fields.get("NDims", "") != str(len(sizes)):
        refuse("incomplete or damaged file: NDims and DimSize disagree", "E_HEADER")
    is_big = _is_true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "")))
    image = image_header(_affine(fields), sizes, np.dtype(kind).newbyteorder(">" if is_big else "<"), limits)
    is_packed = _is_true(fields.get("CompressedData", ""))
    return TextHeader(image=image, start=start, packing="zlib" if is_packed else "raw")


def _is_true(value: str) -> bool:
    return value.casefold() in {"true", "1"}


def _fields(block: bytes) -> tuple[dict[str, str], int]:
    """Return the fields and where the voxels begin: behind the line of the last field."""
    fields: dict[str, str] = {}
    place, name = 0, b""
    while name != _LAST:
        end = block.find(b"\n", place)
        name, is_field, value = (part.strip() for part in block[place : max(end, 0)].partition(b"="))
        if end < 0 or not is_field:
            refuse("incomplete or damaged file: the MetaImage header has no end", "E_HEADER")
        place = end + 1
        key = name.decode("ascii", "replace")
        if key in fields:
            refuse("incomplete or damaged file: a field of the MetaImage header stands twice", "E_HEADER")
        fields[key] = value.decode("utf-8", "replace")
    return fields, place


def _affine(fields: dict[str, str]) -> DoubleArray:
    axes = next((fields[n] for n in ("TransformMatrix", "Rotation", "Orientation") if n in fields), "")
    origin = next((fields[n] for n in ("Offset", "Position", "Origin") if n in fields), "")
    if not axes or not origin or "ElementSpacing" not in fields:
        refuse(
            "the header holds no orientation (TransformMatrix, Offset, ElementSpacing)",
            "E_AFFINE",
            "convert again from DICOM",
        )
    spacing = numbers(fields["ElementSpacing"], 3, "the spacing")
    if not (spacing > 0).all():
        refuse("voxel spacing is zero, negative or not finite (ElementSpacing)", "E_SPACING")
    affine = np.eye(4)
    # One axis after the other: they are the columns of the direction.
    affine[:3, :3] = numbers(axes, 9, "the axes").reshape(3, 3).T * spacing
    affine[:3, 3] = numbers(origin, 3, "the origin")
    return affine
