"""The header of an NRRD file, also of a segmentation of 3D Slicer (`.seg.nrrd`)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from lymphct.core.arrays import DoubleArray
from lymphct.io.images.limits import SafetyLimits, check_voxel_count
from lymphct.io.images.nifti_stream import Packing
from lymphct.io.images.text_header import TextHeader, image_header, numbers, refuse, whole_numbers

NRRD_MAGIC: Final = b"NRRD000"

_TYPES: Final = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_KINDS: Final = {name: kind for kind, names in _TYPES.items() for name in names}
_LPS_SIGNS: Final = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
_PACKINGS: Final[Mapping[str, Packing]] = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
_ELSEWHERE: Final = ("data file", "datafile", "line skip", "lineskip", "byte skip", "byteskip")
_SAVE_AGAIN: Final = "save it in 3D Slicer as .seg.nrrd"
_VECTOR: Final = re.compile(r"\(([^()]*)\)")
_SEGMENT: Final = re.compile(r"Segment(\d{1,5})_(Name|LabelValue)")


class LayeredHeader(NamedTuple):
    """The header of a segmentation of 3D Slicer, whose layers overlap.

    Attributes:
        header: its `image.components` is the number of layers, which stand voxel by voxel beside one another.
        pairs: what the file says of its segments, `key:=value`.

    """

    header: TextHeader
    pairs: Mapping[str, str]


def parse_nrrd(block: bytes, limits: SafetyLimits) -> TextHeader:
    """Check the header of an NRRD file.

    Args:
        block: the beginning of the file.
        limits: safety limits.

    Raises:
        InputError: anything but a 3-D image of one number per voxel in one file, raw or gzip, whose place in
            the patient is known.

    """
    fields, pairs, start = _split(block)
    sizes = _sizes(fields)
    if len(sizes) == 4:
        refuse(
            "the image has 4 dimensions (layers of overlapping segments?), a 3D volume is needed",
            "E_SHAPE",
            "export it as one label map",
        )
    header = _text_header(fields, start, sizes, limits)
    return replace(header, segments=_segments(pairs))


def parse_layered(block: bytes, limits: SafetyLimits) -> LayeredHeader:
    """Check the header of a segmentation of 3D Slicer: three axes, before them one of layers if any overlap.

    Args:
        block: the beginning of the file.
        limits: safety limits; they count the voxels of all layers.

    Raises:
        InputError: as `parse_nrrd`, or a fourth axis that is none of layers.

    """
    fields, pairs, start = _split(block)
    sizes = _sizes(fields)
    layers = 1
    if len(sizes) == 4:
        if not fields.get("space directions", "").casefold().startswith("none"):
            refuse("the image has 4 dimensions, and the first is none of layers", "E_SHAPE", _SAVE_AGAIN)
        layers, sizes = max(sizes[0], 1), sizes[1:]
        check_voxel_count((layers, *sizes), limits)
    header = _text_header(fields, start, sizes, limits)
    return LayeredHeader(replace(header, image=replace(header.image, components=layers)), pairs)


def _split(block: bytes) -> tuple[dict[str, str], dict[str, str], int]:
    """Return fields and pairs of a header that lies in one file, and where the voxels begin."""
    end = re.search(rb"\r?\n\r?\n", block)
    if end is None:
        refuse("incomplete or damaged file: the NRRD header has no end", "E_HEADER")
    fields, pairs = _fields(block[: end.start()].decode("utf-8", "replace"))
    for name in _ELSEWHERE:
        if fields.get(name, "0") != "0":
            refuse(f"the voxels do not follow the NRRD header ({name})", "E_HEADER", "save it as one file")
    return fields, pairs, end.end()


def _sizes(fields: Mapping[str, str]) -> tuple[int, ...]:
    sizes = whole_numbers(fields.get("sizes", ""), "sizes")
    if fields.get("dimension", "") != str(len(sizes)):
        refuse("incomplete or damaged file: dimension and sizes disagree", "E_HEADER")
    return sizes


def _text_header(
    fields: Mapping[str, str],
    start: int,
    sizes: tuple[int, ...],
    limits: SafetyLimits,
) -> TextHeader:
    kind = _KINDS.get(fields.get("type", "").casefold())
    if kind is None:
        refuse("voxels of this type are not supported (NRRD type)", "E_DATATYPE")
    packing = _PACKINGS.get(fields.get("encoding", "").casefold())
    if packing is None:
        refuse("this encoding of NRRD is not supported, only raw and gzip", "E_DATATYPE", "save it as gzip")
    order = fields.get("endian", "").casefold()
    if order not in {"little", "big"} and np.dtype(kind).itemsize > 1:
        refuse("the NRRD header does not say in which order bytes stand (endian)", "E_HEADER")
    dtype = np.dtype(kind).newbyteorder(">" if order == "big" else "<")
    image = image_header(_affine(fields), sizes, dtype, limits)
    return TextHeader(image=image, start=start, packing=packing)


def _fields(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields (`name: value`) and the pairs that users added (`name:=value`)."""
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if line.startswith("#"):
            continue
        name, is_pair, value = line.partition(":=")
        if is_pair:
            pairs[name] = value.strip()
            continue
        name, _, value = line.partition(":")
        if fields.setdefault(name.strip().casefold(), value.strip()) != value.strip():
            refuse("incomplete or damaged file: a field of the NRRD header stands twice", "E_HEADER")
    return fields, pairs


def _affine(fields: Mapping[str, str]) -> DoubleArray:
    signs = _LPS_SIGNS.get(fields.get("space", "").casefold())
    if signs is None or "space directions" not in fields or "space origin" not in fields:
        refuse(
            "the header holds no orientation (NRRD space, directions, origin): left and right are unknown",
            "E_AFFINE",
            "convert again from DICOM",
        )
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", "")))
    if units - {"mm"}:
        refuse("the header gives the voxel spacing in another unit than mm", "E_SPACING")
    vectors, origin = (
        [numbers(vector.replace(",", " "), 3, name) for vector in _VECTOR.findall(fields[name])]
        for name in ("space directions", "space origin")
    )
    if len(vectors) != 3 or len(origin) != 1:
        refuse("the header does not hold three axes and one origin", "E_AFFINE")
    affine = np.eye(4)
    affine[:3, :3] = np.stack(vectors, axis=1)
    affine[:3, 3] = origin[0]
    oriented: DoubleArray = np.diag([*signs, 1.0]) @ affine
    return oriented


def _segments(pairs: Mapping[str, str]) -> dict[int, str]:
    """Return the names of segments by the number they have in the voxels."""
    found: dict[str, dict[str, str]] = {}
    for key, value in pairs.items():
        if match := _SEGMENT.fullmatch(key):
            found.setdefault(match[1], {})[match[2]] = value
    named = [entry for entry in found.values() if {"Name", "LabelValue"} <= set(entry)]
    segments: dict[int, str] = {}
    for entry in named:
        (number,) = whole_numbers(entry["LabelValue"], "numbers of segments")[:1] or (0,)
        if segments.setdefault(number, entry["Name"]) != entry["Name"]:
            refuse(f"two segments have the number {number}", "E_LABELS", "export it as one label map")
    return segments
