"""Predictions on disk: one patient, or a cohort in which a bad patient never stops the others."""

import importlib.metadata
import logging
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from lymphct.cascade.alignment import AIR
from lymphct.cascade.models import Models
from lymphct.cascade.patient import predict_patient
from lymphct.config import Config
from lymphct.core.patient import Multiphase, PatientInput, Prediction
from lymphct.core.terms import RegistrationMethod
from lymphct.imaging.preprocess import resample
from lymphct.io.images.reading import Scheme, write_volume
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.manifest_check import require_usable
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import models_in
from lymphct.io.results.jsonfile import JSON, read_json
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.store import locked
from lymphct.nodes.instances import class_map
from lymphct.patients.course import Begun, Course, watched_course
from lymphct.patients.one_by_one import CohortOutcome, Result, work_through, write_outcome
from lymphct.patients.reading import files_of, read_patient
from lymphct.report.colors import write_color_tables
from lymphct.report.context import ReportContext
from lymphct.report.page import write_patient_page
from lymphct.report.tables import write_nodes, write_result

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
LIBRARIES = ("lymphct", "torch", "monai", "numpy", "scipy", "numba", "SimpleITK", "nibabel", "pydicom")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRequest:
    """How to predict.

    Attributes:
        bundle: folder of the models.
        config: settings of attention and notices.
        labels: numbering of given structures.
        fill_structures: let the network add structures the given files lack.
        registration: method; None = as the bundle was trained.
        device: on which the networks run.
        threads: of the registration of one patient.

    """

    bundle: Path
    config: Config
    labels: Scheme = "lymphct"
    fill_structures: bool = False
    registration: RegistrationMethod | None = None
    device: str = "auto"
    threads: int = 1


def predict_single(
    record: PatientRecord, request: PredictionRequest, target: Path, *, begun: Begun | None = None
) -> dict[str, Any]:
    """Predict one patient into `target` and return the result record; an up-to-date result is kept.

    `begun` is told of each stage that begins.

    Raises:
        InputError: a file is missing or refused; nothing is left behind.
        OutputInUseError: the folder holds something else, or another process writes it.
        ModelError: the bundle is refused.

    """
    cohort = Manifest(path=Path("options"), columns=(), patients=(record,))
    problem = require_usable(cohort).get(record.patient_id)
    if problem is not None:
        raise problem
    with watched_course(begun) as course:
        return _predict_to(record, request, target, course)


def predict_cohort(  # noqa: PLR0913 - the last three are options
    cohort: Manifest,
    request: PredictionRequest,
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
    begun: Begun | None = None,
) -> CohortOutcome:
    """Predict every patient of a manifest into `out/<patient_id>/`, then write summary and failures.

    `progress` is told of each patient who is done, `begun` of each stage of a patient that begins.

    Raises:
        InputError: the manifest as a whole cannot be used; nothing is predicted.
        OutputInUseError: another process works in `out`.

    """
    broken = require_usable(cohort)
    read_bundle(request.bundle)  # a bundle that is refused is no patient's failure
    with locked(out), watched_course(begun) as course:
        work = _CohortPredictor(request, out, course)
        outcome = work_through(cohort.patients, work, broken, jobs=jobs, progress=progress)
        write_outcome(out, cohort, outcome, _told)
    return outcome


@dataclass(frozen=True, slots=True)
class _CohortPredictor:
    request: PredictionRequest
    out: Path
    course: Course

    def __call__(self, record: PatientRecord) -> dict[str, Any]:
        return _predict_to(record, self.request, self.out / record.patient_id, self.course)


def _predict_to(
    record: PatientRecord, request: PredictionRequest, target: Path, course: Course
) -> dict[str, Any]:
    models = models_in(request.bundle, request.device)
    recipe = Recipe.of_files(
        files_of(record),
        {
            "patient_id": record.patient_id,
            "config": request.config.model_dump(mode="json"),
            "labels": str(request.labels),
            "fill_structures": request.fill_structures,
            "registration": request.registration,
        },
        code=("patients.prediction",),
        bundle=models.digest,
    )
    work = partial(_predict_into, record=record, request=request, models=models, course=course)
    made(target, recipe, work)
    stored: Any = read_json(target / RESULT_FILE)
    return dict(stored)


def _predict_into(
    folder: Path, *, record: PatientRecord, request: PredictionRequest, models: Models, course: Course
) -> None:
    course(record.patient_id, "reading")
    patient = read_patient(record, labels=request.labels)
    prediction = predict_patient(
        patient,
        models,
        request.config,
        fill_structures=request.fill_structures,
        registration=request.registration,
        threads=request.threads,
        begun=course.of(record.patient_id),
    )
    course(record.patient_id, "report")
    write_prediction(folder, prediction, patient, models)


def write_prediction(folder: Path, prediction: Prediction, patient: PatientInput, models: Models) -> None:
    """Write everything that is known of a predicted patient into an existing folder."""
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
    grid = patient.venous.geometry
    arterial = None if patient.arterial is None else resample(patient.arterial, grid, fill=AIR)
    write_patient_page(folder, prediction, Multiphase(venous=patient.venous, arterial=arterial), context)


def report_context(patient: PatientInput, prediction: Prediction, models: Models) -> ReportContext:
    """Collect what the report says besides the prediction."""
    codes = {notice.code: notice for notice in prediction.notices}
    checks: list[Mapping[str, JSON]] = [
        {"name": "files whole, values are HU", "passed": True, "value": None, "text": "venous phase"},
    ]
    if patient.arterial is not None:
        swapped = codes.get("phases_swapped") or codes.get("weak_arterial_contrast")
        checks += [
            {"name": "files whole, values are HU", "passed": True, "value": None, "text": "arterial phase"},
            {"name": "both phases of one patient and region", "passed": True, "value": None, "text": ""},
            {
                "name": "arterial phase brighter in the arteries",
                "passed": swapped is None,
                "value": None if swapped is None else swapped.value,
                "text": "" if swapped is None else swapped.text,
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
        },
        versions=installed_versions(),
        checks=checks,
    )


@cache
def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that shape a result."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **versions}


def _told(result: Result) -> dict[str, JSON]:
    """Return what the summary of a cohort says of a patient."""
    keys = ("probability", "threshold", "predicted_n_status", "nodes_total", "nodes_positive")
    return {
        "notices": [notice["code"] for notice in result["notices"]],
        **{key: result[key] for key in keys},
    }
