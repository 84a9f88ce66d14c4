"""Read a segmentation as 3D Slicer saves it: cropped to what is drawn, in layers where segments overlap."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.io.images.limits import SafetyLimits
from lymphct.io.images.masks import placed
from lymphct.io.images.nifti_stream import VerifiedStream
from lymphct.io.images.nrrd import NRRD_MAGIC, LayeredHeader, parse_layered
from lymphct.io.images.text_header import LONGEST_HEADER, refuse, whole_numbers
from lymphct.io.images.voxels import read_payload
from lymphct.io.regular_file import open_regular
from lymphct.io.segmentations.segments import TERMINOLOGY, Color, Segment, Segmentation, parsed_terminology

_FIELD: Final = re.compile(r"Segment(\d{1,5})_(\w+)")
_NOTHING: Final = (1, 1, 1)
"""Size that 3D Slicer writes where nothing is drawn; what it says of the place means nothing."""
_MOST: Final = 10_000


def read_segmentation(path: Path, grid: Geometry) -> Segmentation:
    """Read a `.seg.nrrd` onto the grid of the CT, by moving voxels alone.

    Args:
        path: the file: raw or gzip, with or without layers, whole or cropped, in any order of axes.
        grid: of the CT.

    Returns:
        Segments on `grid`; those without a voxel are among them.

    Raises:
        InputError: a damaged file, or numbers that no segment names.
        GeometryMismatchError: other voxels than those of the CT.

    """
    try:
        header, stored = _read(path)
        segments = _segments(header.pairs)
        if header.header.image.geometry.shape == _NOTHING:
            empty = np.broadcast_to(np.uint8(0), (len(stored), *grid.shape))
            return Segmentation(geometry=grid, layers=empty, segments=segments)
        _require_named(stored, segments)
        source = header.header.image.geometry
        layers = np.stack([_on_grid(Volume(array=layer, geometry=source), grid) for layer in stored])
    except InputError as error:
        raise error.at(file=path.name) from None
    return Segmentation(geometry=grid, layers=layers, segments=segments)


def _read(path: Path) -> tuple[LayeredHeader, AnyArray]:
    """Return the header and the layers [layer, i, j, k]."""
    limits = SafetyLimits()
    with open_regular(path, limit=limits.file_bytes) as (file, size):
        block = file.read(LONGEST_HEADER)
        if not block.startswith(NRRD_MAGIC):
            refuse("not an NRRD file", "E_HEADER", "save it in 3D Slicer as .seg.nrrd")
        header = parse_layered(block, limits)
        image = header.header.image
        if image.dtype.kind not in "iu":
            refuse("a segmentation of fractions, not of whole numbers", "E_LABELS", "save a binary labelmap")
        file.seek(header.header.start)
        stream = VerifiedStream(file, size - header.header.start, packing=header.header.packing)
        raw, _ = read_payload(stream, image, b"")
        stream.finish(limits.trailing_bytes)
    stored = raw.reshape((image.components, *image.geometry.shape), order="F")
    layers = stored.astype(stored.dtype.newbyteorder("="), order="C")
    if layers.size and (int(layers.min()) < 0 or int(layers.max()) > _MOST):
        refuse(f"the segments have numbers from {layers.min()} to {layers.max()}", "E_LABELS")
    return header, layers


def _segments(pairs: Mapping[str, str]) -> tuple[Segment, ...]:
    found: dict[int, dict[str, str]] = {}
    for key, value in pairs.items():
        if match := _FIELD.fullmatch(key):
            found.setdefault(int(match[1]), {})[match[2]] = value
    return tuple(_segment(place, found[place]) for place in sorted(found) if "Name" in found[place])


def _segment(place: int, fields: Mapping[str, str]) -> Segment:
    # Before version 4.11 each segment was a layer of zeros and ones.
    (value,) = whole_numbers(fields.get("LabelValue", "1"), "numbers of segments")[:1] or (1,)
    (layer,) = whole_numbers(fields.get("Layer", str(place)), "layers of segments")[:1] or (0,)
    tags = {
        name.strip(): told
        for name, _, told in (tag.partition(":") for tag in fields.get("Tags", "").split("|"))
        if name.strip()
    }
    return Segment(
        identifier=fields.get("ID", ""),
        name=fields["Name"].strip(),
        value=value,
        layer=layer,
        color=_color(fields.get("Color", "")),
        terminology=parsed_terminology(tags.pop(TERMINOLOGY, "")),
        tags=tags,
    )


def _color(text: str) -> Color | None:
    try:
        parts = [round(255 * float(word)) for word in text.split()[:4]]
    except (ValueError, OverflowError):
        return None
    if len(parts) != 3 or min(parts) < 0 or max(parts) > 255:
        return None
    return parts[0], parts[1], parts[2]


def _require_named(layers: AnyArray, segments: tuple[Segment, ...]) -> None:
    """Refuse what is drawn in a number that no segment names, and segments in layers that are not there."""
    lost = [segment for segment in segments if segment.layer >= len(layers)]
    if lost:
        msg = f"the segment {lost[0].name[:40]!r} is in layer {lost[0].layer} of {len(layers)}"
        raise InputError(msg, code="E_LABELS", cure="save it again in 3D Slicer")
    for number, layer in enumerate(layers):
        named = [segment.value for segment in segments if segment.layer == number]
        unnamed = sorted(set(np.unique(layer).tolist()) - {0, *named})
        if unnamed:
            msg = f"voxels have the number {unnamed[0]}, which no segment names"
            raise InputError(msg, code="E_LABELS", cure="save it in 3D Slicer as .seg.nrrd")


def _on_grid(layer: Volume, grid: Geometry) -> AnyArray:
    """Return a layer on the grid; only what is drawn has to lie on it, 3D Slicer may add a margin."""
    filled = np.argwhere(layer.array)
    if not len(filled):
        return np.zeros(grid.shape, dtype=layer.array.dtype)
    first, last = filled.min(axis=0).tolist(), filled.max(axis=0).tolist()
    size = tuple(b - a + 1 for a, b in zip(first, last, strict=True))
    box = crop_volume(layer, (first[0], first[1], first[2]), (size[0], size[1], size[2]))
    whole = placed(box, grid)
    if whole.geometry is not grid:
        msg = (
            f"the segments do not lie on the voxels of the CT ({layer.geometry.outline}; the CT: "
            f"{grid.outline}), or reach beyond it"
        )
        cure = "in Segment Editor choose the exported CT as source volume, and its geometry, then save again"
        raise GeometryMismatchError(msg, cure=cure)
    return whole.array
