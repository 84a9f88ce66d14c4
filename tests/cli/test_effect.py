"""A `--set` acts on the command, or is refused with the place where it works."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.cli import effect, main
from lymphct.cli.commands import register
from lymphct.cli.effect import ACTING, EXCEPT, INSTEAD, refuse_settings, require_effect
from lymphct.cli.main import new_app
from lymphct.config import Config, described
from lymphct.core.errors import UsageError
from lymphct.patients.predicting import prediction

Program = Callable[..., Any]
NAMES = [name for name, *_ in described(Config())]


@pytest.mark.parametrize(
    ("command", "setting", "words"),
    [
        (
            "predict",
            "nodes.threshold=0.4",
            "no effect on lymphct predict; it works in lymphct train, lymphct crossval [E_NO_EFFECT]",
        ),
        ("predict", "registration.method=none", "predict --registration HOW"),
        ("predict", "imaging={spacing: [2, 2, 2]}", "imaging has no effect on lymphct predict; it works in"),
        (
            "train",
            "inference.mode=box",
            "no effect on lymphct train; it works in lymphct predict, lymphct annotate, lymphct serve ",
        ),
        ("prepare", "tumor.threshold=0.2", "no effect on lymphct prepare; it works in lymphct train"),
        (
            "register",
            "attention.border=2",
            "works in lymphct train, lymphct crossval, lymphct predict, lymphct annotate, lymphct prep",
        ),
        (
            "attention",
            "attention.band_percentile=2",
            "no effect on lymphct attention; it works in lymphct train",
        ),
        (
            "phantom",
            "nodes.treshold=2",
            "nodes.treshold has no effect on lymphct phantom [E_NO_EFFECT] - leave",
        ),
        ("doctor", "inference.mode=box", "no effect on lymphct doctor; it works in lymphct predict"),
    ],
)
def test_a_setting_without_effect_is_told_where_it_works(command: str, setting: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        require_effect(command, [setting])


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("predict", "attention.border=4"),
        ("predict", "registration.least_jacobian=0.2"),
        ("predict", "inference.mode=box"),
        ("predict", "registration={method: none}"),
        ("predict", "nodes.treshold=0.4"),  # a name nobody has: told by whoever reads the settings
        ("train", "nodes.threshold=0.4"),
        ("prepare", "imaging.spacing=[2, 2, 2]"),
        ("config", "inference.mode=box"),
        ("unknown", "nodes.threshold=0.4"),
    ],
)
def test_a_setting_that_acts_passes(command: str, setting: str) -> None:
    require_effect(command, [setting])


def test_every_command_is_listed_but_demo_which_is_train_or_predict() -> None:
    app = new_app()
    register(app)
    commands = {command.name for command in app.registered_commands} | {g.name for g in app.registered_groups}
    assert commands == set(ACTING) | {"demo"}


def test_every_setting_acts_on_a_command_and_every_name_listed_is_one() -> None:
    for name in NAMES:
        assert any(effect._acts(command, name) for command in ACTING if command != "config"), name
    groups = [
        *(g for table in (ACTING, EXCEPT) for row in table.values() for g in row),
        *(n for _, n in INSTEAD),
    ]
    for group in groups:
        assert any(effect._begins(name, group) for name in NAMES), group


def test_predict_refuses_before_any_work(lymphct: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "predict_single", lambda *_: pytest.fail("a patient was predicted"))
    given = ("--venous", "v.nii.gz", "--out", "results")
    result = lymphct("predict", *given, "--set", "nodes.threshold=0.4")
    assert result.code == 2
    assert "lymphct crossval [E_NO_EFFECT] - predict --operating-point node_voxel=VALUE" in result.err
    assert result.err.count("\n") == 1


def test_a_file_may_hold_more_than_the_command_uses(
    lymphct: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "all.yaml").write_text("nodes: {threshold: 0.4}\nimaging: {spacing: [2, 2, 2]}\n")
    monkeypatch.setattr(prediction, "predict_single", lambda *_: pytest.fail("reached"))
    given = ("--venous", "v.nii.gz", "--out", "results", "--operating-point", "nonsense=1")
    result = lymphct("predict", *given, "--config", tmp_path / "all.yaml")
    assert "there is no operating point 'nonsense'" in result.err


def test_the_help_shows_a_setting_that_works_with_predict() -> None:
    example = re.search(r"e\.g\. ([a-z._]+=\S+);", Path(main.__file__).read_text())
    assert example is not None
    require_effect("predict", [example[1]])


def test_the_grid_of_a_bundle_cannot_be_set_besides(lymphct: Program, tmp_path: Path) -> None:
    (tmp_path / "v.nii.gz").touch()
    (tmp_path / "c.csv").write_text("patient_id,venous\np1,v.nii.gz\n")
    for setting in ("imaging.spacing=[2, 2, 2]", "registration.method=none"):
        options = ("--out", tmp_path / "out", "--bundle", tmp_path / "b", "--set", setting)
        result = lymphct("prepare", tmp_path / "c.csv", *options)
        assert result.code == 2
        assert (
            "has no effect here: the bundle's holds [E_NO_EFFECT] - leave it out, or --bundle" in result.err
        )
    refuse_settings(["attention.border=2"], ["imaging.spacing"], "because", "so")


def test_a_demo_without_training_takes_what_predict_takes(lymphct: Program, tmp_path: Path) -> None:
    result = lymphct("demo", "--out", tmp_path, "--set", "nodes.training.epochs=3")
    assert result.code == 2
    assert "has no effect on lymphct predict; it works in lymphct train" in result.err
