"""One predicted patient as a folder a reader opens in 3D Slicer; nothing a reader saved is written over."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Phase, Structure
from lymphct.core.volume import Volume
from lymphct.io.dicom_results.stored import StoredResult, read_stored
from lymphct.io.images.reading import CT, read_ct, write_volume
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.disk import read_bounded, replace_file
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, key_of, made
from lymphct.io.results.store import read_done
from lymphct.io.segmentations.scene import Shown, scene
from lymphct.io.segmentations.slicer_writing import write_segmentation
from lymphct.patients.annotation.naming import node_segment, structure_segment, tumor_segment
from lymphct.patients.annotation.worklist import doubt_of
from lymphct.patients.predicting.dicom_objects import require_its_image, write_dicom

EXPORTED: Final = "exported"
"""Folder beside what a reader changes: the same files as they were handed out."""
RECORD_FILE: Final = "export.json"
CT_FILE: Final = "venous.nii.gz"
SCENE_FILE: Final = "scene.mrml"
STEPS_FILE: Final = "README.txt"
SEGMENTATIONS: Final[Mapping[str, str]] = {
    "nodes": "nodes.seg.nrrd",
    "tumor": "tumor.seg.nrrd",
    "structures": "structures.seg.nrrd",
}
"""Column of the manifest → file a reader corrects, the topmost in the scene first."""
DICOM_NODES: Final = "nodes.dcm"
"""The same lymph nodes as DICOM SEG, for OHIF and others."""

_FILLS: Final = {"nodes": 0.4, "tumor": 0.2, "structures": 0.0}
_LARGEST: Final = 500_000_000
_EDITABLE: Final = (*SEGMENTATIONS.values(), DICOM_NODES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """How a cohort is handed out.

    Attributes:
        out: folder of the patients.
        results: folder that `predict` made of the cohort.
        dicom: whether the nodes go out as DICOM SEG as well.

    """

    out: Path
    results: Path
    dicom: bool = False


@dataclass(frozen=True, slots=True)
class Exporter:
    """Exports one patient after the other; travels to other processes."""

    request: Export

    def __call__(self, record: PatientRecord) -> dict[str, JSON]:
        """Write a patient's folder and return what it holds.

        Raises:
            InputError: no result, another image than that of the result, or corrections that a new result
                would replace.

        """
        return export_patient(record, self.request)


def export_patient(record: PatientRecord, request: Export) -> dict[str, JSON]:
    """Write a patient's folder, or complete it; what a reader saved in it stays.

    Raises:
        InputError: as `Exporter`.

    """
    source = request.results / record.patient_id
    stored = read_stored(source)
    ct = read_ct(record.venous, phase=Phase.VENOUS)
    require_its_image(stored, ct.volume.geometry, record.venous)
    objects = write_dicom(source, record.venous) if request.dicom else None
    folder = request.out / record.patient_id
    recipe = Recipe(
        inputs={"result": key_of(source), "venous": ct.digest},
        settings={"dicom": request.dicom},
        code=("patients.annotation.exporting",),
    )
    place = folder / EXPORTED
    edited = edited_files(folder)
    if edited:
        _require_same_result(place, stored, edited[0])
        return _told(stored, edited)
    before = _digests(place)
    made(place, recipe, partial(_write, stored=stored, ct=ct, objects=objects))
    _hand_out(folder, before)
    if not (folder / CT_FILE).is_file():
        write_volume(folder / CT_FILE, ct.volume)
    for name, content in ((SCENE_FILE, _scene()), (STEPS_FILE, STEPS.encode())):
        if not (folder / name).is_file():
            replace_file(folder / name, content)
    return _told(stored, ())


def _told(stored: StoredResult, edited: tuple[str, ...]) -> dict[str, JSON]:
    return {"nodes": len(stored.nodes), "edited": list(edited)}


def _require_same_result(place: Path, stored: StoredResult, edited: str) -> None:
    """Refuse to replace what a reader saved by another result."""
    record: Any = read_json(place / RECORD_FILE)
    if record.get("result") != key_of(stored.folder):
        msg = f"{edited} was corrected after an older export, and the result is another one now"
        cure = "take the corrections back first: lymphct annotate --import, then export to another folder"
        raise InputError(msg, code="E_EDITED", cure=cure)


def edited_files(folder: Path) -> tuple[str, ...]:
    """Return the files of a patient's folder that a reader saved: their bytes are not those handed out."""
    exported = _digests(folder / EXPORTED)
    there = [name for name in exported if name in _EDITABLE and (folder / name).is_file()]
    return tuple(name for name in there if digest_file(folder / name) != exported[name])


def _digests(place: Path) -> dict[str, str]:
    """Return the digests of what was handed out, by name; none where nothing was."""
    done = read_done(place)
    outputs = {} if done is None else done["outputs"]
    return {name: str(told["sha256"]) for name, told in outputs.items() if isinstance(told, dict)}


def _write(folder: Path, *, stored: StoredResult, ct: CT, objects: Path | None) -> None:
    grid = ct.volume.geometry
    doubt = doubt_of("", stored)
    order = {number: place for place, number in enumerate(doubt.by_node)}
    nodes = sorted(stored.nodes, key=lambda node: order[node.label])
    drawn = {name: _image(stored, name, grid) for name in ("node_instances", "structures", "tumor")}
    present = [Structure(number) for number in np.unique(drawn["structures"].array).tolist() if number]
    write_segmentation(
        folder / SEGMENTATIONS["nodes"], drawn["node_instances"], [node_segment(node) for node in nodes]
    )
    write_segmentation(
        folder / SEGMENTATIONS["structures"],
        drawn["structures"],
        [structure_segment(structure) for structure in present],
    )
    mask = drawn["tumor"].with_array((drawn["tumor"].array != 0).astype(np.uint8))
    write_segmentation(folder / SEGMENTATIONS["tumor"], mask, [tumor_segment()])
    if objects is not None and (objects / "seg.dcm").is_file():
        replace_file(folder / DICOM_NODES, read_bounded(objects / "seg.dcm", _LARGEST))
    record: dict[str, JSON] = {
        "schema": 1,
        "result": key_of(stored.folder),
        "bundle": str(stored.bundle.get("sha256", "")),
        "stations": {str(node.label): node.station for node in stored.nodes},
    }
    write_json(folder / RECORD_FILE, record)


def _image(stored: StoredResult, name: str, grid: Geometry) -> Volume:
    image = stored.image(name, grid)
    if image is None:
        msg = f"the result has no {name}"
        raise InputError(msg, code="E_RESULT", cure="predict the patient again").at(file=stored.folder.name)
    return image


def _hand_out(folder: Path, before: Mapping[str, str]) -> None:
    """Copy what was exported to where a reader changes it; a file that is there and not ours stays."""
    for name in _digests(folder / EXPORTED):
        target = folder / name
        if name not in _EDITABLE:
            continue
        if not target.is_file() or digest_file(target) == before.get(name):
            replace_file(target, read_bounded(folder / EXPORTED / name, _LARGEST))


def _scene() -> bytes:
    shown = [Shown(file=file, name=name, fill=_FILLS[name]) for name, file in SEGMENTATIONS.items()]
    return scene(CT_FILE, shown)


STEPS: Final = """\
Correct this patient in 3D Slicer (research use, not a medical device)

1. Drag scene.mrml into 3D Slicer and choose "Load scene". Should it not open: drag venous.nii.gz and the
   three .seg.nrrd files in instead.
2. Open the module Segment Editor; Segmentation: nodes, Source volume: venous phase. The first segment is the
   one the models are least sure of.
3. Shape: correct it with Paint, Erase and so on. Delete what is no lymph node. Add what was missed.
4. Class and station: double-click the name and change its words:
       node 3 negative        node 3 positive 8a        positive 16a2
   number (a new one needs none), positive or negative, station of the Japan Pancreas Society if known.
   Instead of the word positive the coded type "Neoplasm, Secondary" does.
5. Structures and tumor are segmentations of their own: choose them above, correct them likewise.
6. Save (Ctrl+S), each file under its own name in this folder. Saving a file says that you have seen all of
   it: it is taken back as yours, changed or not. What you do not save is not taken back.

Leave the folder "exported" as it is: it tells what you changed.
"""
"""What stands in each patient's folder."""
