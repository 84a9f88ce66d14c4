"""A finished result into DICOM files: `seg`, `structures`, `tumor`, maps and `sr`."""

from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from lymphct.core.errors import InputError
from lymphct.core.terms import StageName
from lymphct.core.volume import Volume
from lymphct.imaging.components import Box
from lymphct.io.dicom_results.identity import Identity
from lymphct.io.dicom_results.maps import MAPS, parametric_map
from lymphct.io.dicom_results.segmentations import (
    Palette,
    node_segmentation,
    structure_segmentation,
    tumor_segmentation,
)
from lymphct.io.dicom_results.source import SourceSeries
from lymphct.io.dicom_results.stored import StoredResult
from lymphct.io.dicom_results.structured_report import structured_report
from lymphct.io.images.dicom.values import quiet_pydicom
from lymphct.nodes.measurement import long_axis, node_boxes

NODES: Final = "seg.dcm"
REPORT: Final = "sr.dcm"


def write_objects(
    folder: Path, result: StoredResult, source: SourceSeries, key: str, palette: Palette
) -> list[str]:
    """Write a result as DICOM objects into an existing folder.

    Args:
        folder: where they go.
        result: what was predicted.
        source: the series of the venous phase.
        key: names the result: equal keys give equal identifiers and equal bytes.
        palette: colours of masks.

    Returns:
        The names of the files. Without lymph nodes there is no `seg.dcm`: a segmentation cannot be empty.

    Raises:
        GeometryMismatchError: the result does not lie on the lattice of the series.

    """
    identity = Identity.of(result, source, key)
    written = []

    def write(name: str, made: Dataset) -> None:
        made.save_as(folder / name, enforce_file_format=True)
        written.append(name)

    with quiet_pydicom():
        instances = _image(result, source, "node_instances")
        boxes = node_boxes(instances.array)
        segments = [node for node in result.nodes if node.label in boxes]
        segmentation = None
        if segments:
            nodes_from = result.source_of(StageName.NODES)
            segmentation = node_segmentation(instances, segments, identity, palette, nodes_from)
            write(NODES, segmentation)
        axes = {node.label: _long_axis(instances, node.label, boxes[node.label]) for node in segments}
        write(REPORT, structured_report(result, identity, segmentation, segments, axes))
        structures, tumor = _image(result, source, "structures"), _image(result, source, "tumor")
        if structures.array.any():
            write(
                "structures.dcm",
                structure_segmentation(structures, identity, palette, result.structure_sources),
            )
        if tumor.array.any():
            made = tumor_segmentation(tumor, identity, palette, result.source_of(StageName.TUMOR))
            write("tumor.dcm", made)
        for name in MAPS:
            values = result.image(name, source.geometry)
            drawn = None if values is None else parametric_map(name, values, identity)
            if drawn is not None:
                write(f"{name}.dcm", drawn)
    return sorted(written)


def _image(result: StoredResult, source: SourceSeries, name: str) -> Volume:
    image = result.image(name, source.geometry)
    if image is None:
        msg = f"the result has no {name}"
        raise InputError(msg, code="E_RESULT", cure="predict the patient again").at(file=result.folder.name)
    return image


def _long_axis(instances: Volume, label: int, box: Box) -> float:
    return long_axis(np.asarray(instances.array[box] == label), instances.geometry)
