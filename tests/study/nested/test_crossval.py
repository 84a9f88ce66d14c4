"""`lymphct crossval` from the manifest to the tables."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import FINDING, SHORT
from tests.study.nested.cohorts import write_cohort

from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.io.results.jsonfile import read_json
from lymphct.io.results.store import TIMINGS_FILE
from lymphct.io.table import read_table
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings
from lymphct.scoring.score_table import read_scores
from lymphct.study.nested.guard import BUNDLE
from lymphct.study.nested.predictions import COLUMNS
from lymphct.study.nested.tables import LEAKS
from lymphct.study.nested.work import open_nested
from lymphct.study.tasks.board import Board

METHODS = "ct_reported,center"


def lymphct(*words: object) -> int:
    app = new_app()
    commands.register(app)
    return exit_code(app, [str(word) for word in words])


def loaded_by(*words: object) -> set[str]:
    """Run a command in a process of its own; return the libraries it has loaded in the end."""
    script = "import sys; from lymphct.cli import commands; from lymphct.cli.main import exit_code, new_app; "
    script += "app = new_app(); commands.register(app); assert exit_code(app, sys.argv[1:]) == 0; "
    script += "print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", script, *map(str, words)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(told.stdout.splitlines()[-1].split())


def digests(run: Path) -> dict[str, str]:
    places = [run / "tasks", run / "tables", run / "predictions"]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    return {
        file.relative_to(run).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (*sorted(files), run / "predictions.csv")
        if file.name != TIMINGS_FILE
    }


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("cohorts")
    return (
        write_cohort(folder / "c", 40).path,
        write_cohort(folder / "e", 6, prefix="ext").path,
    )


@pytest.fixture(scope="module")
def begun(cohorts: tuple[Path, Path]) -> list[object]:
    """The command that begins the study `done`, without the folder it goes to."""
    return ["crossval", cohorts[0], "--methods", METHODS, "--threads", "1"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, begun: list[object]) -> Path:
    """A finished study; nobody changes it."""
    run = tmp_path_factory.mktemp("done") / "run"
    assert lymphct(*begun, "--out", run) == 0
    return run


def test_a_study_of_reports_from_manifest_to_tables(
    tmp_path: Path, cohorts: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, (cohort, external) = tmp_path / "run", cohorts
    begin = ["crossval", cohort, "--out", run, "--external", external, "--methods", METHODS]
    assert lymphct(*begin) == 0
    rows = [
        row for row in read_table(run / "predictions.csv", COLUMNS) if row.cells["method"] == "ct_reported"
    ]
    own = [row.cells for row in rows if row.cells["cohort"] == "cohort"]
    assert len(own) == 40
    assert {cells["fold"] for cells in own} == set("12345")
    others = [row.cells for row in rows if row.cells["cohort"] == "external1"]
    assert [cells["fold"] for cells in others] == [""] * 6
    scores = read_scores(run / "predictions" / "cohort" / "ct_reported.csv")
    assert len(scores.patients) == 40
    table = (run / "tables" / "table_6.md").read_text()
    assert "| CT-reported LN status | 40 (20) |" in table
    assert table.index("CT-reported") < table.index("control: center")  # as they were asked for
    assert "| Patients | 40 | 6 |" in (run / "tables" / "table_1.md").read_text()
    assert "CT-reported LN status" in (run / "figures" / "figure_5b.svg").read_text()
    compared = json.loads((run / "tables" / "comparison_cohort.json").read_text())
    assert [pair["second"] for pair in compared["comparisons"]] == ["center"]
    assert "| CT-reported LN status | 6 (3) |" in (run / "tables" / "table_7_external1.md").read_text()
    page = (run / "report.html").read_text()
    assert all(f"<h2>{title}</h2>" in page for title in ("What was studied", "Checklists", "Failures"))
    assert "40 of 40 (20)" in page
    assert "☐ authors" in (run / "checklists" / "claim.md").read_text()
    assert "A 3-D U-Net" not in (run / "methods.md").read_text()  # no network was run
    assert {file.suffix for file in (run / "figures").iterdir()} == {".svg", ".png"}
    before = digests(run)
    capsys.readouterr()
    assert lymphct("crossval", run) == 0  # nothing is left
    assert loaded_by("crossval", run) & {"torch", "SimpleITK", "numba", "matplotlib", "sklearn"} == set()
    assert lymphct(*begin) == 0
    assert digests(run) == before
    assert lymphct("study", "show", run, "--json") == 0
    states = json.loads(capsys.readouterr().out.splitlines()[-1])["states"]
    assert states == {"done": 13, "running": 0, "ready": 0, "waiting": 0, "failed": 0}


@pytest.mark.slow
def test_job_by_job_the_tables_are_the_same(tmp_path: Path, begun: list[object], done: Path) -> None:
    assert lymphct(*begun, "--out", tmp_path / "jobs", "--plan", "sbatch") == 0
    plan = tmp_path / "jobs" / "study.json"
    here = json.loads((done / "study.json").read_text())
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "study": here["study"]}))  # the same salt
    assert "--array=1-13%" in (tmp_path / "jobs" / "plan" / "study.sbatch").read_text()
    for _ in range(14):  # one more than there are tasks
        assert lymphct("crossval", tmp_path / "jobs", "--next") == 0
    assert digests(tmp_path / "jobs") == digests(done)


def test_what_does_not_go_together_is_refused(
    tmp_path: Path,
    cohorts: tuple[Path, Path],
    begun: list[object],
    done: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, (cohort, _) = tmp_path / "run", cohorts
    assert lymphct("crossval", cohort) == 2
    assert "a new study needs --out" in capsys.readouterr().err
    assert lymphct("crossval", cohort, "--out", run, "--only", "others") == 2
    assert "--only says which tasks --next may take" in capsys.readouterr().err
    assert not run.exists()
    assert lymphct("crossval", cohort, "--out", run, "--methods", METHODS, "--next", "--plan", "sbatch") == 2
    assert "--next and --plan exclude each other" in capsys.readouterr().err
    assert lymphct("crossval", cohort, "--out", run, "--given", "nodes") == 2
    assert "'nodes' is not one of structures, tumor" in capsys.readouterr().err
    before = digests(done)
    assert lymphct(*begun, "--out", done, "--seed", "1") == 2
    assert "a study with other seed, nested" in capsys.readouterr().err
    assert lymphct("crossval", done, "--out", done) == 2
    assert lymphct("crossval", tmp_path) == 3  # no study there
    assert "study.json: no such file" in capsys.readouterr().err
    assert lymphct("crossval", done, "--task", "nothing") == 2
    assert "the study has no task 'nothing'" in capsys.readouterr().err
    assert digests(done) == before


def test_a_training_under_way_is_shown_with_its_pace(
    tmp_path: Path, cohorts: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert lymphct("crossval", cohorts[0], "--out", run, "--methods", "ct_reported", "--plan", "sbatch") == 0
    pulse = run / "unfinished" / "judge.fold1.ct_reported" / "key" / "progress.json"
    pulse.parent.mkdir(parents=True)
    pulse.write_text('{"done": 40, "total": 100, "seconds": 2.0}')
    capsys.readouterr()
    with Board(run, open_nested(run)).claimed("judge.fold1.ct_reported"):
        assert lymphct("study", "show", run) == 0
    told = capsys.readouterr().out
    assert "judge: 1 running, 4 ready" in told
    assert "judge.fold1.ct_reported is running: iteration 40 of 100, about 2 min to go" in told
    assert "to go not known yet" in told


def test_a_dry_run_tells_the_folds_and_makes_nothing(
    tmp_path: Path, cohorts: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["crossval", cohorts[0], "--out", tmp_path / "run", "--inner", "2", "--dry-run"]
    assert lymphct(*words, "--methods", METHODS) == 0
    told = capsys.readouterr().out
    assert "fold 5: 26 teach, 6 choose, 8 are tested; 2 inner folds" in told
    assert "methods: ct_reported, center" in told
    assert "no problems" in told
    assert lymphct(*words, "--methods", "combind") == 3
    assert "did you mean combined?" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_a_folder_with_something_else_is_left_alone(
    tmp_path: Path, cohorts: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert lymphct("crossval", cohorts[0], "--out", tmp_path, "--methods", METHODS) == 5
    assert "holds no study of ours, but for example letter.txt" in capsys.readouterr().err


@pytest.mark.slow
def test_settings_on_which_nothing_depends_leave_what_is_there(
    tmp_path: Path, begun: list[object], done: Path
) -> None:
    run = Path(shutil.copytree(done, tmp_path / "run"))
    words = [*begun, "--out", run]
    before = digests(run)
    assert lymphct(*words, "--set", "nodes.threshold=0.4") == 0
    assert digests(run) == before
    assert lymphct(*words, "--set", "metastasis.volume=total") == 0
    assert digests(run) != before


SETTINGS = [word for setting in (*SHORT, *FINDING) for word in ("--set", setting)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_study_with_cascades_from_images_to_tables(tmp_path: Path) -> None:
    settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
    phantoms = PhantomCohort(folder=tmp_path / "c", settings=settings, seed=4, patients=20)
    run = tmp_path / "run"
    words = [
        "crossval",
        write_phantoms(phantoms),
        "--out",
        run,
        "--features",
        "paper",
        "--config",
        "phantom_nano",
    ]
    words += ["--given", "structures,tumor", "--methods", "nodes,tumor_volume,ct_reported", *SETTINGS]
    assert lymphct(*words, "--device", "cpu", "--threads", "1") == 0
    table = (run / "tables" / "table_6.md").read_text()
    assert "| ClsbyLNSeg | 20 (" in table
    assert "| control: tumor volume | 20 (" in table
    assert LEAKS in table
    info: Any = read_json(run / "tasks" / "bundle.fold1" / BUNDLE / "bundle.json")
    assert set(info["parts"]) == {"nodes", "identification"}
    assert "Positive LN volume" in (run / "tables" / "table_1.md").read_text()
    assert not any((run / "unfinished").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_study_of_phantoms_survives_kills(tmp_path: Path) -> None:
    manifests = []
    for name, patients, seed in (("c", 24, 4), ("e", 4, 11)):
        settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
        phantoms = PhantomCohort(folder=tmp_path / name, settings=settings, seed=seed, patients=patients)
        manifests.append(write_phantoms(phantoms))
    words = [
        "crossval",
        manifests[0],
        "--external",
        manifests[1],
        "--given",
        "structures,tumor",
        "--inner",
        "2",
    ]
    words += ["--methods", "combined,nodes,tumor,ct_reported", "--config", "phantom_nano", *SETTINGS]
    words += ["--threads", "1", "--device", "cpu", "--work", tmp_path / "prepared"]
    assert lymphct(*words, "--out", tmp_path / "quiet") == 0
    command = [sys.executable, "-c", "from lymphct.cli.main import run; run()", *map(str, words)]
    moments = np.random.default_rng(0)
    for jobs in ("1", "2", "2", "1"):
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "killed"), "--jobs", jobs], start_new_session=True
        )
        time.sleep(moments.uniform(20, 60))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert lymphct(*words, "--out", tmp_path / "killed") == 0
    assert digests(tmp_path / "killed") == digests(tmp_path / "quiet")
    table = (tmp_path / "quiet" / "tables" / "table_6.md").read_text()
    assert all(f"| {method} | " in table for method in ("combined", "ClsbyLNSeg", "ClsfromPDAC"))
