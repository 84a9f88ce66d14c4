"""The same work for every patient of a manifest: a bad one never stops the others."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lymphct.core.errors import LymphctError
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.processes import map_patients
from lymphct.io.results.disk import DISK_CODES, environment_errors
from lymphct.io.results.jsonfile import JSON, append_json_line, write_json

logger = logging.getLogger(__name__)

SUMMARY_FILE = "summary.json"
FAILURES_FILE = "failures.jsonl"

Result = Mapping[str, Any]
"""What is told of a patient who succeeded."""


@dataclass(frozen=True, slots=True)
class CohortOutcome:
    """What became of each patient: result records by id, errors by id."""

    results: Mapping[str, Result]
    failures: Mapping[str, LymphctError]


def work_through(  # noqa: PLR0913 - the last three are options
    records: Sequence[PatientRecord],
    work: Callable[[PatientRecord], Result],
    broken: Mapping[str, LymphctError],
    *,
    jobs: int = 1,
    seconds: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> CohortOutcome:
    """Do the work for each patient who is neither excluded nor broken.

    A disk that is full or read-only is no patient's fault: the work ends there, and whoever is done
    stays done.

    Args:
        records: the patients.
        work: called with each of them, in a process of its own when there is more than one job.
        broken: what already failed some of them, by id.
        jobs: how many to work on at the same time.
        seconds: that one patient may take, in a process that is killed then; None = any.
        progress: called with the id of each patient who is done or failed.

    Raises:
        EnvironmentProblemError: the disk refuses; of the patient who met it.

    """
    wanted = [r for r in records if not r.is_excluded and r.patient_id not in broken]
    results: dict[str, Result] = {}
    failures: dict[str, LymphctError] = dict(broken)
    for outcome in map_patients(work, wanted, jobs=jobs, seconds=seconds):
        name = outcome.item.patient_id
        if outcome.error is not None and outcome.error.code in DISK_CODES:
            raise outcome.error.at(patient=name)
        if outcome.error is None and outcome.value is not None:
            results[name] = outcome.value
        else:
            failures[name] = (outcome.error or LymphctError("no result")).at(patient=name)
            logger.error("%s", failures[name])
        if progress is not None:
            progress(name)
    return CohortOutcome(results, failures)


def forget_outcome(out: Path, *others: str) -> None:
    """Remove what an earlier run told of a cohort: the one that begins may end before it tells anything.

    Args:
        out: folder of the cohort; need not be there.
        others: files besides summary and failures.

    """
    with environment_errors():
        for name in (SUMMARY_FILE, FAILURES_FILE, *others):
            (out / name).unlink(missing_ok=True)


def write_outcome(
    out: Path, cohort: Manifest, outcome: CohortOutcome, told: Callable[[Result], dict[str, JSON]]
) -> None:
    """Write `summary.json`, a line per patient in the order of the manifest, and `failures.jsonl`.

    Args:
        out: existing or new folder.
        cohort: all patients.
        outcome: what became of them.
        told: picks what the summary says of a result.

    """
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SUMMARY_FILE, summary_record(cohort.patients, outcome, told))
    failed = out / FAILURES_FILE
    failed.unlink(missing_ok=True)
    for name, error in outcome.failures.items():
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
    records: Sequence[PatientRecord], outcome: CohortOutcome, told: Callable[[Result], dict[str, JSON]]
) -> dict[str, JSON]:
    """Return the content of `summary.json`."""
    patients: list[JSON] = []
    for record in records:
        name = record.patient_id
        if name in outcome.results:
            patients.append({"patient_id": name, "state": "done", **told(outcome.results[name])})
        elif name in outcome.failures:
            patients.append({"patient_id": name, "state": "failed", "code": outcome.failures[name].code})
        else:
            patients.append({"patient_id": name, "state": "excluded"})
    return {
        "schema": 1,
        "done": len(outcome.results),
        "failed": len(outcome.failures),
        "patients": patients,
    }
