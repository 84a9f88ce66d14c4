"""`lymphct demo` around the demonstration itself, which has tests of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.core.errors import InputError, LymphctError
from lymphct.patients.one_by_one import CohortOutcome
from lymphct.study import demonstration

Program = Callable[..., Any]

RESULT: dict[str, Any] = {
    "patient_id": "phantom-1",
    "probability": 0.25,
    "threshold": 0.5,
    "nodes_total": 3,
    "nodes_positive": 1,
    "sources": {"structures": "network", "tumor": "network", "nodes": "network"},
    "structures_used": ["aorta"],
    "structures_missing": [],
    "notices": [],
}


def shown(monkeypatch: pytest.MonkeyPatch, failures: dict[str, LymphctError]) -> list[Any]:
    demos: list[Any] = []

    def demonstrate(demo: object, **_options: object) -> CohortOutcome:
        demos.append(demo)
        return CohortOutcome({"phantom-1": RESULT}, failures)

    monkeypatch.setattr(demonstration, "demonstrate", demonstrate)
    return demos


def test_every_patient_has_a_line_and_a_report(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (demos, result) = shown(monkeypatch, {}), lymphct("demo", "--out", tmp_path)
    assert result.code == 0
    assert result.out.splitlines()[0].startswith("phantom-1: probability of LN metastasis 0.250")
    assert result.out.splitlines()[1] == f"report: {tmp_path / 'phantom-1' / 'report.html'}"
    assert result.out.splitlines()[2:] == [f"all patients: {tmp_path / 'index.html'}"]
    assert (demos[0].patients, demos[0].training_patients) == (3, 0)


def test_a_training_comes_first_where_it_is_asked_for_with_a_shortened_recipe(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demos = shown(monkeypatch, {})
    assert lymphct("demo", "--train", "--out", tmp_path).code == 0
    assert lymphct("demo", "--train", "--out", tmp_path, "--config", "phantom_tiny").code == 0
    short, own = (demo.config.structures.training.epochs for demo in demos)
    assert demos[0].training_patients == 30
    assert short < own


def test_a_failed_patient_ends_the_demo_with_code_4(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown(monkeypatch, {"phantom-2": InputError("it is damaged", code="E_GZIP")})
    result = lymphct("demo", "--out", tmp_path)
    assert result.code == 4
    assert "phantom-2: failed: it is damaged [E_GZIP]" in result.out


def test_fewer_than_three_patients_are_no_demo(lymphct: Program, tmp_path: Path) -> None:
    assert lymphct("demo", "--out", tmp_path, "--patients", "2").code == 2
