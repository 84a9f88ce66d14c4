"""The commands on tables of scores: what they print, and how they end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Program = Callable[..., Any]


def write(path: Path, seed: int, strength: float = 1.5, *, blank: int = 0) -> Path:
    labels = (np.arange(30) % 2).astype(int)
    values = 1 / (1 + np.exp(-(np.random.default_rng(seed).normal(size=30) + strength * (labels - 0.5))))
    lines = [
        f"p{row:02d},{labels[row]},{'' if row < blank else values[row]},{int(values[row] > 0.5)}"
        for row in range(30)
    ]
    path.write_text("\n".join(["patient_id,label,score,call", *lines, ""]))
    return path


def test_status_prints_the_four_measures_of_the_risk_before_those_of_the_calls(
    lymphct: Program, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", 1, blank=2)
    result = lymphct("evaluate", "status", path, "--out", tmp_path / "r", "--seed", 3)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "without score, left out of what needs one: 2 patients (p00, p01)"
    assert lines[1] == "all: 30 patients, 15 N+, 15 N-"
    begun = [
        "AUC",
        "calibration:",
        "net",
        "score",
        "score",
        "balanced",
        "accuracy",
        "sensitivity",
        "specificity",
    ]
    assert [line.split()[0] for line in lines[2:11]] == begun
    assert "improper" in lines[-1]
    record = json.loads((tmp_path / "r" / "status.json").read_text())
    assert record["settings"]["seed"] == 3
    again = lymphct("evaluate", "status", path, "--out", tmp_path / "r", "--seed", 3, "--json")
    assert json.loads(again.out) == record


def test_compare_prints_each_pair_with_the_warning_beside_the_papers_test(
    lymphct: Program, tmp_path: Path
) -> None:
    paths = [write(tmp_path / "a.csv", 1, 3.0, blank=1), write(tmp_path / "b.csv", 2, 0.2)]
    result = lymphct("compare", *paths, "--out", tmp_path / "c.json")
    assert result.code == 0
    assert "without score in a: 1 patient (p00)" in result.out
    assert "a against b:" in result.out
    assert "probability that the claim that a is better is false: 0.0" in result.out
    assert "Do not conclude from it." in result.out
    record = json.loads((tmp_path / "c.json").read_text())
    assert json.loads(lymphct("compare", *paths, "--json").out) == record


def test_compare_prints_the_folds_where_there_are_any_and_why_they_are_not_used(
    lymphct: Program, tmp_path: Path
) -> None:
    paths = [write(tmp_path / "a.csv", 1), write(tmp_path / "b.csv", 2, 0.2)]
    for folds, path in ((3, paths[0]), (15, paths[1])):
        heading, *lines = path.read_text().splitlines()
        of_lines = [f"{line},{row // 2 % folds}" for row, line in enumerate(lines)]
        path.write_text("\n".join([f"{heading},fold", *of_lines, ""]))
    other = write(tmp_path / "c.csv", 3)
    out = lymphct("compare", paths[0], other).out
    assert "\na:\n  AUC 0." in out
    assert "  AUC over 3 folds 0." in out
    assert "  over the folds 0." in out
    assert out.index("  calibration: slope") < out.index("  balanced accuracy")
    assert "conclude on AUC from crossvalidated" in out
    told = "folds are not used: fold 0 tests 1 N+ and 1 N-, two of each are needed"
    assert told in lymphct("compare", paths[1], other).out
    assert told in lymphct("evaluate", "status", paths[1], "--out", tmp_path / "few").out
    assert "  AUC over 3 folds 0." in lymphct("evaluate", "status", paths[0], "--out", tmp_path / "r").out


def test_equal_methods_have_nothing_to_claim(lymphct: Program, tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.csv", 1), write(tmp_path / "b.csv", 1)]
    assert "equal balanced accuracy: nothing to claim" in lymphct("compare", *paths).out


def test_bad_tables_end_in_one_line_and_exit_3(lymphct: Program, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 1)
    (tmp_path / "bad.csv").write_text(path.read_text().replace("p03,1", "p03,2"))
    (tmp_path / "few.csv").write_text(path.read_text().replace("label", "truth"))
    for words in (
        ("evaluate", "status", tmp_path / "bad.csv", "--out", tmp_path / "r"),
        ("evaluate", "status", tmp_path / "few.csv", "--out", tmp_path / "r"),
        ("evaluate", "status", tmp_path / "none.csv", "--out", tmp_path / "r"),
        ("compare", path, tmp_path / "bad.csv"),
        ("compare", path, tmp_path / "none.csv"),
    ):
        result = lymphct(*words)
        assert (result.code, result.err.count("\n")) == (3, 1), words
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("place", ["folder", "file/c.json"])
def test_a_file_that_cannot_be_written_is_told_before_the_work(
    lymphct: Program, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    result = lymphct("compare", tmp_path / "no.csv", tmp_path / "no2.csv", "--out", tmp_path / place)
    assert result.code == {"folder": 5, "file/c.json": 6}[place]
