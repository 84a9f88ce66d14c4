"""The folder `dicom` of a predicted patient: the result as DICOM objects, a result of its own inside it."""

from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Phase
from lymphct.io.dicom_results.source import SourceSeries, read_source, require_series
from lymphct.io.dicom_results.stored import StoredResult, read_stored
from lymphct.io.images.reading import read_ct
from lymphct.io.results.fingerprints import digest_input
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.nodes.measurement import node_boxes
from lymphct.report.colors import STRUCTURE_COLORS, TUMOR_COLOR, node_color

if TYPE_CHECKING:
    from lymphct.io.manifest import PatientRecord

FOLDER: Final = "dicom"
CODE: Final = ("io.dicom_results.writing",)
_TOLERANCE: Final = 0.1
"""HU; the table of nodes is rounded to a tenth."""


@dataclass(frozen=True, slots=True)
class DicomObjects:
    """What `predict --dicom` adds to each result."""

    stage: str = "dicom"

    def refusal(self, record: "PatientRecord") -> InputError | None:
        """Say, without opening a file, why a patient's result cannot become DICOM objects; None if it may."""
        try:
            require_series(record.venous)
        except InputError as error:
            return error
        return None

    def require(self, record: "PatientRecord") -> None:
        """Refuse a patient whose series lacks what objects need, before anything is computed.

        Raises:
            InputError: as `read_source`.

        """
        read_source(record.venous)

    def add(self, record: "PatientRecord", result: Path) -> None:
        """Write the objects of a patient who was predicted."""
        write_dicom(result, record.venous)


def write_dicom(result: Path, venous: Path) -> Path:
    """Write a result as DICOM objects into `result/dicom`, unless they are there and current.

    Args:
        result: folder of one patient that `predict` made.
        venous: the venous phase as a DICOM series. The prediction may have seen it as NIfTI, on the same
            lattice: then the mean HU of its nodes tell whether it is the same image.

    Returns:
        The folder of the objects. It is there whole or not at all.

    Raises:
        InputError: no result, no DICOM series, or another series than that of the result.
        OutputInUseError: something that is not ours stands there.

    """
    stored = read_stored(result)
    source = read_source(venous)
    require_its_image(stored, source.geometry, venous)
    recipe = Recipe(
        inputs={"result": key_of(result), "venous": source.digest},
        settings={name: version(name) for name in ("highdicom", "pydicom")},
        code=CODE,
    )
    work = partial(_write, stored=stored, source=source, key=recipe.key)
    return made(result / FOLDER, recipe, work)


def _write(folder: Path, *, stored: StoredResult, source: SourceSeries, key: str) -> None:
    # highdicom takes seconds to import.
    from lymphct.io.dicom_results.segmentations import Palette  # noqa: PLC0415
    from lymphct.io.dicom_results.writing import write_objects  # noqa: PLC0415

    palette = Palette(structures=STRUCTURE_COLORS, tumor=TUMOR_COLOR, node=node_color)
    write_objects(folder, stored, source, key, palette)


def require_its_image(stored: StoredResult, grid: Geometry, venous: Path) -> None:
    """Refuse an image the result was not made from: a report on the wrong patient does harm.

    Args:
        stored: the result.
        grid: of the image.
        venous: the venous phase, in any format that is read.

    Raises:
        InputError: `E_SERIES`, neither its files nor the mean HU of the nodes are those of the result.

    """
    if stored.inputs.get("venous") == digest_input(venous):
        return
    instances = stored.image("node_instances", grid)
    measured = {node.label: node.hu_venous for node in stored.nodes if node.hu_venous is not None}
    if instances is None or not measured:
        msg = (
            "the result was made from other files than this image, and without lymph nodes it tells nothing "
            "by which the image could be known again"
        )
        cure = "give the venous phase as it was predicted from, or predict from the series"
        raise InputError(msg, code="E_SERIES", cure=cure).at(file=venous.name)
    array = read_ct(venous, phase=Phase.VENOUS).volume.array
    for label, box in node_boxes(instances.array).items():
        inside = instances.array[box] == label
        found, told = float(np.asarray(array[box])[inside].mean()), measured.get(label)
        if told is not None and abs(found - told) > _TOLERANCE:
            msg = (
                f"not the image the result was made from: lymph node {label} has {found:.1f} HU here, "
                f"{told:.1f} HU in the result"
            )
            cure = "give the venous series of this patient"
            raise InputError(msg, code="E_SERIES", cure=cure).at(file=venous.name)
