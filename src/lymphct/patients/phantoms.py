"""A cohort of synthetic patients on disk: images, truth, manifest (METHOD §13, DESIGN §3)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lymphct.io.images.reading import write_nodes, write_volume
from lymphct.io.manifest import write_manifest
from lymphct.io.processes import map_patients
from lymphct.io.results.fingerprints import code_version, fingerprint
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.io.results.store import committed_folder, is_current
from lymphct.phantom.patient import generate_patient, patient_truth
from lymphct.phantom.settings import PhantomSettings

TRUTH_FILE = "truth.json"


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
        patient_id = f"phantom-{cohort.seed}-{index:04d}"
        target = cohort.folder / patient_id
        origin = fingerprint(
            {},
            {"settings": cohort.settings.model_dump(mode="json"), "seed": cohort.seed, "index": index},
            code_version("core", "imaging", "phantom"),
        )
        if not is_current(target, origin):
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
            with committed_folder(target, origin) as staging:
                for name in ("arterial", "venous", "structures", "tumor", "field"):
                    write_volume(staging / f"{name}.nii.gz", getattr(patient, name))
                write_nodes(staging / "nodes.nii.gz", patient.nodes)
                write_json(staging / TRUTH_FILE, {"row": row, "truth": patient_truth(patient)})
        stored: Any = read_json(target / TRUTH_FILE)
        files = {
            name: target / f"{name}.nii.gz" for name in ("arterial", "venous", "structures", "tumor", "nodes")
        }
        return {**stored["row"], **files}, stored["truth"]
