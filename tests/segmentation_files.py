"""Segmentations as 3D Slicer saves them, written byte by byte, without any code of the package's writer."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry


def slicer_file(  # noqa: PLR0914 - a header has many fields
    path: Path,
    layers: Sequence[AnyArray],
    geometry: Geometry,
    segments: Sequence[Mapping[str, Any]],
    *,
    margin: int | None = 1,
    order: tuple[int, int, int] = (0, 1, 2),
    flips: tuple[bool, bool, bool] = (False, False, False),
    kind: str = "<u1",
    encoding: str = "gzip",
) -> Path:
    """Write layers [i, j, k], cropped to what is drawn and a margin around it (may reach beyond the grid).

    Args:
        path: ends with `.seg.nrrd`.
        layers: one array for each layer.
        geometry: their grid.
        segments: fields `ID`, `Name`, `LabelValue`, `Layer`, `Tags` of each.
        margin: voxels; None for the whole grid.
        order: which axis of the grid stands first, second, third in the file.
        flips: axes of the file that run backwards.
        kind: type of the stored numbers.
        encoding: gzip or raw.

    """
    stack = np.stack(layers)
    start, stop = np.zeros(3, dtype=int), np.array(geometry.shape)
    if margin is not None:
        filled = np.argwhere(stack.any(axis=0))
        start, stop = filled.min(axis=0) - margin, filled.max(axis=0) + 1 + margin
    padded = np.pad(stack, ((0, 0), *([(8, 8)] * 3)))
    box = padded[(slice(None), *(slice(a + 8, b + 8) for a, b in zip(start, stop, strict=True)))]
    steps = (np.asarray(geometry.direction) * np.asarray(geometry.spacing)).T
    corner, vectors = geometry.world(start), []
    box = box.transpose((0, *(axis + 1 for axis in order)))
    for place, axis in enumerate(order):
        vector = steps[axis]
        if flips[place]:
            corner = corner + vector * (box.shape[place + 1] - 1)
            box, vector = np.flip(box, place + 1), -vector
        vectors.append(vector)
    many = len(layers) > 1
    directions = " ".join("(" + ",".join(f"{x:.17g}" for x in vector) + ")" for vector in vectors)
    sizes = (len(layers), *box.shape[1:]) if many else box.shape[1:]
    names = {"<u1": "unsigned char", "<i2": "short", ">i2": "short", "<u2": "unsigned short"}
    header = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {names[kind]}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {'none ' if many else ''}{directions}",
        f"kinds: {'list ' if many else ''}domain domain domain",
        f"endian: {'big' if kind[0] == '>' else 'little'}",
        f"encoding: {encoding}",
        f"space origin: ({','.join(f'{x:.17g}' for x in corner)})",
    ]
    for place, segment in enumerate(segments):
        header += [f"Segment{place}_{key}:={value}" for key, value in segment.items()]
    header += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|Closed surface|",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        f"Segmentation_ReferenceImageExtentOffset:={' '.join(map(str, start.tolist()))}",
    ]
    stored = np.asarray(box if many else box[0], dtype=np.dtype(kind)).tobytes(order="F")
    content = ("\n".join(header) + "\n\n").encode() + (
        gzip.compress(stored) if encoding == "gzip" else stored
    )
    path.write_bytes(content)
    return path


def named(identifier: str, name: str, value: int, layer: int = 0, tags: str = "") -> dict[str, Any]:
    """Return the fields of a segment."""
    return {
        "Color": "0.5 0.7 0.5",
        "ID": identifier,
        "LabelValue": value,
        "Layer": layer,
        "Name": name,
        "Tags": tags or "Segmentation.Status:inprogress|",
    }
