"""Imported cohorts teach: one stage quickly, and all that public data can teach, one after the other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.io.models.bundles import read_bundle
from lymphct.patients.importing.cohort import import_cohort
from lymphct.patients.importing.layout import Layout
from lymphct.patients.importing.patient import Import

SHORT = [
    f"--set={stage}.training.{name}=1"
    for stage in ("structures", "tumor", "nodes")
    for name in ("epochs", "iterations_per_epoch")
]
OPTIONS = ("--config", "phantom_nano", *SHORT, "--set=nodes.sampling.phase_dropout=0.3", "--quiet")


@pytest.fixture
def lymphct() -> Callable[..., int]:
    app = new_app()
    commands.register(app)
    return lambda *words: exit_code(app, [str(word) for word in words])


@pytest.fixture
def cohort_of(
    unpacked: Callable[..., Path], smaller: Callable[[str], Layout], tmp_path: Path
) -> Callable[..., Path]:
    def run(name: str, **which: Any) -> Path:
        request = Import(out=tmp_path / f"cohort-{name}", layout=smaller(name))
        return import_cohort(unpacked(name, **which), request).manifest

    return run


def test_tumor_learns_from_patients_without_arterial_phase_and_status(
    lymphct: Callable[..., int], cohort_of: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = cohort_of("msd-pancreas", patients=4)
    assert lymphct("check", manifest) == 0
    out = tmp_path / "run"
    assert lymphct("train", "tumor", "--cohort", manifest, "--out", out, *OPTIONS) == 0
    parts = {entry["part"] for entry in json.loads((out / "plan.json").read_text())["patients"].values()}
    assert parts == {"train", "validation"}  # nobody is kept for a status network that nobody could teach
    info = read_bundle(out / "bundle").info
    assert [origin.licence for origin in info.origins] == ["CC BY-SA 4.0"]
    assert "CC BY-SA 4.0" in (out / "bundle" / "MODEL_CARD.md").read_text()


@pytest.mark.slow
def test_three_data_sets_teach_three_stages_and_the_bundle_draws_nodes(
    lymphct: Callable[..., int], cohort_of: Callable[..., Path], tmp_path: Path, capsys: Any
) -> None:
    organs = ("--cohort", cohort_of("totalsegmentator", patients=4))
    vessels = ("--cohort", cohort_of("pants", patients=3, first=4))
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    assert lymphct("train", "structures", *organs, *vessels, "--out", one, *OPTIONS) == 0
    tumors = ("--cohort", cohort_of("msd-pancreas", patients=4, first=4))
    assert lymphct("train", "tumor", *tumors, "--init", one / "bundle", "--out", two, *OPTIONS) == 0
    nodes = ("--cohort", cohort_of("nih-lymph-nodes", patients=4, first=8))
    assert lymphct("train", "nodes", *nodes, "--init", two / "bundle", "--out", three, *OPTIONS) == 0
    origins = read_bundle(three / "bundle").info.origins
    assert [o.name for o in origins] == ["msd-pancreas", "nih-lymph-nodes", "pants", "totalsegmentator"]
    venous = tmp_path / "unpacked-totalsegmentator" / "s0000" / "ct.nii.gz"
    asked = ("--venous", venous, "--only", "nodes", "--bundle", three / "bundle", "--out", tmp_path / "found")
    assert lymphct("predict", *asked, "--quiet") == 0
    capsys.readouterr()
    stage2 = ("train", "identification", *nodes, "--init", three / "bundle", "--out", tmp_path / "four")
    assert lymphct(*stage2, *OPTIONS) == 3
    assert "nodes without a class, as in public data, teach stage 1 alone" in capsys.readouterr().err


def test_a_folder_without_a_layout_is_an_export_and_options_belong_to_one_of_both(
    lymphct: Callable[..., int], tmp_path: Path, capsys: Any
) -> None:
    assert lymphct("import", tmp_path, "--out", tmp_path / "out") == 2
    assert "the cohort would lie in the export" in capsys.readouterr().err
    assert lymphct("import", tmp_path, "--out", tmp_path / "out", "--beside", "a.csv") == 2
    assert "--beside does not go with a PACS export" in capsys.readouterr().err
    assert lymphct("import", tmp_path, "--out", tmp_path / "out", "--dataset", "pants", "--accept") == 2
    assert "--accept does not go with a data set" in capsys.readouterr().err
    both = ("--dataset", "pants", "--layout", "mine.yaml")
    assert lymphct("import", tmp_path, "--out", tmp_path / "out", *both) == 2


def test_the_command_tells_what_became_of_the_data(
    lymphct: Callable[..., int], unpacked: Callable[..., Path], tmp_path: Path, capsys: Any
) -> None:
    folder, out = unpacked("msd-pancreas", patients=2), tmp_path / "out"
    (folder / "imagesTr" / "pancreas_001.nii.gz").unlink()
    (folder / "imagesTr" / "pancreas_001.nii.gz").write_bytes(b"no image")
    asked = ("import", folder, "--dataset", "msd-pancreas", "--out", out)
    assert lymphct(*asked) == 4
    told = capsys.readouterr().out
    assert "1 patient of msd-pancreas imported, 1 failed, 0 excluded; licence CC BY-SA 4.0" in told
    assert "2 patients were found, the data set has 281" in told
    assert lymphct(*asked, "--json") == 4
    assert json.loads(capsys.readouterr().out)["done"] == 1
