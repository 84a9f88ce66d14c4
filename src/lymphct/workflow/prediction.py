"""Predictions on disk: one patient, or a cohort in which a bad patient never stops the others (DESIGN §4)."""

import importlib.metadata
import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lymphct.config import Config
from lymphct.core.errors import LymphctError
from lymphct.core.patient import Multiphase, Prediction
from lymphct.imaging.preprocess import resample
from lymphct.io.bundle import read_bundle
from lymphct.io.cohort import Cohort, PatientRecord
from lymphct.io.cohort_check import require_usable
from lymphct.io.fingerprint import code_version, digest_input, fingerprint, require_unchanged
from lymphct.io.images import Scheme, write_volume
from lymphct.io.jsonfile import JSON, append_json_line, read_json, write_json
from lymphct.io.store import committed_folder, is_current, locked
from lymphct.io.worker import map_patients
from lymphct.nodes.instances import class_map
from lymphct.report.colors import write_color_tables
from lymphct.report.context import ReportContext
from lymphct.report.page import write_patient_page
from lymphct.report.tables import write_nodes, write_result
from lymphct.workflow.alignment import AIR
from lymphct.workflow.devices import chosen_device
from lymphct.workflow.inputs import PatientInput, files_of, read_patient
from lymphct.workflow.models import Models, load_models
from lymphct.workflow.patient import predict_patient

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
LIBRARIES = ("lymphct", "torch", "monai", "numpy", "scipy", "numba", "SimpleITK", "nibabel", "pydicom")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionOrder:
    """How to predict.

    Attributes:
        bundle: folder of the models.
        config: settings of attention and notices.
        labels: numbering of given structures.
        fill_structures: let the network add structures the given files lack.
        device: on which the networks run.

    """

    bundle: Path
    config: Config
    labels: Scheme = "lymphct"
    fill_structures: bool = False
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class CohortOutcome:
    """What became of each patient: result records by id, errors by id."""

    results: Mapping[str, Mapping[str, Any]]
    failures: Mapping[str, LymphctError]


def predict_single(record: PatientRecord, order: PredictionOrder, target: Path) -> dict[str, Any]:
    """Predict one patient into `target` and return the result record; an up-to-date result is kept.

    Raises:
        InputError: a file is missing or refused; nothing is left behind.
        OutputInUseError: the folder holds something else, or another process writes it.
        ModelError: the bundle is refused.

    """
    cohort = Cohort(path=Path("options"), columns=(), patients=(record,))
    problem = require_usable(cohort).get(record.patient_id)
    if problem is not None:
        raise problem
    return _predict_to(record, order, target)


def predict_cohort(
    cohort: Cohort,
    order: PredictionOrder,
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> CohortOutcome:
    """Predict every patient of a manifest into `out/<patient_id>/`, then write summary and failures.

    Raises:
        InputError: the manifest as a whole cannot be used; nothing is predicted.
        OutputInUseError: another process works in `out`.

    """
    broken = require_usable(cohort)
    read_bundle(order.bundle)  # a bundle that is refused is no patient's failure
    wanted = [r for r in cohort.patients if not r.is_excluded and r.patient_id not in broken]
    results: dict[str, Mapping[str, Any]] = {}
    failures: dict[str, LymphctError] = dict(broken)
    with locked(out):
        for outcome in map_patients(_CohortPredictor(order, out), wanted, jobs=jobs):
            name = outcome.item.patient_id
            if outcome.error is None and outcome.value is not None:
                results[name] = outcome.value
            else:
                failures[name] = _named(outcome.error, name)
                logger.error("%s", failures[name])
            if progress is not None:
                progress(name)
        _write_summary(out, cohort, results, failures)
    return CohortOutcome(results, failures)


def _named(error: LymphctError | None, patient_id: str) -> LymphctError:
    return (error or LymphctError("no result")).at(patient=patient_id)


@dataclass(frozen=True, slots=True)
class _CohortPredictor:
    order: PredictionOrder
    out: Path

    def __call__(self, record: PatientRecord) -> dict[str, Any]:
        return _predict_to(record, self.order, self.out / record.patient_id)


def _predict_to(record: PatientRecord, order: PredictionOrder, target: Path) -> dict[str, Any]:
    files = files_of(record)
    digests = {role: digest_input(path) for role, path in files.items()}
    models = _models(order.bundle, order.device)
    origin = fingerprint(
        digests,
        {
            "patient_id": record.patient_id,
            "config": order.config.model_dump(mode="json"),
            "labels": str(order.labels),
            "fill_structures": order.fill_structures,
        },
        code_version(),
        models.digest,
    )
    if not is_current(target, origin):
        patient = read_patient(record, labels=order.labels)
        prediction = predict_patient(patient, models, order.config, fill_structures=order.fill_structures)
        with committed_folder(target, origin) as staging:
            write_prediction(staging, prediction, patient, models)
            require_unchanged(files, digests)
    stored: Any = read_json(target / RESULT_FILE)
    return dict(stored)


@cache
def _models(bundle: Path, device: str) -> Models:
    return load_models(read_bundle(bundle), chosen_device(device))


def write_prediction(folder: Path, prediction: Prediction, patient: PatientInput, models: Models) -> None:
    """Write everything DESIGN §3 lists for a predicted patient into an existing folder."""
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


def _write_summary(
    out: Path,
    cohort: Cohort,
    results: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, LymphctError],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "summary.json", summary_record(cohort.patients, results, failures))
    failed = out / "failures.jsonl"
    failed.unlink(missing_ok=True)
    for name, error in failures.items():
        append_json_line(
            failed,
            {
                "patient_id": name,
                "code": error.code,
                "exit_code": error.exit_code,
                "cause": error.cause,
                "message": str(error),
            },
        )


def summary_record(
    records: Sequence[PatientRecord],
    results: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, LymphctError],
) -> dict[str, JSON]:
    """Return `summary.json`: a line per patient, in the order of the manifest."""
    keys = ("probability", "threshold", "predicted_n_status", "nodes_total", "nodes_positive")
    patients: list[JSON] = []
    for record in records:
        name = record.patient_id
        if name in results:
            entry = {key: results[name][key] for key in keys}
            notices = [notice["code"] for notice in results[name]["notices"]]
            patients.append({"patient_id": name, "state": "done", "notices": notices, **entry})
        elif name in failures:
            patients.append({"patient_id": name, "state": "failed", "code": failures[name].code})
        else:
            patients.append({"patient_id": name, "state": "excluded"})
    return {"schema": 1, "done": len(results), "failed": len(failures), "patients": patients}
