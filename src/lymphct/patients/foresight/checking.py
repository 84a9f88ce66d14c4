"""Every problem of a cohort before any work starts: its lines, then its images (`lymphct check`)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from lymphct.core.errors import LymphctError
from lymphct.core.patient import Notice, PatientInput
from lymphct.core.terms import Phase
from lymphct.io.images.label_list import read_label_names
from lymphct.io.images.reading import (
    Scheme,
    read_ct,
    read_partial_labels,
    read_partial_mask,
    read_partial_nodes,
)
from lymphct.io.images.sources import is_there, same_source
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.manifest_check import PATIENT_ID
from lymphct.io.processes import map_patients
from lymphct.io.results.jsonfile import JSON
from lymphct.patients.foresight.problems import Problem, by_line, of_manifest
from lymphct.patients.reading import read_patient

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPatient:
    """What reading one patient's images showed.

    Attributes:
        line: of the manifest.
        patient: pseudonym; empty where it is not a valid one.
        notices: what a reader of results must know, such as phases that look swapped.

    """

    line: int
    patient: str
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCohort:
    """What a look at a manifest and at the images it names showed.

    Attributes:
        problems: in the order of the lines; none when work can start.
        notices: of the manifest as a whole.
        patients: who was read, in the order of the lines.

    """

    problems: tuple[Problem, ...]
    notices: tuple[Notice, ...]
    patients: tuple[CheckedPatient, ...]

    def record(self) -> dict[str, JSON]:
        """Return everything for JSON; `by_patient` holds errors and notices with code, text and value."""
        return {
            "patients": len(self.patients),
            "problems": [problem.record() for problem in self.problems],
            "notices": [asdict(notice) for notice in self.notices],
            "by_patient": [self._patient_record(patient) for patient in self.patients],
        }

    def _patient_record(self, patient: CheckedPatient) -> JSON:
        errors = [problem for problem in self.problems if problem.line == patient.line]
        return {
            "line": patient.line,
            "patient": patient.patient,
            "errors": [{"code": e.code, "text": e.cause, "value": e.file or e.column} for e in errors],
            "notices": [asdict(notice) for notice in patient.notices],
        }


def check_cohort(
    cohort: Manifest,
    *,
    labels: Scheme = "auto",
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> CheckedCohort:
    """Find every problem of a manifest and of the images it names.

    Each patient who is not excluded is read as every command reads them. Where that fails, each file is
    tried by itself, so that one bad file does not hide another.

    Args:
        cohort: the manifest as it was read.
        labels: numbering of the structure masks.
        jobs: processes that read side by side.
        progress: called with the id of each patient that was read.

    Raises:
        InputError: the numbering is no list of names.

    """
    if isinstance(labels, Path):
        read_label_names(labels)  # a wrong list of names is no patient's fault
    problems = of_manifest(cohort)
    patients = []
    records = [_readable(record) for record in cohort.patients if not record.is_excluded]
    for outcome in map_patients(_Reader(labels), records, jobs=jobs):
        record = outcome.item
        found = _Found(errors=[("", outcome.error)]) if outcome.error else outcome.result()
        problems += [Problem.of(error, record.line, column, stops=False) for column, error in found.errors]
        patients.append(
            CheckedPatient(line=record.line, patient=record.patient_id, notices=tuple(found.notices))
        )
        for notice in found.notices:
            logger.warning("%s: %s", record.patient_id, notice.text)
        if progress is not None:
            progress(record.patient_id)
    return CheckedCohort(problems=by_line(problems), notices=column_notices(cohort), patients=tuple(patients))


def column_notices(cohort: Manifest) -> tuple[Notice, ...]:
    """Return a notice for each column that is not used and is nearly the name of one that would be."""
    return tuple(
        Notice(
            code="near_miss_column",
            text=f"the column {written[:40]!r} is not used; rename it if {meant} is meant",
            value=meant,
        )
        for written, meant in cohort.near_misses.items()
    )


def _readable(record: PatientRecord) -> PatientRecord:
    """Drop what `manifest_problems` reported: paths where nothing is, a second phase that is the first."""
    kept = {role: path for role, path in record.paths.items() if is_there(path)}
    if {"arterial", "venous"} <= set(kept) and same_source(kept["arterial"], kept["venous"]):
        del kept["arterial"]
    # A refused id is shown once, where it is refused: it may be a patient's name.
    name = record.patient_id if PATIENT_ID.fullmatch(record.patient_id) else ""
    return replace(_beside_venous(record, kept), patient_id=name)


def _beside_venous(record: PatientRecord, paths: Mapping[str, Path]) -> PatientRecord:
    """Return the patient with these files besides the venous phase, and no others."""
    return replace(
        record,
        arterial=paths.get("arterial"),
        structures=paths.get("structures"),
        tumor=paths.get("tumor"),
        nodes=paths.get("nodes"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Errors of one patient, each with the column it concerns, and notices by what they say."""

    errors: Sequence[tuple[str, LymphctError]] = ()
    notices: Sequence[Notice] = ()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads all files of one patient; finds every error, and what can be noticed in spite of them."""

    labels: Scheme

    def __call__(self, record: PatientRecord) -> _Found:
        others = {role: path for role, path in record.paths.items() if role != "venous"}
        if not is_there(record.venous):
            return _Found(errors=self._alone(record, others))
        try:
            return _Found(notices=self._read(record).notices)
        except LymphctError as error:
            first = error
        try:
            notices = dict.fromkeys(self._read(_beside_venous(record, {})).notices)
        except LymphctError as error:
            return _Found(errors=[("venous", error), *self._alone(record, others)])
        errors = []
        for role, path in others.items():
            try:
                beside = self._read(_beside_venous(record, {role: path}))
            except LymphctError as error:
                errors.append((role, error))
            else:
                notices |= dict.fromkeys(beside.notices)
        return _Found(errors=errors or [("", first)], notices=list(notices))

    def _read(self, record: PatientRecord) -> PatientInput:
        return read_patient(record, labels=self.labels)

    def _alone(self, record: PatientRecord, paths: Mapping[str, Path]) -> list[tuple[str, LymphctError]]:
        """Read files without a CT to compare them with."""
        readers: Mapping[str, Callable[[Path], object]] = {
            "arterial": partial(read_ct, phase=Phase.ARTERIAL),
            "structures": partial(read_partial_labels, scheme=self.labels),
            "tumor": partial(read_partial_mask, name="tumor mask"),
            "nodes": read_partial_nodes,
        }
        errors: list[tuple[str, LymphctError]] = []
        for role, path in paths.items():
            try:
                readers[role](path)
            except LymphctError as error:
                errors.append((role, error.at(patient=record.patient_id)))
        return errors
