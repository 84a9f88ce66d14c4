"""A predicted patient on disk: masks, result, tables and page; a manifest of masks for what follows."""

import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lymphct.cascade.models import Models
from lymphct.cascade.operating_points import moved_points
from lymphct.cascade.registration_check import CHECK_NAME
from lymphct.core.patient import Multiphase, PatientInput, Prediction
from lymphct.core.terms import StageName
from lymphct.io.images.reading import write_volume
from lymphct.io.labelled_structures import LABELLED_COLUMN
from lymphct.io.manifest import Manifest, write_manifest
from lymphct.io.source_record import origin_beside, write_origin
from lymphct.nodes.instances import class_map
from lymphct.patients.one_by_one import Result
from lymphct.report.colors import write_color_tables
from lymphct.report.context import ReportContext
from lymphct.report.page import write_patient_page
from lymphct.report.tables import write_nodes, write_result, write_timings

if TYPE_CHECKING:
    from lymphct.io.results.jsonfile import JSON

LIBRARIES = ("lymphct", "torch", "numpy", "scipy", "numba", "SimpleITK", "nibabel", "pydicom")
WHOLE: Final = "its files are whole and its values are HU"


def write_prediction(
    folder: Path, prediction: Prediction, patient: PatientInput, models: Models, *, viewer: bool
) -> None:
    """Write everything that is known of a predicted patient into an existing folder.

    `viewer`: whether the page carries the images, to be looked through.
    """
    masks = folder / "seg"
    masks.mkdir()
    for name, volume in (
        ("structures", prediction.structures),
        ("tumor", prediction.tumor),
        ("nodes", class_map(prediction.nodes)),
        ("node_instances", prediction.nodes.instances),
        ("attention", prediction.attention),
    ):
        write_volume(masks / f"{name}.nii.gz", volume)
    write_color_tables(masks, prediction.nodes)
    context = report_context(patient, prediction, models)
    write_result(folder, prediction, context)
    write_nodes(folder, prediction)
    write_timings(folder, prediction)
    phases = Multiphase(venous=patient.venous, arterial=prediction.arterial)
    if was_registered(prediction):
        context = replace(context, arterial_as_acquired=patient.arterial)
    write_patient_page(folder, prediction, phases, context, viewer=viewer)


def was_registered(prediction: Prediction) -> bool:
    """Tell whether the arterial phase lies where a registration moved it, not where the scanner put it."""
    return any(check.name == CHECK_NAME and check.passed for check in prediction.checks)


def report_context(patient: PatientInput, prediction: Prediction, models: Models) -> ReportContext:
    """Collect what the report says besides the prediction."""
    codes = {notice.code: notice for notice in prediction.notices}
    checks: list[Mapping[str, JSON]] = [
        {"name": "venous phase", "passed": True, "value": None, "text": WHOLE},
    ]
    if patient.arterial is not None:
        swapped = codes.get("phases_swapped") or codes.get("weak_arterial_contrast")
        doubts = [
            codes[code] for code in ("patient_ids_differ", "frames_differ", "little_overlap") if code in codes
        ]
        checks += [
            {"name": "arterial phase", "passed": True, "value": None, "text": WHOLE},
            {
                "name": "both phases of one patient and region",
                "passed": not doubts,
                "value": doubts[0].value if len(doubts) == 1 else None,
                "text": "; ".join(doubt.text for doubt in doubts) or "two different images, of one region",
            },
            {
                "name": "arterial phase brighter in the arteries",
                "passed": swapped is None,
                "value": None if swapped is None else swapped.value,
                "text": "no sign that the phases are exchanged" if swapped is None else swapped.text,
            },
        ]
    checks += [asdict(check) for check in prediction.checks]
    info = models.info
    return ReportContext(
        patient_id=patient.patient_id,
        bundle={
            "name": info.name,
            "sha256": models.digest,
            "is_phantom": info.is_phantom,
            "notice": info.notice,
            **({"overrides": dict(moved_points(models))} if models.moved_from else {}),
        },
        versions=installed_versions(),
        checks=checks,
    )


@cache
def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that shape a result."""
    names = (*LIBRARIES, "openvino") if importlib.util.find_spec("openvino") else LIBRARIES
    versions = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **versions}


def write_mask_manifest(path: Path, cohort: Manifest, results: Mapping[str, Result], last: StageName) -> None:
    """Write the manifest of a cohort whose masks up to a stage were made: `train` and `prepare` take it.

    It names the images as they lie, the masks in `<patient_id>/seg/` beside it, and in `structures_labelled`
    the structures that some source gave: what none gave teaches nothing. A `source.json` goes along.

    Args:
        path: of the manifest, in the folder of the predicted patients.
        cohort: the manifest that was read.
        results: of each patient who was predicted; the others are left out.
        last: the stage; structures, and of a tumor both.

    """
    columns = {StageName.STRUCTURES: ("structures",), StageName.TUMOR: ("structures", "tumor")}[last]
    rows = []
    for record in cohort.patients:
        if record.patient_id not in results:
            continue
        told = results[record.patient_id]["structure_sources"]
        seg = path.parent / record.patient_id / "seg"
        row: dict[str, Any] = {
            **record.cells,
            **{name: file.absolute() for name, file in record.paths.items()},
        }
        row |= {name: seg / f"{name}.nii.gz" for name in columns}
        rows.append({**row, LABELLED_COLUMN: ";".join(told)})
    write_manifest(path, rows)
    origin = origin_beside(cohort.path)
    if origin is not None:
        write_origin(path, origin)
