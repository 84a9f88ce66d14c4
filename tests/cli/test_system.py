import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.cascade.stages import CASCADE
from lymphct.cli import installation
from lymphct.cli.installation import Finding
from lymphct.cli.services import services
from lymphct.config import Config
from lymphct.core.terms import StageName
from lymphct.io.manifest import Manifest, write_manifest
from lymphct.io.models.bundles import read_bundle, shipped_bundle_path, write_bundle

Program = Callable[..., Any]


def test_each_setting_is_shown_with_its_value_and_its_source(lymphct: Program) -> None:
    result = lymphct("config", "show", "--set", "nodes.threshold=0.4")
    assert result.code == 0
    lines = result.out.splitlines()
    assert "Sec. IV-A.2" in lines[lines.index("imaging.spacing = [0.68, 0.68, 0.8]") + 1]
    assert "nodes.threshold = 0.4" in lines
    sources = lines[1::2]
    assert all(line.startswith("    ") and len(line) > 10 for line in sources)


def test_the_values_are_json_that_can_be_given_back(lymphct: Program, tmp_path: Path) -> None:
    shown = lymphct("config", "show", "--json", "--config", "phantom_tiny", "--set", "attention.border=2")
    values = json.loads(shown.out)
    assert values["attention"]["border"] == 2.0
    assert values["imaging"]["spacing"] == [2.0, 2.0, 2.5]
    (tmp_path / "mine.yaml").write_text(shown.out)
    again = lymphct("config", "show", "--json", "--config", tmp_path / "mine.yaml")
    assert json.loads(again.out) == values


def test_sizes_on_another_grid_are_shown_as_given_and_as_scaled(lymphct: Program, tmp_path: Path) -> None:
    coarse = ("--set", "imaging.spacing=[2, 2, 2.5]")
    lines = lymphct("config", "show", *coarse).out.splitlines()
    place = lines.index("nodes.sampling.patch_size = [160, 192, 80]")
    assert lines[place + 1] == "    on the working grid: [56, 72, 32]"
    assert lines[place + 2].endswith("(Sec. IV-A.2).")
    assert "on the working grid" not in lymphct("config", "show").out
    shown = lymphct("config", "show", "--json", *coarse)
    values = json.loads(shown.out)
    assert values["nodes"]["sampling"]["patch_size"] == [160, 192, 80]
    assert values["on_grid"]["nodes.sampling.patch_size"] == [56, 72, 32]
    (tmp_path / "mine.yaml").write_text(shown.out)
    again = lymphct("config", "show", "--json", "--config", tmp_path / "mine.yaml")
    assert json.loads(again.out) == values
    assert "on_grid" not in json.loads(lymphct("config", "show", "--json").out)


def test_the_schema_is_that_of_all_settings(lymphct: Program) -> None:
    shown = json.loads(lymphct("config", "show", "--schema").out)
    assert set(shown["properties"]) == set(Config.model_fields)
    result = lymphct("config", "show", "--schema", "--json")
    assert result.code == 2
    assert "--json and --schema exclude each other" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--set", "nodes.treshold=0.4"],
            "setting nodes.treshold: no such setting; did you mean nodes.threshold?",
        ),
        (["--set", "attention.border=-1"], "setting attention.border: Input should be greater than 0"),
        (["--set", "attention.border"], "--set takes key=value, got 'attention.border'"),
        (["--config", "phantom_huge"], "phantom_huge: neither a file nor a preset (paper, phantom_"),
    ],
)
def test_wrong_settings_are_one_line_with_code_2(lymphct: Program, arguments: list[str], words: str) -> None:
    result = lymphct("config", "show", *arguments)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert result.err.count("\n") == 1


def test_settings_that_are_not_yaml_name_the_file_and_the_line(lymphct: Program, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("nodes:\n  threshold: [1\n")
    result = lymphct("config", "show", "--config", tmp_path / "bad.yaml")
    assert result.code == 2
    assert (
        result.err
        == "error: bad.yaml: the settings are not valid YAML (line 3) [E_YAML] - correct the file\n"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x04K\x01.", "weights.pt: a pickle"),
        (b"PK\x03\x04 and more", "weights.pt: a"),
        (b"no model at all", "weights.pt: a .pt file, usually a pickle"),
        (None, "weights.pt: no such model bundle"),
    ],
)
def test_whatever_is_no_bundle_has_code_7(
    lymphct: Program, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)
    result = lymphct("models", "verify", path)
    assert (result.code, result.out) == (7, "")
    assert words in result.err
    assert result.err.count("\n") == 1


def test_what_was_checked_is_printed(
    lymphct: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(installation, "verified_bundle", lambda folder: [f"{folder.name}: fine", "tensors"])
    bundle = shutil.copytree(shipped_bundle_path(), tmp_path / "b")
    serves = [
        "predict",
        "predict --only structures",
        "predict --only tumor",
        "predict --only nodes",
        "prepare --bundle",
        "train metastasis --init",
    ]
    lines = ["ok  b: fine", "ok  tensors", *(f"serves  {command}" for command in serves)]
    assert lymphct("models", "verify", bundle).out.splitlines() == lines
    shown = json.loads(lymphct("models", "verify", bundle, "--json").out)
    assert shown == {"bundle": "b", "checked": ["b: fine", "tensors"], "serves": serves}


def partial_bundle(folder: Path, *parts: StageName) -> Path:
    shipped = read_bundle(shipped_bundle_path())
    info = shipped.info.model_copy(update={"parts": {name: shipped.info.parts[name] for name in parts}})
    write_bundle(folder, info, {name: shipped.weights[name] for name in parts}, "# Card\n")
    return folder


def test_a_bundle_with_missing_parts_fails_unless_fewer_are_expected(
    lymphct: Program, tmp_path: Path
) -> None:
    bundle = partial_bundle(tmp_path / "b", StageName.STRUCTURES)
    result = lymphct("models", "verify", bundle)
    assert (result.code, result.out) == (7, "")
    assert result.err == (
        "error: the bundle has no tumor, nodes, identification, metastasis; it serves predict --only "
        "structures, prepare --bundle [E_PART] - train the rest, or expect less: --parts structures\n"
    )
    result = lymphct("models", "verify", bundle, "--parts", "structures")
    assert result.code == 0
    assert result.out.splitlines()[-2:] == ["serves  predict --only structures", "serves  prepare --bundle"]
    assert lymphct("models", "verify", bundle, "--parts", "structures,tumor").code == 7


def test_a_bundle_without_any_part_serves_nothing(lymphct: Program, tmp_path: Path) -> None:
    result = lymphct("models", "verify", partial_bundle(tmp_path / "b"))
    assert result.code == 7
    assert "it serves no command by itself [E_PART] - train it first" in result.err


def test_without_the_status_network_the_score_is_withheld() -> None:
    assert services(CASCADE)[0] == "predict (the score is withheld)"


def test_a_part_nobody_knows_is_a_usage_error(lymphct: Program) -> None:
    result = lymphct("models", "verify", shipped_bundle_path(), "--parts", "structures,liver")
    assert result.code == 2
    assert "'liver' is not one of structures, tumor, nodes, identification, metastasis" in result.err


FINDINGS = [
    Finding(group="library", name="torch", state="ok", text="2.13"),
    Finding(group="optional", name="dask", state="absent", text="absent"),
]


@pytest.mark.parametrize("fault", [0, 6, 7])
def test_the_doctor_ends_with_the_code_of_the_first_fault(
    lymphct: Program, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    found = list(FINDINGS)
    if fault:
        found += [
            Finding(group="bundle", name="b", state="failed", text="damaged", exit_code=fault),
            Finding(group="device", name="d", state="failed", text="gone", exit_code=1),
        ]
    monkeypatch.setattr(
        installation, "inspect_installation", lambda device: iter(found) if device == "cpu" else None
    )
    result = lymphct("doctor", "--device", "cpu")
    assert result.code == fault
    assert result.out.splitlines()[:2] == [
        "ok     library  torch          2.13",
        "-      optional dask           absent",
    ]
    shown = json.loads(lymphct("doctor", "--device", "cpu", "--json").out)
    assert [finding["name"] for finding in shown["findings"]] == [finding.name for finding in found]


def test_patients_a_bundle_learned_from_are_listed_with_code_3(
    lymphct: Program, bundle: Path, cohort: Manifest
) -> None:
    info = read_bundle(bundle).info
    result = lymphct("models", "trained-on", bundle, cohort.path)
    assert result.code == 3
    assert "was fitted on 12 of 12 patients [E_LEAKAGE]" in result.err
    lines = dict(line.split(": ") for line in result.out.splitlines())
    for part, names in lines.items():
        for record in cohort.patients:
            assert (record.patient_id in names) == (part in info.parts_that_saw(record.patient_id))
    listed = json.loads(lymphct("models", "trained-on", bundle, cohort.path, "--json").out)
    assert {part: ", ".join(names) for part, names in listed["seen"].items()} == lines


def test_strangers_to_a_bundle_are_no_overlap(lymphct: Program, bundle: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path / "cohort.csv", [{"patient_id": "stranger", "venous": "v.nii.gz"}])
    result = lymphct("models", "trained-on", bundle, tmp_path / "cohort.csv")
    assert (result.code, result.out) == (0, "nano was fitted on none of 1 patient\n")
