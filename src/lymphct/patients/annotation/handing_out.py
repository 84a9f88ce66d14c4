"""A predicted cohort handed out to readers: a folder per patient, and who comes first."""

from collections.abc import Callable
from dataclasses import dataclass

from lymphct.core.errors import InputError, LymphctError, UsageError
from lymphct.io.dicom_results.stored import StoredResult, read_stored
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.manifest_check import require_usable
from lymphct.io.results.store import locked
from lymphct.patients.annotation.exporting import Export, Exporter
from lymphct.patients.annotation.worklist import Doubt, doubt_of, ranked, write_worklist
from lymphct.patients.one_by_one import CohortOutcome, work_through, write_outcome
from lymphct.patients.predicting.prediction import images_of


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOut:
    """What became of an export.

    Attributes:
        order: all predicted patients, the most uncertain first.
        outcome: of those who were exported, and of those who failed.

    """

    order: tuple[Doubt, ...]
    outcome: CohortOutcome


def hand_out(
    cohort: Manifest,
    request: Export,
    *,
    top: int | None = None,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> HandedOut:
    """Rank the predicted patients of a cohort and write a folder for each, or for the first `top`.

    The worklist has all of them. A patient without a result fails and does not stop the others; what a
    reader saved is never written over.

    Raises:
        InputError: the manifest as a whole cannot be used, or no patient has a result.
        UsageError: the results would be written into themselves.
        OutputInUseError: another process writes there.

    """
    _require_apart(request)
    images = images_of(cohort)
    broken: dict[str, LymphctError] = dict(require_usable(images))
    results: dict[str, StoredResult] = {}
    with locked(request.out):
        for record in images.patients:
            if record.is_excluded or record.patient_id in broken:
                continue
            try:
                results[record.patient_id] = read_stored(request.results / record.patient_id)
            except InputError as error:
                broken[record.patient_id] = error.at(patient=record.patient_id)
        if not results:
            first = next(iter(broken.values()), None)
            msg = f"no patient has a result in {request.results.name}" + (
                f"; the first: {first}" if first else ""
            )
            raise InputError(
                msg, code="E_RESULT", cure="give the folder that lymphct predict made of the cohort"
            )
        order = ranked([doubt_of(name, result) for name, result in results.items()])
        write_worklist(request.out, order, results)
        outcome = work_through(
            _first(images, order, top), Exporter(request), broken, jobs=jobs, progress=progress
        )
        write_outcome(request.out, images, outcome, dict)
    return HandedOut(order=tuple(order), outcome=outcome)


def _require_apart(request: Export) -> None:
    if request.out.resolve() == request.results.resolve():
        msg = "--out is the folder of the results"
        raise UsageError(msg, cure="choose a folder of its own for the readers")


def _first(cohort: Manifest, order: list[Doubt], top: int | None) -> list[PatientRecord]:
    records = {record.patient_id: record for record in cohort.patients}
    return [records[doubt.patient_id] for doubt in order[:top]]
