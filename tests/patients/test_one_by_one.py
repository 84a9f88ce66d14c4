"""A bad patient never stops the others, and the summary says what became of everybody."""

import json
import logging
from pathlib import Path

import pytest

from lymphct.core.errors import InputError, LymphctError
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.patients.one_by_one import (
    CohortOutcome,
    Result,
    summary_record,
    work_through,
    write_outcome,
)

RECORDS = tuple(
    PatientRecord(patient_id=name, venous=Path("v"), cells=cells)
    for name, cells in (
        ("d", {}),
        ("c", {"exclude_reason": "no consent"}),
        ("b", {}),
        ("a", {}),
    )
)
TORN = InputError("gzip stream ends early", code="E_TRUNCATED", cure="copy it")


def lengths(record: PatientRecord) -> Result:
    """Return something of each patient; `b` cannot be read."""
    if record.patient_id == "b":
        raise InputError(TORN.cause, code=TORN.code, cure=TORN.cure)
    return {"patient_id": record.patient_id, "length": len(record.patient_id)}


def told(result: Result) -> dict[str, object]:
    return {"length": result["length"]}


def test_the_others_go_on_and_the_failure_names_its_patient(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    with caplog.at_level(logging.ERROR, logger="lymphct.patients.one_by_one"):
        outcome = work_through(RECORDS, lengths, {}, progress=seen.append)
    assert list(outcome.results) == ["d", "a"]
    assert outcome.results["a"]["length"] == 1
    assert str(outcome.failures["b"]) == "b: gzip stream ends early [E_TRUNCATED] - copy it"
    assert [record.getMessage() for record in caplog.records] == [str(outcome.failures["b"])]
    assert seen == ["d", "b", "a"]  # the excluded one is neither done nor failed


def test_who_is_broken_or_excluded_is_not_worked_on() -> None:
    worked: list[str] = []

    def work(record: PatientRecord) -> Result:
        worked.append(record.patient_id)
        return {"length": 0}

    seen: list[str] = []
    outcome = work_through(RECORDS, work, {"a": TORN}, progress=seen.append)
    assert worked == seen == ["d", "b"]
    assert outcome.failures == {"a": TORN}


def test_work_without_a_result_is_a_failure() -> None:
    outcome = work_through(RECORDS[:1], lambda _: None, {})  # type: ignore[arg-type,return-value] # that is the bug
    assert not outcome.results
    assert type(outcome.failures["d"]) is LymphctError
    assert str(outcome.failures["d"]) == "d: no result [E_BUG]"


def test_a_bug_of_ours_is_a_failure_of_its_patient_alone() -> None:
    def work(record: PatientRecord) -> Result:
        return {"length": 1 // (record.patient_id != "d")}

    outcome = work_through(RECORDS, work, {})
    assert list(outcome.results) == ["b", "a"]
    assert outcome.failures["d"].cause.startswith("unexpected ZeroDivisionError at test_one_by_one.py:")


def test_the_summary_has_a_line_for_everybody_in_the_order_of_the_manifest() -> None:
    outcome = work_through(RECORDS, lengths, {})
    assert summary_record(RECORDS, outcome, told) == {  # type: ignore[arg-type] # numbers are JSON
        "schema": 1,
        "done": 2,
        "failed": 1,
        "patients": [
            {"patient_id": "d", "state": "done", "length": 1},
            {"patient_id": "c", "state": "excluded"},
            {"patient_id": "b", "state": "failed", "code": "E_TRUNCATED"},
            {"patient_id": "a", "state": "done", "length": 1},
        ],
    }


def test_failures_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    cohort = Manifest(path=tmp_path / "cohort.csv", columns=(), patients=RECORDS)
    out = tmp_path / "a" / "out"
    write_outcome(out, cohort, work_through(RECORDS, lengths, {}), told)  # type: ignore[arg-type] # numbers are JSON
    write_outcome(out, cohort, work_through(RECORDS, lengths, {}), told)  # type: ignore[arg-type] # numbers are JSON
    (failure,) = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert failure == {
        "patient_id": "b",
        "code": "E_TRUNCATED",
        "exit_code": 3,
        "cause": "gzip stream ends early",
        "message": "b: gzip stream ends early [E_TRUNCATED] - copy it",
    }
    assert json.loads((out / "summary.json").read_text())["failed"] == 1
    fine = CohortOutcome({name: {"length": 1} for name in "abd"}, {})
    write_outcome(out, cohort, fine, told)  # type: ignore[arg-type] # numbers are JSON
    assert not (out / "failures.jsonl").exists()
    assert json.loads((out / "summary.json").read_text())["done"] == 3
