"""The jobs that submitit starts do the study and give the same bytes."""

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.study.tasks.test_workers import ROOT, digests
from tests.study.tasks.toy_study import lay_study, open_toy

from lymphct.core.errors import EnvironmentProblemError, UsageError
from lymphct.study.tasks.board import Board
from lymphct.study.tasks.submission import Line, Site, read_site, submit
from lymphct.study.tasks.workers import Hands, run_here

WORDS = (sys.executable, "-m", "tests.study.tasks.toy_study", "crossval")

SBATCH = """\
#!/bin/sh
cp "$1" {seen}
echo "Submitted batch job 4711"
"""


def site(executor: str = "local") -> Site:
    return replace(read_site("slurm:hours=1"), executor=executor)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs by the names of SLURM's; return where the script of the last submission is kept."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "srun").write_text("#!/bin/sh\n")
    (programs / "sbatch").write_text(SBATCH.format(seen=shlex.quote(str(tmp_path / "script"))))
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return tmp_path / "script"


def test_what_jobs_ask_for_is_read() -> None:
    asked = read_site("slurm: partition=gpu, gpus=2,hours=12,memory=64,cpus=8,at_once=4").parameters
    assert asked == {
        "slurm_partition": "gpu", "gpus_per_node": 2, "timeout_min": 720, "mem_gb": 64, "cpus_per_task": 8,
        "slurm_array_parallelism": 4,
    }  # fmt: skip
    assert read_site("slurm").parameters == {"timeout_min": 1440, "slurm_array_parallelism": 16}


@pytest.mark.parametrize(
    "text", ["slurm:gpu", "slurm:gpus=many", "slurm:gpus=0", "slurm:partition=", "slurm:x=1"]
)
def test_what_nobody_can_ask_for_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"nothing a job can ask for .*partition=TEXT.*gpus=NUMBER"):
        read_site(text)


def test_jobs_of_submitit_do_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    expected = lay_study(tmp_path / "here", chains=2)
    run_here(expected, open_toy, Hands(devices=("cpu",)))
    monkeypatch.chdir(ROOT)  # where the toy study is found
    run = lay_study(tmp_path / "jobs", chains=2, pause=0.02)
    board = Board(run, open_toy(run))
    (jobs,) = submit(board, (*WORDS, str(run), "--next"), site())
    assert len({job.job_id for job in jobs}) == len(board.graph) == 5
    assert [job.result() for job in jobs] == [None] * 5
    assert digests(run) == digests(expected)
    assert submit(Board(run, open_toy(run)), WORDS, site()) == ()  # nothing is left


def test_a_task_that_fails_is_a_job_that_fails() -> None:
    with pytest.raises(Exception, match="returned non-zero exit status 3"):
        Line((sys.executable, "-c", "raise SystemExit(3)"))(0)


def test_tasks_without_networks_are_jobs_that_ask_for_no_gpu(tmp_path: Path, slurm: Path) -> None:
    pytest.importorskip("submitit")
    run = lay_study(tmp_path / "run", chains=2)
    board = Board(run, open_toy(run))
    asked = read_site("slurm:partition=gpu,gpus=1,cpu_partition=long")
    with_gpu, without = submit(board, (*WORDS, str(run), "--next"), asked)
    assert (len(with_gpu), len(without)) == (2, 3)
    script = slurm.read_text()  # of the second array
    assert "#SBATCH --partition=long\n" in script
    assert "--gpus-per-node" not in script
    assert "#SBATCH --array=0-2%3\n" in script


@pytest.mark.slow
def test_jobs_of_either_kind_do_the_study_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    expected = lay_study(tmp_path / "here", chains=2)
    run_here(expected, open_toy, Hands(devices=("cpu",)))
    monkeypatch.chdir(ROOT)
    run = lay_study(tmp_path / "jobs", chains=2, pause=0.02)
    asked = replace(read_site("slurm:gpus=1,hours=1"), executor="local")
    networks, others = submit(Board(run, open_toy(run)), (*WORDS, str(run), "--next"), asked)
    assert [job.result() for job in (*networks, *others)] == [None] * 5
    assert digests(run) == digests(expected)


def test_slurm_is_handed_one_array_of_identical_lines(tmp_path: Path, slurm: Path) -> None:
    submitit: Any = pytest.importorskip("submitit")
    run = lay_study(tmp_path / "run", chains=2)
    asked = read_site("slurm:partition=long,cpus=8,hours=2,at_once=3,account=radiology")
    board = Board(run, open_toy(run))
    board.fail("draw.0", "it failed yesterday")
    (jobs,) = submit(board, (*WORDS, str(run), "--next"), asked)
    assert [job.job_id for job in jobs] == [f"4711_{number}" for number in range(5)]
    assert not board.failure("draw.0")
    script = slurm.read_text()
    for line in (
        "--partition=long", "--cpus-per-task=8", "--time=120", "--array=0-4%3", "--account=radiology",
        "--job-name=lymphct",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in script
    # A job that meets its limit is put in line again, with the same line.
    again = Line(WORDS).checkpoint(3)
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert (again.function, again.args) == (Line(WORDS), (3,))


def test_jobs_that_slurm_refuses_are_said(tmp_path: Path, slurm: Path) -> None:
    pytest.importorskip("submitit")
    sbatch = slurm.parent / "bin" / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: moon' >&2\nexit 1\n")
    run = lay_study(tmp_path / "run")
    with pytest.raises(EnvironmentProblemError, match=r"SLURM refused the jobs: .*invalid partition"):
        submit(Board(run, open_toy(run)), WORDS, read_site("slurm:partition=moon"))


def test_without_slurm_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    run = lay_study(tmp_path / "run")
    with pytest.raises(EnvironmentProblemError, match="there is no srun"):
        submit(Board(run, open_toy(run)), WORDS, read_site("slurm"))


def test_without_submitit_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    run = lay_study(tmp_path / "run")
    board = Board(run, open_toy(run))
    board.fail("draw.0", "it failed yesterday")
    with pytest.raises(EnvironmentProblemError, match=r"submitit is not installed .*lymphct.slurm"):
        submit(board, WORDS, read_site("slurm:gpus=1"))
    assert board.failure("draw.0")  # nobody will try it again


IMPORTING = """\
import logging, sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from lymphct.study.tasks.submission import _executor, read_site

handler = logging.FileHandler(Path(sys.argv[1], "log"))
logging.getLogger().addHandler(handler)
_executor(SimpleNamespace(run=Path(sys.argv[1])), replace(read_site("slurm:hours=1"), executor="debug"))
logging.getLogger().warning("still here")
assert handler in logging.getLogger().handlers
assert not logging.getLogger("submitit").handlers
"""


def test_importing_submitit_leaves_our_logging_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.delenv("SUBMITIT_LOG_LEVEL")
    words = [sys.executable, "-c", IMPORTING, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "log").read_text() == "still here\n"
