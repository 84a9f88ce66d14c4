"""A run of `train all` as tasks on disk: what is done, after a kill, after a failure, by a single stage."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import FINDING, SHORT

from lymphct.core.errors import InputError, OutputInUseError, UsageError
from lymphct.core.terms import StageName
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.learning.training import EpochRecord
from lymphct.patients.prepared.preparation import Preparation
from lymphct.study.keeping import Checkpoints
from lymphct.study.request import TrainingRequest
from lymphct.study.single import doing
from lymphct.study.single.facts import EXAMINE, LEARNED, PREPARE
from lymphct.study.single.work import open_split
from lymphct.study.single_split import train_all, train_one
from lymphct.study.tasks.board import Board, State, board_record
from lymphct.study.tasks.graph import STUDY_FILE, Study
from lymphct.study.tasks.workers import do_task

TASKS = [PREPARE, LEARNED, "tumor", "nodes", "identification", "structures", EXAMINE, "metastasis"]
"""In the order in which one process does them."""


def states(run: Path) -> dict[str, State]:
    return Board(run, open_split(run)).states()


def done_of(run: Path) -> set[str]:
    return {name for name, state in states(run).items() if state is State.DONE}


@pytest.fixture
def copied(bundle: Path, training: TrainingRequest, tmp_path: Path) -> TrainingRequest:
    """A finished run in a folder of its own."""
    return replace(training, folder=Path(shutil.copytree(bundle.parent, tmp_path / "run")))


@pytest.fixture
def afresh(bundle: Path, training: TrainingRequest, tmp_path: Path) -> TrainingRequest:
    """A run that is not begun, of patients who are prepared."""
    return replace(training, folder=tmp_path / "run", work=bundle.parent / "prepared")


def test_a_finished_run_is_eight_tasks_that_are_done(bundle: Path) -> None:
    record: Any = board_record(Board(bundle.parent, open_split(bundle.parent)))
    assert [task["id"] for task in record["tasks"]] == TASKS
    assert record["states"]["done"] == len(TASKS)
    assert record["hours_to_go"] == 0
    assert all(task["seconds"] > 0 for task in record["tasks"])
    assert not (bundle.parent / "unfinished").exists()
    assert not (bundle.parent / "failures").exists()


def test_an_interrupted_run_shows_where_it_was(
    afresh: TrainingRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoints.add

    def interrupt(self: Checkpoints, record: EpochRecord, epochs: int) -> None:
        kept(self, record, epochs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_all(afresh)
    monkeypatch.undo()
    run = afresh.folder
    assert states(run) == {
        PREPARE: State.DONE, LEARNED: State.DONE, "tumor": State.READY, "nodes": State.READY,
        "identification": State.WAITING, "structures": State.READY, EXAMINE: State.WAITING,
        "metastasis": State.WAITING,
    }  # fmt: skip
    record: Any = board_record(Board(run, open_split(run)))
    assert record["kinds_not_seen"] == ["train", "examine"]
    # A training that was begun goes on when it is asked for, and is no failure of the task.
    with pytest.raises(UsageError, match=r"stage tumor was begun here before.*--resume"):
        train_all(afresh)
    assert states(run)["tumor"] is State.READY
    # A single stage counts as soon as it is trained.
    train_one(afresh, StageName.STRUCTURES)
    assert states(run)["structures"] is State.DONE
    record = board_record(Board(run, open_split(run)))
    assert record["kinds_not_seen"] == ["examine"]
    assert record["hours_to_go"] is None
    took = next(task["seconds"] for task in record["tasks"] if task["id"] == "structures")
    assert record["hours_to_go_seen"] == pytest.approx(4 * took / 3600, abs=1e-4)


def test_a_failure_ends_the_run_with_its_own_error_and_is_kept(
    afresh: TrainingRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        msg = "nobody has a tumor"
        raise InputError(msg, cure="draw one")

    monkeypatch.setattr(doing, "add_stage", fail)
    with pytest.raises(InputError, match="nobody has a tumor"):
        train_all(afresh)
    board = Board(afresh.folder, open_split(afresh.folder))
    assert board.state("tumor") is State.FAILED
    assert "nobody has a tumor" in board.failure("tumor")
    assert done_of(afresh.folder) == {PREPARE, LEARNED}


def test_evidence_that_was_thrown_away_is_not_made_again_for_a_finished_run(copied: TrainingRequest) -> None:
    run = copied.folder
    info = (run / "bundle" / "bundle.json").read_bytes()
    shutil.rmtree(run / "evidence")
    assert done_of(run) == set(TASKS) - {EXAMINE, "metastasis"}
    train_all(copied)
    assert done_of(run) == set(TASKS)
    assert not (run / "evidence").exists()
    assert (run / "bundle" / "bundle.json").read_bytes() == info


def test_a_run_that_was_begun_without_tasks_gets_them(copied: TrainingRequest) -> None:
    run = copied.folder
    (run / STUDY_FILE).unlink()
    shutil.rmtree(run / "tasks")
    info = (run / "bundle" / "bundle.json").read_bytes()
    train_all(copied)
    assert done_of(run) == set(TASKS)
    assert (run / "bundle" / "bundle.json").read_bytes() == info


def test_what_a_task_left_elsewhere_counts(copied: TrainingRequest) -> None:
    run = copied.folder
    described = run / "bundle" / "bundle.json"
    info = json.loads(described.read_text())
    info["parts"]["nodes"]["sha256"] = "0" * 64
    described.write_text(json.dumps(info))
    assert done_of(run) == {PREPARE, LEARNED, "tumor", "structures"}
    described.unlink()
    assert done_of(run) == {PREPARE, LEARNED}
    (run / "plan.json").write_text("{}")
    assert done_of(run) == {PREPARE}
    done = next((run / "prepared").rglob("images-*/DONE.json"))
    done.write_text(done.read_text() + " ")
    assert done_of(run) == set()


def test_patients_whose_files_changed_are_prepared_again(
    copied: TrainingRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Board(copied.folder, open_split(copied.folder, copied)).is_done(PREPARE)

    def changed(record: object, preparation: Preparation) -> bool:
        del record, preparation
        return False

    monkeypatch.setattr("lymphct.study.single.work.is_prepared", changed)
    assert not Board(copied.folder, open_split(copied.folder, copied)).is_done(PREPARE)


def test_a_task_is_not_done_by_its_id(afresh: TrainingRequest) -> None:
    doing.lay_study(afresh)
    run = afresh.folder
    with pytest.raises(UsageError, match="done by the command that began it"):
        open_split(run).make(open_split(run).graph[PREPARE], None)  # type: ignore[arg-type] # not reached
    with pytest.raises(UsageError, match="comes after prepare"):
        do_task(Board(run, open_split(run)), LEARNED, ("cpu",))


def test_a_damaged_study_is_refused(afresh: TrainingRequest) -> None:
    doing.lay_study(afresh)
    study = Study.read(afresh.folder)
    Study(format=study.format, facts={**study.facts, "seed": "many"}, graph=study.graph).write(afresh.folder)
    with pytest.raises(InputError, match="not a split of ours"):
        open_split(afresh.folder)


def test_a_cross_validation_is_left_alone(afresh: TrainingRequest) -> None:
    doing.lay_study(afresh)
    study = Study.read(afresh.folder)
    Study(format="lymphct-crossval-1", facts=study.facts, graph=study.graph).write(afresh.folder)
    before = (afresh.folder / STUDY_FILE).read_bytes()
    with pytest.raises(OutputInUseError, match="a study of another kind"):
        train_all(afresh)
    with pytest.raises(OutputInUseError, match="a study of another kind"):
        train_one(afresh, StageName.TUMOR)
    assert (afresh.folder / STUDY_FILE).read_bytes() == before
    assert not (afresh.folder / "plan.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_at_any_stage_change_no_byte(bundle: Path, cohort: Manifest, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [word for setting in (*SHORT, *FINDING) for word in ("--set", setting)]
    options = ["--cohort", cohort.path, "--out", run, "--config", "phantom_nano", "--seed", 3]
    words = ["train", "all", *options, "--name", "nano", "--device", "cpu", "--threads", 1, *settings]
    command = [sys.executable, "-c", "from lymphct.cli.main import run; run()", *map(str, words)]
    began = {
        "prepared": PREPARE, "stages/tumor/log.jsonl": "tumor", "stages/structures/log.jsonl": "structures",
        "evidence": EXAMINE, "stages/metastasis/log.jsonl": "metastasis",
    }  # fmt: skip
    for trace, name in began.items():
        resume = ["--resume"] if (run / "plan.json").exists() else []
        process = subprocess.Popen([*command, *resume], start_new_session=True)
        while not (run / trace).exists() and process.poll() is None:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen = states(run)
        before = TASKS[: TASKS.index(name)]
        assert {seen[task] for task in before} <= {State.DONE}
        assert State.RUNNING not in seen.values()
    assert subprocess.run([*command, "--resume"], check=False).returncode == 0
    assert done_of(run) == set(TASKS)
    for name in StageName:
        again, whole = (folder / f"{name}.safetensors" for folder in (run / "bundle", bundle))
        assert again.read_bytes() == whole.read_bytes()
    assert read_bundle(run / "bundle").info.parts == read_bundle(bundle).info.parts
