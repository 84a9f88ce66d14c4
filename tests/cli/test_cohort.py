import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.cli.cohort import register
from lymphct.cli.context import progress_bar
from lymphct.cli.main import exit_code, new_app
from lymphct.io.manifest import read_manifest

Program = Callable[..., Any]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one nano phantom, made by the command."""
    folder = tmp_path_factory.mktemp("phantom") / "c"
    app = new_app()
    register(app)
    arguments = ["phantom", str(folder), "--patients", "1", "--size", "nano", "--seed", "4", "--first", "7"]
    assert exit_code(app, arguments) == 0
    return folder


@pytest.fixture
def cohort(phantom: Path, tmp_path: Path) -> Path:
    """The manifest of a copy that may be damaged."""
    return shutil.copytree(phantom, tmp_path / "c") / "cohort.csv"


def test_the_phantom_command_prints_the_manifest_and_keeps_what_is_there(
    lymphct: Program, cohort: Path
) -> None:
    venous = cohort.parent / "phantom-4-0007" / "venous.nii.gz"
    before = venous.stat().st_mtime_ns
    arguments = ["--patients", 1, "--size", "nano", "--seed", 4, "--first", 7]
    result = lymphct("phantom", cohort.parent, *arguments)
    assert (result.code, result.out) == (0, f"{cohort}\n")
    assert venous.stat().st_mtime_ns == before


def test_a_crowded_cohort_teaches_of_nodes_and_says_nothing_of_patients(
    lymphct: Program, tmp_path: Path
) -> None:
    arguments = ["--patients", 1, "--size", "nano", "--mode", "unbiased", "--seed", 4, "--crowding", 3]
    assert lymphct("phantom", tmp_path / "c", *arguments).code == 0
    (record,) = read_manifest(tmp_path / "c" / "cohort.csv").patients
    assert record.n_status is None
    assert {record.cells[name] for name in ("n_status", "pN", "ct_reported_n")} == {""}
    assert record.nodes is not None


def test_a_phantom_passes_the_check_and_a_damaged_one_does_not(lymphct: Program, cohort: Path) -> None:
    result = lymphct("check", cohort)
    assert (result.code, result.out) == (0, "no problems in 1 patient\n")
    venous = cohort.parent / "phantom-4-0007" / "venous.nii.gz"
    venous.write_bytes(venous.read_bytes()[:2000])
    result = lymphct("check", cohort)
    assert result.code == 3
    problem, summary = result.out.splitlines()
    assert problem.startswith("line 2, column venous: phantom-4-0007: venous.nii.gz: ")
    assert "[E_TRUNCATED]" in problem
    assert summary == "1 problem in 1 patient"


def test_problems_as_json_have_one_field_per_part_of_the_line(lymphct: Program, cohort: Path) -> None:
    tumor = cohort.parent / "phantom-4-0007" / "tumor.nii.gz"
    tumor.unlink()
    result = lymphct("check", cohort, "--json")
    assert result.code == 3
    found = json.loads(result.out)
    assert found["patients"] == 1
    assert found["problems"] == [
        {
            "line": 2,
            "column": "tumor",
            "patient": "phantom-4-0007",
            "file": "tumor.nii.gz",
            "cause": f"tumor: no such file: phantom-4-0007/tumor.nii.gz (looked for at {tumor})",
            "code": "E_MISSING",
            "cure": "check the path",
        }
    ]


def test_a_missing_manifest_is_refused(lymphct: Program, tmp_path: Path) -> None:
    result = lymphct("check", tmp_path / "none.csv")
    assert result.code == 3
    assert result.err == f"error: {tmp_path / 'none.csv'}: no such file [E_MISSING] - check the path\n"


def test_a_wrong_numbering_is_refused_before_any_image_is_read(lymphct: Program, cohort: Path) -> None:
    names = cohort.parent / "names.yaml"
    names.write_text("heart: 3")
    result = lymphct("check", cohort, "--labels", names)
    assert result.code == 3
    assert result.err.startswith("error: names.yaml: unknown structure 'heart' [E_LABELS]")
    assert result.out == ""


def test_no_bar_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("patients", 2) as advance:
        advance("p1")
    assert capsys.readouterr().err == ""
