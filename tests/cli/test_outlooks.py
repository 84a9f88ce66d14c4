"""What a command would do, and that nothing is computed before a refusal that could be known."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from lymphct.cascade import patient as cascade_patient
from lymphct.io.manifest import Manifest, read_manifest, write_manifest
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.io.results.store import locked
from lymphct.patients.prepared import preparing

Program = Callable[..., Any]
NANO = ("--config", "phantom_nano")
LABELS = ("venous", "arterial", "structures", "tumor", "nodes", "n_status")


@dataclass
class Work:
    """What was computed while a command ran."""

    done: list[str] = field(default_factory=list)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Count every call of a network and every preparation of a patient."""
    counted = Work()

    def counting(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            counted.done.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    counting(torch.nn.Module, "__call__")
    counting(preparing, "read_patient")
    counting(preparing, "align")
    counting(cascade_patient, "align")
    return counted


def rows(cohort: Manifest, *columns: str) -> list[dict[str, object]]:
    return [
        {"patient_id": r.patient_id, **{name: getattr(r, name) for name in columns}} for r in cohort.patients
    ]


@pytest.fixture
def manifest(cohort: Manifest, tmp_path: Path) -> Path:
    """The twelve patients with everything, in a manifest of their own."""
    path = tmp_path / "in" / "cohort.csv"
    path.parent.mkdir()
    write_manifest(path, rows(cohort, *LABELS))
    return path


def without(bundle: Path, target: Path, *parts: str, **changes: object) -> Path:
    """Write a copy of a bundle that lacks parts or describes itself otherwise."""
    whole = read_bundle(bundle)
    kept = {name: part for name, part in whole.info.parts.items() if name not in parts}
    info = whole.info.model_copy(update={"parts": kept, **changes})
    write_bundle(target, info, {name: whole.weights[name] for name in kept}, "# a copy\n")
    return target


def test_check_for_a_training_tells_what_is_there_the_split_and_what_each_stage_learns(
    lymphct: Program, manifest: Path, tmp_path: Path
) -> None:
    result = lymphct("check", manifest, "--for", "train", "--out", tmp_path / "run", *NANO)
    assert result.code == 0, result.out
    lines = result.out.splitlines()
    assert lines[0].startswith("patients: 12; ")
    assert lines[1] == "phases: 12 venous, 12 arterial; masks: 12 structures, 12 tumor, 12 nodes"
    assert [line.split(";")[0] for line in lines if line.startswith("part ")] == [
        "part train: 5 patients",
        "part validation: 1 patient",
        "part fusion_train: 4 patients",
        "part fusion_validation: 2 patients",
    ]
    assert "stage structures: 5 training patients, 1 for validation, 4 epochs of 50 iterations" in lines
    assert any(line.startswith("stage metastasis: 4 training patients (") for line in lines)
    # 64 × 64 × 48 voxels: two phases of 1.5 bytes, masks of 0.25 together, attention of 0.25, and tables.
    (needs,) = [line for line in lines if line.startswith("memory: 4")]
    assert f"disk: {12 * (64 * 64 * 48 * 3.5 / 1e6 + 2):.0f} MB needed" in needs
    assert not any(line.startswith("notice: part ") for line in lines)  # each has whom it needs
    assert lines[-1] == "no problems in 12 patients"
    assert not (tmp_path / "run").exists()


def test_check_for_a_training_as_json_is_one_object(lymphct: Program, manifest: Path) -> None:
    found = json.loads(lymphct("check", manifest, "--for", "train", "--json", *NANO).out)
    assert found["purpose"] == "train"
    assert [part["name"] for part in found["parts"]] == [
        "train", "validation", "fusion_train", "fusion_validation",
    ]  # fmt: skip
    assert [stage["stage"] for stage in found["stages"]] == [
        "structures", "tumor", "nodes", "identification", "metastasis",
    ]  # fmt: skip
    assert found["inventory"]["patients"] == 12
    assert found["memory"]["needed"] > 4e8
    assert found["problems"] == []
    assert len(found["by_patient"]) == 12


def test_check_for_a_cross_validation_tells_five_folds(lymphct: Program, manifest: Path) -> None:
    found = json.loads(lymphct("check", manifest, "--for", "crossval", "--json", *NANO).out)
    tested = [part for part in found["parts"] if part["name"].endswith("test")]
    assert len(tested) == 5
    assert sum(part["patients"] for part in tested) == 12


def test_every_problem_is_told_at_once_with_line_column_and_cure(
    lymphct: Program, cohort: Manifest, tmp_path: Path
) -> None:
    path = tmp_path / "cohort.csv"
    table = rows(cohort, *LABELS)
    for row in table:
        row["tumour"] = row.pop("tumor")
    table[0]["nodes"] = "lost.nii.gz"
    table[1]["n_status"] = "yes"
    write_manifest(path, table)
    result = lymphct("check", path, "--for", "train", *NANO)
    assert result.code == 3
    lost = tmp_path / "lost.nii.gz"
    first, second = cohort.patients[0].patient_id, cohort.patients[1].patient_id
    told = result.out.splitlines()
    assert "notice: the column 'tumour' is not used; rename it if tumor is meant" in told
    no_tumor, no_file, no_status = told[-4:-1]
    assert no_tumor == (
        "no training patient has a tumor mask, which stage tumor learns from [E_NO_LABELS] - "
        "fill the columns of the manifest"
    )
    assert no_file == (
        f"line 2, column nodes: {first}: lost.nii.gz: nodes: no such file: lost.nii.gz "
        f"(looked for at {lost}) [E_MISSING] - check the path"
    )
    assert no_status == (
        f"line 3, column n_status: {second}: n_status is 'yes' [E_LABELS] - "
        "write 0 (no metastasis), 1 (metastasis) or nothing"
    )
    assert told[-1] == "3 problems in 12 patients"


def test_options_that_tell_nothing_without_a_purpose_are_refused(lymphct: Program, manifest: Path) -> None:
    result = lymphct("check", manifest, "--out", "x")
    assert result.code == 2
    assert "--out and --bundle tell nothing without --for" in result.err


@pytest.mark.parametrize(
    "command",
    [
        ("train", "all", "--cohort"),
        ("train", "tumor", "--cohort"),
        ("predict",),
        ("prepare",),
    ],
)
def test_a_dry_run_prints_the_outlook_and_makes_nothing(
    lymphct: Program, manifest: Path, tmp_path: Path, work: Work, command: tuple[str, ...]
) -> None:
    result = lymphct(*command, manifest, "--out", tmp_path / "out", "--dry-run", *NANO)
    assert result.code == 0, result.err
    assert result.out.startswith("patients: 12; ")
    assert result.out.endswith("no problems in 12 patients\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert work.done == []


def test_a_dry_run_of_one_patient_reads_the_images_and_tells_what_is_wrong(
    lymphct: Program, cohort: Manifest, tmp_path: Path, work: Work
) -> None:
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(cohort.patients[0].venous.read_bytes()[:3000])
    result = lymphct("predict", "--venous", cut, "--out", tmp_path / "out", "--dry-run", "--json")
    assert result.code == 3
    assert [problem["code"] for problem in json.loads(result.out)["problems"]] == ["E_TRUNCATED"]
    assert [path.name for path in tmp_path.iterdir()] == ["cut.nii.gz"]
    assert work.done == []


def refused(result: Any, code: int, *words: str) -> None:
    assert result.code == code, result.err
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(words), result.err
    for word in words:
        assert any(word in line for line in lines), (word, lines)


def test_a_prediction_that_cannot_be_is_refused_at_once_with_all_its_reasons(
    lymphct: Program, cohort: Manifest, bundle: Path, tmp_path: Path, work: Work
) -> None:
    out = tmp_path / "out"
    (out / cohort.patients[3].patient_id).mkdir(parents=True)
    (out / cohort.patients[3].patient_id / "thesis.docx").touch()
    lame = without(bundle, tmp_path / "lame", "identification", "tumor")
    images = tmp_path / "images.csv"
    write_manifest(images, rows(cohort, "venous", "arterial"))
    result = lymphct("predict", images, "--out", out, "--bundle", lame, "--device", "cuda:77")
    refused(
        result, 5,
        "the folder is not empty and holds no DONE.json of ours",
        "device cuda:77 is not there",
        "the bundle has no tumor network and tumor are not given",
    )  # fmt: skip
    assert work.done == []
    assert sorted(path.name for path in out.rglob("*")) == [cohort.patients[3].patient_id, "thesis.docx"]


def test_a_bundle_with_changed_weights_is_refused_before_a_patient_is_read(
    lymphct: Program, manifest: Path, bundle: Path, tmp_path: Path, work: Work
) -> None:
    copy = without(bundle, tmp_path / "copy")
    weights = copy / "nodes.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    result = lymphct("predict", manifest, "--out", tmp_path / "out", "--bundle", copy)
    refused(result, 7, "nodes.safetensors: the weights differ from what bundle.json lists")
    assert work.done == []
    assert not (tmp_path / "out").exists()


def test_patients_without_an_arterial_phase_need_a_bundle_that_can_do_without(
    lymphct: Program, cohort: Manifest, bundle: Path, tmp_path: Path, work: Work
) -> None:
    path = tmp_path / "cohort.csv"
    write_manifest(path, rows(cohort, "venous"))
    two = without(bundle, tmp_path / "two", phase_dropout=False)
    result = lymphct("predict", path, "--out", tmp_path / "out", "--bundle", two)
    refused(result, 3, "the arterial phase is missing and the bundle was trained with both phases")
    assert work.done == []


def test_a_preparation_that_cannot_be_is_refused_at_once(
    lymphct: Program, cohort: Manifest, bundle: Path, tmp_path: Path, work: Work
) -> None:
    images = tmp_path / "images.csv"
    write_manifest(images, rows(cohort, "venous", "arterial"))
    lame = without(bundle, tmp_path / "lame", "structures")
    (tmp_path / "out").touch()
    result = lymphct("prepare", images, "--out", tmp_path / "out", "--bundle", lame, *NANO)
    refused(
        result, 5, "a file stands where the output folder belongs", "the bundle has no structures network"
    )
    assert work.done == []


def test_a_folder_in_use_is_refused_before_any_work(
    lymphct: Program, manifest: Path, tmp_path: Path, work: Work
) -> None:
    with locked(tmp_path / "out"):
        for command in (("predict",), ("prepare",), ("train", "all", "--cohort")):
            result = lymphct(*command, manifest, "--out", tmp_path / "out", *NANO)
            refused(result, 5, f"out: in use by pid {os.getpid()}")
    assert work.done == []


def test_a_part_for_validation_without_what_its_stage_needs_is_refused_by_check_and_train(
    lymphct: Program, cohort: Manifest, tmp_path: Path, work: Work
) -> None:
    table = rows(cohort, *LABELS)
    for row in table[1:]:
        row["tumor"] = None
    write_manifest(tmp_path / "cohort.csv", table)
    words = "stage tumor needs a patient with a tumor mask"
    result = lymphct("check", tmp_path / "cohort.csv", "--for", "train", *NANO)
    assert result.code == 3
    assert words in result.out + result.err
    refused(
        lymphct("train", "all", "--cohort", tmp_path / "cohort.csv", "--out", tmp_path / "out", *NANO),
        3,
        words,
    )
    assert work.done == []


def test_a_training_that_cannot_be_is_refused_at_once_with_all_its_reasons(
    lymphct: Program, cohort: Manifest, bundle: Path, tmp_path: Path, work: Work
) -> None:
    path = tmp_path / "cohort.csv"
    table = rows(cohort, *LABELS)
    for row in table:
        row |= {"n_status": 0, "tumor": None}
    write_manifest(path, table)
    other = without(bundle, tmp_path / "other", spacing=(2.0, 2.0, 2.0), registration="deeds")
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.docx").touch()
    given = ("--cohort", path, "--out", out, "--device", "cuda:77", *NANO)
    refused(
        lymphct("train", "all", *given), 3,
        "holds no run of ours, but for example thesis.docx",
        "device cuda:77 is not there",
        "no training patient has a tumor mask",
        "stage metastasis has no N+ patient",
    )  # fmt: skip
    refused(
        lymphct("train", "tumor", *given, "--init", other), 3,
        "holds no run of ours",
        "device cuda:77 is not there",
        "the bundle works at (2.0, 2.0, 2.0) mm",
        "the bundle was trained on phases registered by method deeds",
        "no training patient has a tumor mask",
    )  # fmt: skip
    assert work.done == []
    assert [path.name for path in out.iterdir()] == ["thesis.docx"]


def test_a_run_begun_otherwise_is_refused_before_anything_is_prepared(
    lymphct: Program, cohort: Manifest, bundle: Path, tmp_path: Path, work: Work
) -> None:
    given = ("--cohort", cohort.path, "--out", bundle.parent, "--name", "nano", *NANO)
    result = lymphct("train", "all", *given, "--seed", "77")
    refused(
        result, 2, "holds a run with other settings, seed [E_OTHER_RUN] - choose another --out, or set as"
    )
    one = lymphct("train", "all", *given, "--set", "nodes.training.epochs=9", "--seed", "3")
    assert "set as in its plan.json: " in one.err
    fresh = lymphct("train", "all", "--cohort", cohort.path, "--out", tmp_path / "run", *NANO, "--resume")
    refused(fresh, 2, "there is nothing to resume in run")
    needs = lymphct("train", "identification", "--cohort", cohort.path, "--out", tmp_path / "run", *NANO)
    refused(needs, 2, "stage identification needs nodes in the bundle first")
    assert work.done == []


def test_every_problem_of_the_manifest_stops_a_training_at_once(
    lymphct: Program, cohort: Manifest, tmp_path: Path, work: Work
) -> None:
    path = tmp_path / "cohort.csv"
    table = rows(cohort, *LABELS)
    table[0]["venous"], table[4]["tumor"] = "lost.nii.gz", "gone.nii.gz"
    write_manifest(path, table)
    result = lymphct("train", "all", "--cohort", path, "--out", tmp_path / "run", *NANO)
    refused(result, 3, "line 2, column venous", "line 6, column tumor")
    assert work.done == []
    assert read_manifest(path).near_misses == {}


def test_a_bad_patient_still_never_stops_a_cohort(
    lymphct: Program, cohort: Manifest, tmp_path: Path, work: Work
) -> None:
    path = tmp_path / "cohort.csv"
    table = rows(cohort, "venous", "structures")[:2]
    table[0]["venous"] = "lost.nii.gz"
    write_manifest(path, table)
    result = lymphct("prepare", path, "--out", tmp_path / "out", *NANO)
    assert result.code == 4
    assert "read_patient" in work.done
