"""What the summary and the page of a predicted cohort tell of one patient."""

from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import JSON
from lymphct.patients.one_by_one import CohortOutcome, Result
from lymphct.report.cohort_rows import Fate


def fate_of(record: PatientRecord, outcome: CohortOutcome) -> Fate:
    """Return what the page of a cohort tells of one patient."""
    name = record.patient_id
    if name in outcome.results:
        return Fate(patient_id=name, result=outcome.results[name])
    error = outcome.failures.get(name)
    if error is None:
        return Fate(patient_id=name, exclusion=record.cells.get("exclude_reason", ""))
    cause = f"{error.file}: {error.cause}" if error.file else error.cause
    return Fate(patient_id=name, cause=cause, code=error.code, cure=error.cure)


def told(result: Result) -> dict[str, JSON]:
    """Return what the summary of a cohort says of a patient."""
    keys = (
        "sources",
        "probability",
        "threshold",
        "predicted_n_status",
        "nodes_total",
        "nodes_positive",
        "nodes_implausible",
    )
    return {
        "notices": [notice["code"] for notice in result["notices"]],
        **{key: result[key] for key in keys},
    }
