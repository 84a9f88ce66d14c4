"""`lymphct study show` of a run of `train all`, and a study that is submitted to SLURM."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.study.nested.cohorts import write_cohort

from lymphct.study.single.work import open_split
from lymphct.study.tasks.board import Board

Program = Callable[..., Any]


@pytest.fixture
def run(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.parent, tmp_path / "run"))


def test_the_tasks_of_a_finished_training_are_shown(lymphct: Program, run: Path) -> None:
    shown = lymphct("study", "show", run)
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == list(open_split(run).graph)
    assert all(": done, " in line for line in lines[:-1])
    assert lines[-1].startswith("8 tasks; spent ")
    assert lines[-1].endswith(", to go 0 s")


def test_a_training_under_way_is_shown_with_its_pace(lymphct: Program, run: Path) -> None:
    for name in ("examine", "metastasis"):
        shutil.rmtree(run / "tasks" / name)
    shutil.rmtree(run / "tasks" / "structures")
    pulse = run / "stages" / "structures" / "progress.json"
    pulse.write_text(json.dumps({"done": 40, "total": 100, "seconds": 2.0}))
    with Board(run, open_split(run)).claimed("structures"):
        shown = lymphct("study", "show", run)
    assert "structures: running\n" in shown.out
    assert "structures is running: iteration 40 of 100, about 2 min to go" in shown.out
    assert "examine: waiting\n" in shown.out
    assert shown.out.splitlines()[-1].endswith("and what has not been seen yet: examine")
    record = json.loads(lymphct("study", "show", run, "--json").out)
    assert record["states"] == {"done": 5, "running": 0, "ready": 1, "waiting": 2, "failed": 0}


def test_a_training_is_no_cross_validation(lymphct: Program, run: Path) -> None:
    refused = lymphct("crossval", run, "--next")
    assert refused.code == 3
    assert "a study of the format 'lymphct-train-1', not 'lymphct-crossval-1'" in refused.err


def test_a_study_is_submitted_and_left_to_its_jobs(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    programs, script = tmp_path / "bin", tmp_path / "script"
    programs.mkdir()
    (programs / "srun").write_text("#!/bin/sh\n")
    kept = f'cp "$1" {shlex.quote(str(script))}'
    (programs / "sbatch").write_text(f"#!/bin/sh\n{kept}\necho Submitted batch job 4711\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    cohort, study = write_cohort(tmp_path / "c", 40).path, tmp_path / "study"
    words = ("crossval", cohort, "--out", study, "--methods", "ct_reported")
    refused = lymphct(*words, "--cluster", "slurm:nothing=1")
    assert refused.code == 2
    assert not study.exists()
    submitted = lymphct(*words, "--cluster", "slurm:partition=long,hours=2")
    assert (submitted.code, submitted.out) == (0, "4711\n"), submitted.err
    assert "#SBATCH --array=0-7%8\n" in script.read_text()  # no more at once than there are
    assert "#SBATCH --partition=long\n" in script.read_text()
    assert not (study / "tables").exists()
