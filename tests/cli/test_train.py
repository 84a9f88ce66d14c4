"""`lymphct train` up to the door of the training, which has tests of its own, and what it tells meanwhile."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lymphct.cli.context import GLOBALS
from lymphct.cli.train import training_progress
from lymphct.core.terms import StageName
from lymphct.io.manifest import write_manifest
from lymphct.io.models.weights import pack_tensors
from lymphct.study import single_split
from lymphct.study.progress import Beat, Step
from lymphct.study.pulse import Pulse
from lymphct.study.request import Teaching, TrainingRequest

Program = Callable[..., Any]
MASKS = ("venous", "structures", "tumor", "nodes")
STEP = Step(stage=StageName.NODES, epoch=3, epochs=8, loss=0.5, score=0.75, seconds=12.4)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Twelve patients of both classes with files that only exist: nothing here reads an image."""
    rows: list[dict[str, object]] = []
    for number in range(12):
        files = {mask: tmp_path / f"{mask}{number}.nii.gz" for mask in MASKS}
        for name, file in files.items():
            file.write_text(f"{name} of {number}")
        rows.append({"patient_id": f"p{number:02}", **files, "n_status": number % 2})
    path = tmp_path / "cohort.csv"
    write_manifest(path, rows)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the trainings are asked for; they only name a bundle."""
    calls: list[tuple[Any, ...]] = []

    def trained(name: str) -> Callable[..., Path]:
        def train(*arguments: object) -> Path:
            calls.append((name, *arguments[:-1]))
            return Path("run/bundle")

        return train

    for name in ("train_all", "train_one"):
        monkeypatch.setattr(single_split, name, trained(name))
    return calls


def test_all_stages_are_trained_with_the_settings_and_the_seed(
    lymphct: Program, manifest: Path, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    options = ("--cohort", manifest, "--out", tmp_path / "run", "--config", "phantom_nano", "--seed", "5")
    result = lymphct("train", "all", *options, "--set", "nodes.threshold=0.4")
    assert (result.code, result.out) == (0, "run/bundle\n")
    ((name, request),) = asked
    assert name == "train_all"
    assert (request.folder, request.seed) == (tmp_path / "run", 5)
    assert request.config.nodes.threshold == 0.4
    assert [record.patient_id for record in request.records] == [f"p{number:02}" for number in range(12)]


def test_one_stage_is_trained_by_its_name(
    lymphct: Program, manifest: Path, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    assert lymphct("train", "tumor", "--cohort", manifest, "--out", tmp_path / "run").code == 0
    ((name, _, stage),) = asked
    assert (name, stage) == ("train_one", StageName.TUMOR)


@pytest.mark.parametrize("stage", ["metastasis", "all"])
@pytest.mark.parametrize("config", [("--config", "paper"), ()])
def test_the_paper_is_not_trained_without_imagenet_weights_and_no_file_is_looked_at(
    stage: str, config: tuple[str, ...], lymphct: Program, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    result = lymphct("train", stage, "--cohort", tmp_path / "no.csv", "--out", tmp_path / "run", *config)
    assert result.code == 2
    assert result.err.startswith(
        "error: the status network starts from ImageNet weights, and none were given [E_PRETRAINED] - give "
        "--imagenet FILE (Getting started says which and how), or --random-init to start without"
    )
    assert result.err.count("\n") == 1
    assert not asked


def test_a_random_start_is_asked_for_and_recorded(
    lymphct: Program, manifest: Path, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    options = ("--cohort", manifest, "--out", tmp_path / "run", "--config", "paper")
    assert lymphct("train", "all", *options, "--random-init").code == 0
    ((_, request),) = asked
    assert request.config.metastasis.network.initialization == "random"
    assert request.pretrained is None


def test_weights_that_are_given_come_with_their_digest_whatever_a_recipe_says(
    lymphct: Program, manifest: Path, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    content = pack_tensors({"conv1.weight": torch.ones(2, 3)})
    (tmp_path / "resnet18.safetensors").write_bytes(content)
    options = (
        "--cohort",
        manifest,
        "--out",
        tmp_path / "run",
        "--imagenet",
        tmp_path / "resnet18.safetensors",
    )
    assert lymphct("train", "all", *options, "--config", "phantom_nano").code == 0
    ((_, request),) = asked
    assert request.pretrained.digest == hashlib.sha256(content).hexdigest()
    assert torch.equal(request.pretrained.tensors["conv1.weight"], torch.ones(2, 3))
    assert request.config.metastasis.network.initialization == "imagenet"
    result = lymphct("train", "all", *options, "--random-init")
    assert (result.code, len(asked)) == (2, 1)
    assert "--imagenet and --random-init exclude each other" in result.err


def test_stages_before_the_status_network_need_no_imagenet_weights(
    lymphct: Program, manifest: Path, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    for stage in ("structures", "nodes"):
        assert lymphct("train", stage, "--cohort", manifest, "--out", tmp_path / stage).code == 0
    assert len(asked) == 2


def test_an_unknown_stage_is_a_usage_error_that_lists_the_stages(
    lymphct: Program, manifest: Path, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    result = lymphct("train", "liver", "--cohort", manifest, "--out", tmp_path / "run")
    assert result.code == 2
    assert "'liver' is not one of structures, tumor, nodes, identification, metastasis, all" in result.err
    assert not asked


def test_a_patient_without_an_image_stops_the_training_before_it_begins(
    lymphct: Program, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "cohort.csv"
    write_manifest(path, [{"patient_id": "p1", "venous": "nowhere.nii.gz"}])
    result = lymphct("train", "all", "--cohort", path, "--out", tmp_path / "run", "--random-init")
    assert result.code == 3
    assert (
        "line 2, column venous: p1: nowhere.nii.gz: venous: no such file: nowhere.nii.gz (looked"
        in result.err
    )
    assert "1 patients cannot fill four parts" in result.err
    assert not asked


def test_without_a_terminal_an_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress() as progress:
        progress(STEP)
    assert capsys.readouterr().err == "nodes 3/8: loss 0.500, score 0.750, 12 s\n"


def test_an_epoch_that_was_not_validated_has_no_score(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress() as progress:
        progress(Step(stage=StageName.TUMOR, epoch=1, epochs=8, loss=0.5, score=None, seconds=1))
    assert capsys.readouterr().err == "tumor 1/8: loss 0.500, 1 s\n"


def test_without_a_terminal_the_pace_of_a_stage_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress() as progress:
        for done in (1, 40, 80):
            progress(Beat(StageName.NODES, Pulse(done=done, total=1000, seconds=1.5)))
        progress(Beat(StageName.TUMOR, Pulse(done=8, total=8, seconds=1.5)))
    assert capsys.readouterr().err == "nodes: 1.5 s an iteration, about 24 min for the 960 to go\n"


def test_on_a_terminal_a_bar_shows_iterations_and_the_time_to_go(terminal: Any) -> None:
    with terminal, training_progress() as progress:
        progress(Beat(StageName.NODES, Pulse(done=1, total=1000, seconds=60.0)))
        progress(STEP)
        logging.getLogger("lymphct").warning("the learning rate is high")
    assert "1/1000 16 h 39 min to go" in terminal.text
    assert "nodes 3/8: loss 0.500, score 0.750" in terminal.text
    assert terminal.alone("WARNING the learning rate is high")


def test_before_it_starts_a_training_tells_what_it_will_do(
    lymphct: Program, manifest: Path, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    result = lymphct(
        "train", "all", "--cohort", manifest, "--out", tmp_path / "run", "--config", "phantom_nano"
    )
    told = [line.removeprefix("INFO ") for line in result.err.splitlines() if line.startswith("INFO ")]
    assert told[0].startswith("part train: 5 patients; ")
    assert told[4] == "stage structures: 5 training patients, 1 for validation, 4 epochs of 50 iterations"
    assert len(told) == 4 + 5
    assert len(asked) == 1


@pytest.mark.parametrize("begun", [False, True])
def test_an_interrupted_training_says_how_to_go_on(
    lymphct: Program, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: Any
) -> None:
    def interrupt(request: TrainingRequest, *_: object) -> None:
        request.folder.mkdir()
        if begun:
            (request.folder / "plan.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(single_split, "train_all", interrupt)
    options = ("--config", "phantom_nano", "-q")
    result = lymphct("train", "all", "--cohort", manifest, "--out", tmp_path / "run", *options)
    assert result.code == 130
    assert result.err == f"interrupted - run the same command again{' with --resume' if begun else ''}\n"


def test_nothing_is_told_to_whoever_asked_for_silence(capsys: pytest.CaptureFixture[str]) -> None:
    GLOBALS.quiet = True
    with training_progress() as progress:
        progress(STEP)
    assert capsys.readouterr().err == ""


def test_a_teacher_is_handed_on_with_its_rounds(
    lymphct: Program, manifest: Path, tmp_path: Path, asked: list[tuple[Any, ...]]
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(12):
        (masks / f"p{number:02}.nii.gz").write_text("a mask")
    options = ("--cohort", manifest, "--out", tmp_path / "run", "--teacher", masks, "--rounds", 2)
    assert lymphct("train", "structures", *options).code == 0
    ((name, request, stage),) = asked
    assert (name, stage) == ("train_one", StageName.STRUCTURES)
    assert request.teaching == Teaching(sources=str(masks), rounds=2)


@pytest.mark.parametrize(
    ("stage", "given", "words"),
    [
        ("all", ("--teacher", "masks"), "--teacher teaches structures, not all"),
        ("tumor", ("--teacher", "masks"), "--teacher teaches structures, not tumor"),
        ("structures", ("--rounds", "2"), "there is no --teacher"),
        ("structures", ("--set", "self_learning.confidence=0.7"), "has no effect here: nobody teaches"),
        ("structures", ("--teacher", "tea:cher"), "'tea' is neither a source of structures nor a file"),
        ("structures", ("--teacher", "nowhere"), "'nowhere' is neither a source of structures nor a file"),
    ],
)
def test_a_teacher_that_makes_no_sense_is_refused(
    stage: str, given: tuple[str, ...], words: str, lymphct: Program, manifest: Path
) -> None:
    out = manifest.parent / "run"
    result = lymphct("train", stage, "--cohort", manifest, "--out", out, "--random-init", *given)
    assert result.code == 2
    assert words in result.err
    assert not out.exists()


def test_a_harvest_is_handed_on(lymphct: Program, tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    rows: list[dict[str, object]] = []
    for number in range(14):
        masks = ("venous", "arterial", "tumor") if number < 6 else ("venous", "arterial")
        files = {mask: tmp_path / f"{mask}{number}.nii.gz" for mask in masks}
        for name, file in files.items():
            file.write_text(f"{name} of {number}")
        rows.append({"patient_id": f"p{number:02}", **files})
    write_manifest(tmp_path / "few.csv", rows)
    result = lymphct("train", "tumor", "--few", "--cohort", tmp_path / "few.csv", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    ((name, request, stage),) = asked
    assert (name, stage, request.few) == ("train_one", StageName.TUMOR, True)
    assert " are harvested, 1 are scored, " in result.err
    aside = [record.patient_id for record in request.records if record.split == "test"]
    assert len(aside) == 1
    assert f"1 patient of 6 with one are kept for the scores: {aside[0]}" in result.err


@pytest.mark.parametrize(
    ("stage", "given", "words"),
    [
        ("nodes", ("--few",), "--few is how tumors are learned, not nodes"),
        ("tumor", ("--set", "tumor_harvest.confidence=0.9"), "has no effect here: nothing is harvested"),
        ("tumor", ("--few",), "all of 10 patients who may teach have a drawn tumor: nobody to harvest"),
    ],
)
def test_a_harvest_that_makes_no_sense_is_refused(
    stage: str, given: tuple[str, ...], words: str, lymphct: Program, manifest: Path
) -> None:
    out = manifest.parent / "run"
    result = lymphct("train", stage, "--cohort", manifest, "--out", out, *given)
    assert result.code in {2, 3}
    assert words in result.err
    assert not out.exists()
