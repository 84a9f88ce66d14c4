"""Every error a user can act on is one line with its place, code and cure, and has an exit code."""

import copy

import pytest

from lymphct.core import errors
from lymphct.core.errors import InputError, LymphctError


def kinds() -> list[type[LymphctError]]:
    named = [getattr(errors, name) for name in dir(errors)]
    return [kind for kind in named if isinstance(kind, type) and issubclass(kind, LymphctError)]


def test_the_exit_codes_are_those_of_the_design() -> None:
    assert {kind.__name__: kind.exit_code for kind in kinds()} == {
        "LymphctError": 1,
        "UsageError": 2,
        "InputError": 3,
        "GeometryMismatchError": 3,
        "LeakageError": 3,
        "CohortPartlyFailedError": 4,
        "OutputInUseError": 5,
        "HeldError": 5,
        "EnvironmentProblemError": 6,
        "ModelError": 7,
    }


def test_the_line_names_patient_file_cause_code_and_cure() -> None:
    error = InputError("slices are missing", code="E_GAP", cure="export the series again")
    error.at(patient="case7", file="venous")
    assert str(error) == "case7: venous: slices are missing [E_GAP] - export the series again"


def test_what_is_unknown_leaves_no_trace_in_the_line() -> None:
    assert str(InputError("slices are missing")) == "slices are missing [E_INPUT]"


def test_a_place_told_later_adds_to_the_one_told_before() -> None:
    error = InputError("bad").at(file="a.nii.gz").at(patient="case7")
    assert str(error).startswith("case7: a.nii.gz: bad")


def test_text_from_a_file_cannot_break_the_line_or_drive_the_terminal() -> None:
    line = str(InputError("series '\x1b[31mred\nline\r'", cure="see\tthere"))
    assert line.isprintable()
    assert r"\x1b[31mred\nline\r" in line
    assert r"see\tthere" in line


@pytest.mark.parametrize("kind", kinds())
def test_an_error_survives_the_way_between_processes(kind: type[LymphctError]) -> None:
    error = kind("cause", code="E_X", cure="cure").at(patient="case7", file="a")
    again = copy.copy(error)
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.exit_code == error.exit_code
