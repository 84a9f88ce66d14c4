"""Segmentations as other programs save them: 3D Slicer, byte by byte, and DICOM SEG by highdicom."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.io.dicom_results.source import read_source
from lymphct.io.images.dicom.values import quiet_pydicom


def slicer_file(
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


def dicom_seg(
    series: Path, masks: AnyArray, names: list[str], kind: SegmentationTypeValues, **options: Any
) -> Dataset:
    """Write masks [segment, i, j, k] on the slices of a series, from the last to the first."""
    slices = list(read_source(series).slices)[::-1]  # as a PACS may deliver them
    descriptions = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(names, start=1)
    ]
    pixels = masks.transpose(3, 2, 1, 0)[::-1]
    if kind is SegmentationTypeValues.LABELMAP:
        pixels = (pixels * np.arange(1, len(names) + 1)).max(axis=-1)
    with quiet_pydicom():
        made: Dataset = Segmentation(
            source_images=slices,
            pixel_array=pixels.astype(np.uint8),
            segmentation_type=kind,
            segment_descriptions=descriptions,
            series_instance_uid=generate_uid(),
            series_number=9,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="x",
            manufacturer_model_name="x",
            software_versions="1",
            device_serial_number="1",
            **options,
        )
        return made
