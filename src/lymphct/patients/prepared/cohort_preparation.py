"""A cohort prepared on disk: registered, resampled, structures and attention mapped (`lymphct prepare`)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lymphct.attention.bands import bands_of
from lymphct.cascade.description import BundleInfo
from lymphct.config import Config
from lymphct.core.terms import RegistrationMethod
from lymphct.io.images.reading import Scheme
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.manifest_check import require_usable
from lymphct.io.models.loading import models_in
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.store import clean_stale_staging, locked
from lymphct.patients.course import Begun, Course, watched_course
from lymphct.patients.one_by_one import CohortOutcome, Result, forget_outcome, work_through, write_outcome
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.prepared.guidance import Guidance, guide_patient
from lymphct.patients.prepared.memory import affordable_jobs, worker_memory
from lymphct.patients.prepared.preparation import Preparation, load_alignment, prepare_patient
from lymphct.patients.prepared.registration_table import write_registration_table


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationRequest:
    """How to prepare a cohort.

    Attributes:
        out: receives a folder per patient, the table of registrations, summary and failures.
        config: settings of grid, registration and attention.
        bundle: its networks draw what nobody drew, and its spacing, bands and registration hold; None draws
            nothing and takes those of `config` and of the paper (Tab. II).
        registration: method, whatever bundle and settings say; None = theirs.
        labels: numbering of the structures in the cohort's files.
        device: on which the networks run.
        rehash: hash every input and every stored image, even where its files look untouched.
        patient_timeout: seconds by the clock that one patient may take, in a process of its own that is
            killed then; None = any.

    """

    out: Path
    config: Config
    bundle: Path | None = None
    registration: RegistrationMethod | None = None
    labels: Scheme = "auto"
    device: str = "auto"
    rehash: bool = False
    patient_timeout: float | None = None


def prepare_cohort(
    cohort: Manifest,
    request: PreparationRequest,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
    begun: Begun | None = None,
) -> CohortOutcome:
    """Prepare every patient of a manifest, then write the table of registrations, summary and failures.

    What is there already and was made from the same files, settings and code is kept. A worker's memory is
    estimated first; fewer work side by side than `jobs` when it would not suffice for all.

    Raises:
        InputError: the manifest as a whole cannot be used; nothing is prepared.
        ModelError: the bundle is refused; likewise.
        OutputInUseError: another process works in the folder.

    """
    broken = require_usable(cohort)
    preparation, guidance = _resolved(request)
    each = worker_memory(cohort.patients, preparation, with_networks=request.bundle is not None)
    with locked(request.out), watched_course(begun) as course:
        forget_outcome(request.out)
        outcome = work_through(
            cohort.patients,
            _Preparer(preparation, guidance, course),
            broken,
            jobs=affordable_jobs(jobs, each),
            seconds=request.patient_timeout,
            progress=progress,
        )
        for name in outcome.failures:
            clean_stale_staging(request.out / name)  # of workers that were killed
        write_registration_table(request.out, preparation, cohort.patients)
        write_outcome(request.out, cohort, outcome, _told)
    return outcome


def preparation_of(request: PreparationRequest, info: BundleInfo | None) -> Preparation:
    """Return how a cohort is prepared: spacing and registration of the bundle, else of the settings."""
    config = request.config
    method = request.registration or (config.registration.method if info is None else info.registration)
    return Preparation(
        folder=request.out,
        spacing=config.imaging.spacing if info is None else info.spacing,
        registration=config.registration.model_copy(update={"method": method}),
        labels=request.labels,
        rehash=request.rehash,
    )


def _resolved(request: PreparationRequest) -> tuple[Preparation, Guidance]:
    config = request.config
    models = None if request.bundle is None else models_in(request.bundle, request.device)
    preparation = preparation_of(request, None if models is None else models.info)
    guidance = Guidance(
        prior=bands_of(config.attention) if models is None else models.prior,
        attention=config.attention if models is None else models.attending(config.attention),
        bundle=request.bundle,
        device=request.device,
    )
    return preparation, guidance


@dataclass(frozen=True, slots=True)
class _Preparer:
    preparation: Preparation
    guidance: Guidance
    course: Course

    def __call__(self, record: PatientRecord) -> dict[str, Any]:
        self.course(record.patient_id, "registration")
        images = prepare_patient(record, self.preparation)
        self.course(record.patient_id, "attention")
        patient = StoredPatient(record.patient_id, images)
        used = guide_patient(patient, self.guidance, rehash=self.preparation.rehash)
        sources = {s.label: source for s, source in patient.structure_sources.items()}
        told = {"patient_id": record.patient_id, "structure_sources": sources}
        return {**told, **load_alignment(images), **used}


def _told(result: Result) -> dict[str, JSON]:
    """Return what the summary says of a prepared patient."""
    found = result["registration"]
    return {
        "notices": [notice["code"] for notice in result["notices"]],
        "registration": None if found is None else found["method"],
        "flags": [] if found is None else found["flags"],
        "structures": result["structures"],
        "structure_sources": result["structure_sources"],
        "structures_used": len(result["structures_used"]),
        "tumor": result["tumor"],
    }
