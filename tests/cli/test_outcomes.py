"""How a command over a cohort ends."""

from pathlib import Path

import pytest

from lymphct.cli.outcomes import print_outcome, report_outcome
from lymphct.core.errors import CohortPartlyFailedError, InputError
from lymphct.patients.one_by_one import SUMMARY_FILE, CohortOutcome, Result

DONE = {"a": {"patient_id": "a"}, "b": {"patient_id": "b"}}
BROKEN = InputError("the file is damaged", code="E_GZIP", cure="copy it again").at(patient="c")


def described(result: Result) -> str:
    return f"{result['patient_id']}: fine"


def test_each_patient_has_a_line_and_failures_their_cause(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(CohortOutcome(DONE, {"c": BROKEN}), described)
    assert capsys.readouterr().out.splitlines() == [
        "a: fine",
        "b: fine",
        "c: failed: the file is damaged [E_GZIP]",
    ]


def test_without_a_failure_nothing_is_raised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_outcome(CohortOutcome(DONE, {}), tmp_path, described, as_json=False)
    assert capsys.readouterr().out == "a: fine\nb: fine\n"


def test_a_failed_patient_ends_the_command_with_exit_code_4_after_the_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CohortPartlyFailedError, match="1 of 3 patients failed: c") as caught:
        report_outcome(CohortOutcome(DONE, {"c": BROKEN}), tmp_path, described, as_json=False)
    assert caught.value.exit_code == 4
    assert caught.value.cure == "see failures.jsonl"
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_one_patient_is_no_patients(tmp_path: Path) -> None:
    with pytest.raises(CohortPartlyFailedError, match="1 of 1 patient failed: c"):
        report_outcome(CohortOutcome({}, {"c": BROKEN}), tmp_path, described, as_json=False)


def test_as_json_the_summary_is_printed_as_it_lies_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / SUMMARY_FILE).write_text('{"done": 2, "failed": 1}')
    with pytest.raises(CohortPartlyFailedError):
        report_outcome(CohortOutcome(DONE, {"c": BROKEN}), tmp_path, described, as_json=True)
    assert capsys.readouterr().out == '{"done": 2, "failed": 1}\n'
