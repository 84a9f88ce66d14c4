"""A cohort of synthetic patients on disk: images, truth, manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lymphct.io.images.reading import write_nodes, write_volume
from lymphct.io.manifest import write_manifest
from lymphct.io.processes import map_patients
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.phantom.patient import generate_patient, patient_truth
from lymphct.phantom.settings import PhantomSettings

TRUTH_FILE = "truth.json"
_STATUS_COLUMNS = ("n_status", "pN", "ct_reported_n")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomCohort:
    """Which synthetic patients, and where.

    Attributes:
        folder: receives `cohort.csv`, `truth.json` and one folder per patient.
        settings: of the generator.
        seed: of the cohort.
        patients: how many.
        first: index of the first one; another range of indices gives other patients of the same kind.

    """

    folder: Path
    settings: PhantomSettings
    seed: int
    patients: int
    first: int = 0


def write_phantoms(
    cohort: PhantomCohort, *, jobs: int = 1, progress: Callable[[str], None] | None = None
) -> Path:
    """Generate a cohort, each patient whole or not at all; return its manifest.

    Patients that are there already, of the same settings and seed, are kept.

    Raises:
        OutputInUseError: a patient's folder holds something else.
        EnvironmentProblemError: no space, no permission and the like.

    """
    cohort.folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    truth: dict[str, Any] = {}
    indices = range(cohort.first, cohort.first + cohort.patients)
    for outcome in map_patients(_Writer(cohort), indices, jobs=jobs):
        row, entry = outcome.result()
        rows.append(row)
        truth[str(row["patient_id"])] = entry
        if progress is not None:
            progress(str(row["patient_id"]))
    write_json(cohort.folder / TRUTH_FILE, {"patients": truth})
    manifest = cohort.folder / "cohort.csv"
    write_manifest(manifest, rows)
    return manifest


@dataclass(frozen=True, slots=True)
class _Writer:
    cohort: PhantomCohort

    def __call__(self, index: int) -> tuple[dict[str, object], dict[str, Any]]:
        cohort = self.cohort
        place = cohort.folder / f"phantom-{cohort.seed}-{index:04d}"
        recipe = Recipe(
            settings={
                "settings": cohort.settings.model_dump(mode="json"),
                "seed": cohort.seed,
                "index": index,
            },
            code=("patients.phantoms",),
        )
        made(place, recipe, partial(_write_patient, cohort=cohort, index=index, patient_id=place.name))
        stored: Any = read_json(place / TRUTH_FILE)
        files = {
            name: place / f"{name}.nii.gz" for name in ("arterial", "venous", "structures", "tumor", "nodes")
        }
        return {**stored["row"], **files}, stored["truth"]


def _write_patient(folder: Path, *, cohort: PhantomCohort, index: int, patient_id: str) -> None:
    patient = generate_patient(cohort.settings, seed=cohort.seed, index=index)
    row: dict[str, Any] = {
        "patient_id": patient_id,
        "center": cohort.settings.center,
        "n_status": patient.n_status,
        "pN": patient.pN,
        "pT": patient.pT,
        "age": patient.age,
        "sex": patient.sex,
        "tumor_size_cm": round(patient.tumor_diameter_mm / 10, 1),
        "tumor_location": patient.tumor_location,
        "ct_reported_n": patient.ct_reported_n,
        "synthetic": 1,
    }
    if cohort.settings.crowding > 1:  # whoever has so many nodes says nothing of a patient's status
        row |= dict.fromkeys(_STATUS_COLUMNS, "")
    for name in ("arterial", "venous", "structures", "tumor", "field"):
        write_volume(folder / f"{name}.nii.gz", getattr(patient, name))
    write_nodes(folder / "nodes.nii.gz", patient.nodes)
    write_json(folder / TRUTH_FILE, {"row": row, "truth": patient_truth(patient)})
