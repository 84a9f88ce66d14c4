"""Predictions on disk: one patient, or a cohort in which a bad patient never stops the others."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from lymphct.cascade.models import Models
from lymphct.cascade.operating_points import moved, require_stages
from lymphct.cascade.partial_examination import networks_needed, require_networks
from lymphct.cascade.patient import predict_patient
from lymphct.config import Config
from lymphct.core.errors import InputError, ModelError, UsageError
from lymphct.core.terms import RegistrationMethod, StageName
from lymphct.io.images.labels import Scheme
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.manifest_check import require_usable
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import models_in
from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import JSON, read_json
from lymphct.io.results.made import Recipe, made_to_be_seen
from lymphct.io.results.store import clean_stale_staging, locked
from lymphct.io.results.superseded import set_aside
from lymphct.learning.devices import chosen_device, resolved_backend, resolved_precision
from lymphct.patients.course import Begun, Course, watched_course
from lymphct.patients.one_by_one import (
    CohortOutcome,
    forget_outcome,
    work_through,
    write_outcome,
)
from lymphct.patients.predicting.files import report_context, write_mask_manifest, write_prediction
from lymphct.patients.predicting.masks import write_masks
from lymphct.patients.predicting.told import fate_of, told
from lymphct.patients.reading import files_of, read_patient
from lymphct.patients.sources.merging import Sourcing, source_files, sourcing_key, with_sources
from lymphct.patients.sources.naming import NamedSource
from lymphct.report.cohort import COHORT_FILE, cohort_page

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
MASK_MANIFEST: Final = "cohort.csv"
"""The manifest of masks alone, beside them."""
MASKS: Final = ("structures", "tumor", "nodes")
"""Columns of a manifest that hold what somebody drew."""


class Afterwards(Protocol):
    """What is made of each finished result besides it, such as DICOM objects; it knows its own place."""

    @property
    def stage(self) -> str:
        """Name of the stage, for who watches."""

    def refusal(self, record: PatientRecord) -> InputError | None:
        """Say, without opening a file, why it cannot be made of a patient; None if it may."""

    def require(self, record: PatientRecord) -> None:
        """Raise `InputError` where it cannot be made of a patient; called before anything is computed."""

    def add(self, record: PatientRecord, result: Path) -> None:
        """Make it of a patient whose result is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRequest:
    """How to predict.

    Attributes:
        bundle: folder of the models.
        signed: digest of the bundle that a verified signature names; models of another one are refused.
        given: columns of a manifest that are used besides the images: `structures`, `tumor`, `nodes`.
        config: settings of attention and notices.
        labels: numbering of given structures.
        fill_structures: let the network add structures the given files lack.
        sources: of structures by name, the most trusted first; what a record holds goes before them.
        registration: method; None = as the bundle was trained.
        device: on which the networks run.
        threads: of the registration of one patient.
        only: last stage that draws a mask, for masks alone; None = to the end.
        operating_points: values by the names of `OPERATING_POINTS`, where not those of the bundle.
        afterwards: what is made of each result besides it; the result itself does not depend on it.
        patient_timeout: seconds by the clock that one patient of a cohort may take, in a process of its own
            that is killed then; None = any.

    """

    bundle: Path
    signed: str | None = None
    config: Config
    labels: Scheme = "auto"
    fill_structures: bool = False
    sources: tuple[NamedSource, ...] = ()
    registration: RegistrationMethod | None = None
    device: str = "auto"
    threads: int = 1
    given: tuple[str, ...] = ()
    only: StageName | None = None
    operating_points: Mapping[str, float] = field(default_factory=dict)
    afterwards: Afterwards | None = None
    patient_timeout: float | None = None

    def brought(self, record: PatientRecord) -> frozenset[str]:
        """Return what of a patient is brought, by the names of columns."""
        return frozenset(record.paths) | ({"structures"} if self.sources else set())


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
    """Predict every patient of a manifest into `out/<patient_id>/`, then write summary, failures and page.

    Masks of structures or tumors alone (`only`) come with a manifest that names them, `cohort.csv`.

    Images alone are used, and the masks of the columns `request.given` names: what a manifest holds is truth
    to measure against, and would come back as if it had been found.

    `progress` is told of each patient who is done, `begun` of each stage of a patient that begins.

    Raises:
        InputError: the manifest as a whole cannot be used; nothing is predicted.
        OutputInUseError: another process works in `out`.

    """
    whole, cohort = cohort, images_of(cohort, request.given)
    broken = require_usable(cohort)
    info = read_bundle(request.bundle).info  # a bundle that is refused is no patient's failure
    require_stages(info.parts, request.operating_points)
    if all(not request.brought(record) - {"venous", "arterial"} for record in cohort.patients):
        require_networks(info.parts, networks_needed((), last=request.only))
    with locked(out), watched_course(begun) as course:
        work = _CohortPredictor(request, out, course)
        forget_outcome(out, COHORT_FILE)
        for name in broken:
            set_aside(out / name)
        outcome = work_through(
            cohort.patients, work, broken, jobs=jobs, seconds=request.patient_timeout, progress=progress
        )
        clean_stale_staging(out)  # of workers that were killed
        write_outcome(out, cohort, outcome, told)
        if request.only in {StageName.STRUCTURES, StageName.TUMOR} and outcome.results:
            write_mask_manifest(out / MASK_MANIFEST, whole, outcome.results, request.only)
        page = cohort_page([fate_of(record, outcome) for record in cohort.patients])
        replace_file(out / COHORT_FILE, page.encode("utf-8", errors="backslashreplace"))
    return outcome


def images_of(manifest: Manifest, given: Sequence[str] = ()) -> Manifest:
    """Return a manifest with the images and the masks of these columns, and no other masks."""
    return replace(manifest, patients=tuple(images_and(record, given) for record in manifest.patients))


def images_and(record: PatientRecord, given: Sequence[str]) -> PatientRecord:
    """Return a patient with the images and the masks of these columns, and no other masks."""
    hidden = [column for column in MASKS if column not in given]
    cells = {name: "" if name in hidden else cell for name, cell in record.cells.items()}
    return replace(
        record,
        cells=cells,
        structures=record.structures if "structures" in given else None,
        tumor=record.tumor if "tumor" in given else None,
        nodes=record.nodes if "nodes" in given else None,
    )


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
    try:
        models, recipe = _models_and_recipe(record, request)
    except InputError:  # of this patient: what an earlier run found must not look like the answer
        set_aside(target)
        raise
    work = partial(_predict_into, record=record, request=request, models=models, course=course)
    made_to_be_seen(target, recipe, work)
    if request.afterwards is not None:
        course(record.patient_id, request.afterwards.stage)
        request.afterwards.add(record, target)
    stored: Any = read_json(target / RESULT_FILE)
    return dict(stored)


def _models_and_recipe(record: PatientRecord, request: PredictionRequest) -> tuple[Models, Recipe]:
    needed = networks_needed(
        request.brought(record), fill_structures=request.fill_structures, last=request.only
    )
    require_networks(read_bundle(request.bundle).info.parts, needed)
    unused = {"node_voxel", "node_min_volume_mm3"}.intersection(request.operating_points)
    if record.nodes is not None and unused:
        msg = f"the operating point {min(unused)} has no effect on lymph nodes that are given"
        raise UsageError(msg, code="E_NO_EFFECT", cure="leave out one of them")
    if request.afterwards is not None:
        request.afterwards.require(record)
    models = moved(_models_of(request), request.operating_points)
    recipe = Recipe.of_files(
        files_of(record) | source_files(request.sources, record.patient_id),
        {
            "patient_id": record.patient_id,
            "config": request.config.model_dump(mode="json"),
            # What the words stand for depends on the device and on what is installed.
            "arithmetic": _arithmetic(request),
            "labels": str(request.labels),
            "fill_structures": request.fill_structures,
            **({"sources": list(sourcing_key(request.sources))} if request.sources else {}),
            "registration": request.registration,
            "only": request.only,
            "operating_points": dict(request.operating_points),
        },
        code=("patients.predicting.prediction",),
        bundle=models.digest,
    )
    return models, recipe


def _models_of(request: PredictionRequest) -> Models:
    models = models_in(request.bundle, request.device)
    if request.signed is not None and models.digest != request.signed:
        msg = "the bundle is not the one whose signature was verified: it changed meanwhile"
        raise ModelError(msg, code="E_SIGNATURE", cure="run it again").at(file=request.bundle.name)
    return models


def _arithmetic(request: PredictionRequest) -> list[JSON]:
    """Return which library runs the networks and in which precision; None where the bundle says."""
    chosen, device = request.config.inference, chosen_device(request.device)
    backend = None if chosen.backend is None else resolved_backend(chosen.backend, device)
    precision = None if chosen.precision is None else resolved_precision(chosen.precision, device)
    return [backend, precision]


def _predict_into(
    folder: Path, *, record: PatientRecord, request: PredictionRequest, models: Models, course: Course
) -> None:
    course(record.patient_id, "reading")
    patient = read_patient(record, labels=request.labels)
    if request.sources:
        course(record.patient_id, "sources")
        patient = with_sources(patient, _sourcing(request, models))
    prediction = predict_patient(
        patient,
        models,
        request.config,
        fill_structures=request.fill_structures,
        registration=request.registration,
        threads=request.threads,
        only=request.only,
        begun=course.of(record.patient_id),
    )
    if request.only is not None:
        write_masks(folder, prediction, report_context(patient, prediction, models), request.only)
        return
    course(record.patient_id, "report")
    write_prediction(folder, prediction, patient, models, viewer=request.config.report.viewer)


def _sourcing(request: PredictionRequest, models: Models) -> Sourcing:
    method = request.registration or models.info.registration
    return Sourcing(
        tracing=request.config.tracing,
        sources=request.sources,
        bundle=request.bundle,
        device=request.device,
        registration=request.config.registration.model_copy(update={"method": method}),
        agreement=request.config.cascade.source_agreement,
        threads=request.threads,
    )
