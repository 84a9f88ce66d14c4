"""The files for batch systems run as they are written, and give the same bytes."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.study.tasks.test_workers import ROOT, digests
from tests.study.tasks.toy_study import lay_study, open_toy

from lymphct.core.errors import UsageError
from lymphct.study.tasks.board import Board
from lymphct.study.tasks.exporting import write_plan
from lymphct.study.tasks.workers import Hands, run_here

PROGRAM = shlex.join([sys.executable, "-m", "tests.study.tasks.toy_study"])


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, str]:
    run = lay_study(tmp_path / "expected", chains=2)
    run_here(run, open_toy, Hands(devices=("cpu",)))
    return digests(run)


def plan(run: Path, kind: str) -> Path:
    return write_plan(Board(run, open_toy(run)), kind, PROGRAM)


def test_the_script_of_a_job_array_does_the_study(tmp_path: Path, expected: dict[str, str]) -> None:
    run = lay_study(tmp_path / "a run", chains=2)
    script = plan(run, "sbatch")
    last = re.search(r"#SBATCH --array=1-(\d+)%\d+$", script.read_text(), re.MULTILINE)
    assert last is not None
    jobs = []
    for number in range(1, int(last[1]) + 1):  # as the batch system does, two jobs at a time
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number)}
        jobs.append(subprocess.Popen(["bash", str(script)], cwd=ROOT, env=environment))  # noqa: S607
        if len(jobs) > 1:
            assert jobs[-2].wait() == 0
    assert jobs[-1].wait() == 0
    assert digests(run) == expected
    assert "--array=1-1%" in plan(run, "sbatch").read_text()  # nothing is left


def test_the_snakefile_does_the_study(tmp_path: Path, expected: dict[str, str]) -> None:
    pytest.importorskip("snakemake")
    run = lay_study(tmp_path / "run", chains=2)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(plan(run, "snakemake")), "--cores", "2"]
    found = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*command, "--quiet"],
        cwd=run,  # it leaves a folder where it is called
        env={**os.environ, "PYTHONPATH": found},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert digests(run) == expected


def test_the_snakefile_has_a_rule_for_each_task(tmp_path: Path) -> None:
    run = lay_study(tmp_path, chains=2)
    text = plan(run, "snakemake").read_text()
    assert text.count("\nrule task") == len(open_toy(run).graph)
    assert 'name: "walk.1"' in text
    assert text.count("resources: gpu=1") == 2


def test_another_batch_system_is_refused(tmp_path: Path) -> None:
    run = lay_study(tmp_path)
    with pytest.raises(UsageError, match="no plan for 'pbs'"):
        plan(run, "pbs")
