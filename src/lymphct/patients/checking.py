"""Every problem of a cohort before any work starts: its lines, then its images (`lymphct check`)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from lymphct.core.errors import LymphctError
from lymphct.core.patient import Notice, PatientInput
from lymphct.core.terms import Phase
from lymphct.io.images.labels import read_label_names
from lymphct.io.images.reading import Scheme, read_ct, read_labels, read_mask, read_nodes
from lymphct.io.images.sources import is_there, same_source
from lymphct.io.manifest import PatientRecord, read_manifest
from lymphct.io.manifest_check import PATIENT_ID, manifest_problems
from lymphct.io.processes import map_patients
from lymphct.io.results.jsonfile import JSON
from lymphct.patients.reading import read_patient

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a manifest or with a file it names.

    Attributes:
        line: of the manifest, from 1 for the heading.
        patient: pseudonym; empty where it is not a valid one, since it may be a name.
        file: name of the file without folders; empty when it concerns no file.
        cause: what is wrong, with the measured value.
        code: the same for machines.
        cure: how to mend it.

    """

    line: int
    patient: str
    file: str
    cause: str
    code: str
    cure: str

    @classmethod
    def of(cls, error: LymphctError, line: int) -> "Problem":
        """Describe what was raised."""
        return cls(
            line=line,
            patient=error.patient,
            file=error.file,
            cause=error.cause,
            code=error.code,
            cure=error.cure,
        )

    def __str__(self) -> str:
        error = LymphctError(self.cause, code=self.code, cure=self.cure)
        return f"line {self.line}: {error.at(patient=self.patient, file=self.file)}"

    def record(self) -> dict[str, JSON]:
        """Return the problem for JSON."""
        return asdict(self)


def check_manifest(
    path: Path,
    *,
    labels: Scheme = "auto",
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> list[Problem]:
    """Find every problem of a manifest and of the images it names.

    Each patient who is not excluded is read as every command reads them. Where that fails, each file is
    tried by itself, so that one bad file does not hide another.

    Args:
        path: the manifest.
        labels: numbering of the structure masks.
        jobs: processes that read side by side.
        progress: called with the id of each patient that was read.

    Returns:
        The problems in the order of the lines; none when work can start.

    Raises:
        InputError: the manifest is no table, or the numbering no list of names.

    """
    if isinstance(labels, Path):
        read_label_names(labels)  # a wrong list of names is no patient's fault
    cohort = read_manifest(path)
    problems = [Problem.of(problem.error, problem.line) for problem in manifest_problems(cohort)]
    records = [_readable(record) for record in cohort.patients if not record.is_excluded]
    for outcome in map_patients(_Reader(labels), records, jobs=jobs):
        errors, notices = ([outcome.error], ()) if outcome.error else outcome.result()
        problems += [Problem.of(error, outcome.item.line) for error in errors]
        for notice in notices:
            logger.warning("%s: %s", outcome.item.patient_id, notice.text)
        if progress is not None:
            progress(outcome.item.patient_id)
    return sorted(problems, key=lambda problem: problem.line)


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


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads all files of one patient; returns every error and, when there is none, the notices."""

    labels: Scheme

    def __call__(self, record: PatientRecord) -> tuple[list[LymphctError], tuple[Notice, ...]]:
        others = {role: path for role, path in record.paths.items() if role != "venous"}
        if not is_there(record.venous):
            return (self._alone(record, others), ())
        try:
            return ([], self._read(record).notices)
        except LymphctError as error:
            first = error
        errors = _failures([partial(self._read, _beside_venous(record, {}))])
        if errors:
            return (errors + self._alone(record, others), ())
        beside = [partial(self._read, _beside_venous(record, {role: path})) for role, path in others.items()]
        return (_failures(beside) or [first], ())

    def _read(self, record: PatientRecord) -> PatientInput:
        return read_patient(record, labels=self.labels)

    def _alone(self, record: PatientRecord, paths: Mapping[str, Path]) -> list[LymphctError]:
        """Read files without a CT to compare them with."""
        readers: Mapping[str, Callable[[Path], object]] = {
            "arterial": partial(read_ct, phase=Phase.ARTERIAL),
            "structures": partial(read_labels, scheme=self.labels),
            "tumor": partial(read_mask, name="tumor mask"),
            "nodes": read_nodes,
        }
        errors = _failures([partial(readers[role], path) for role, path in paths.items()])
        return [error.at(patient=record.patient_id) for error in errors]


def _failures(readings: Sequence[Callable[[], object]]) -> list[LymphctError]:
    errors = []
    for read in readings:
        try:
            read()
        except LymphctError as error:
            errors.append(error)
    return errors
