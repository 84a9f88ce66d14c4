import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.core.errors import InputError
from lymphct.core.terms import Phase
from lymphct.imaging.crop import crop_volume
from lymphct.io.images.reading import CT, read_ct, read_volume, write_volume
from lymphct.io.manifest import Manifest, read_manifest, write_manifest
from lymphct.patients import reading
from lymphct.patients.foresight.checking import CheckedCohort, check_cohort
from lymphct.patients.foresight.problems import Problem

ROLES = ("arterial", "venous", "structures", "tumor", "nodes")


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.fixture
def patient(cohort: Manifest, tmp_path: Path) -> dict[str, Path]:
    """A copy of one nano patient's files, free to be damaged."""
    source = cohort.patients[0].venous.parent
    shutil.copytree(source, tmp_path / "p1")
    return {role: tmp_path / "p1" / f"{role}.nii.gz" for role in ROLES}


def checked(folder: Path, *rows: Mapping[str, object], **options: Any) -> CheckedCohort:
    manifest = folder / "cohort.csv"
    write_manifest(manifest, rows)
    return check_cohort(read_manifest(manifest), **options)


def check(folder: Path, *rows: Mapping[str, object], **options: Any) -> list[Problem]:
    return list(checked(folder, *rows, **options).problems)


def test_a_phantom_has_no_problem_and_every_patient_is_announced(
    patient: dict[str, Path], cohort: Manifest, tmp_path: Path
) -> None:
    other = {"patient_id": "p2", "venous": cohort.patients[1].venous}
    seen: list[str] = []
    assert check(tmp_path, {"patient_id": "p1", **patient}, other, progress=seen.append) == []
    assert seen == ["p1", "p2"]


def test_every_bad_file_of_a_patient_is_found_at_once(patient: dict[str, Path], tmp_path: Path) -> None:
    truncate(patient["arterial"])
    tumor = read_volume(patient["tumor"])
    write_volume(patient["tumor"], tumor.with_array(tumor.array * 7))
    structures = read_volume(patient["structures"])
    write_volume(patient["structures"], structures.with_array(structures.array + np.uint8(20)))
    nodes = read_volume(patient["nodes"])
    write_volume(patient["nodes"], crop_volume(nodes, (0, 0, 0), (10, 10, 10)))
    problems = check(tmp_path, {"patient_id": "p1", **patient})
    assert [(p.line, p.column, p.patient, p.file, p.code) for p in problems] == [
        (2, "arterial", "p1", "arterial.nii.gz", "E_TRUNCATED"),
        (2, "structures", "p1", "structures.nii.gz", "E_LABELS"),
        (2, "tumor", "p1", "tumor.nii.gz", "E_LABELS"),
        (2, "nodes", "p1", "nodes.nii.gz", "E_GRID"),
    ]
    assert str(problems[1]).startswith("line 2, column structures: p1: structures.nii.gz: label numbers 20")
    assert str(problems[1]).endswith("[E_LABELS] - for TotalSegmentator masks say --labels totalsegmentator")


def test_behind_a_bad_venous_phase_the_other_files_are_still_tried(
    patient: dict[str, Path], tmp_path: Path
) -> None:
    truncate(patient["venous"])
    truncate(patient["nodes"])
    problems = check(tmp_path, {"patient_id": "p1", **patient})
    assert [(p.patient, p.file) for p in problems] == [("p1", "venous.nii.gz"), ("p1", "nodes.nii.gz")]


def test_a_missing_file_is_told_once_and_the_others_are_read(
    patient: dict[str, Path], tmp_path: Path
) -> None:
    patient["venous"].unlink()
    patient["structures"].unlink()
    truncate(patient["tumor"])
    problems = check(tmp_path, {"patient_id": "p1", **patient})
    assert sorted((p.file, p.code) for p in problems) == [
        ("structures.nii.gz", "E_MISSING"),
        ("tumor.nii.gz", "E_TRUNCATED"),
        ("venous.nii.gz", "E_MISSING"),
    ]


def test_one_file_as_both_phases_is_told_once(patient: dict[str, Path], tmp_path: Path) -> None:
    row = {"patient_id": "p1", "venous": patient["venous"], "arterial": patient["venous"]}
    assert [p.code for p in check(tmp_path, row)] == ["E_SAME_FILE"]


def test_one_content_as_both_phases_is_found_by_reading(patient: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(patient["venous"], patient["arterial"])
    assert [p.code for p in check(tmp_path, {"patient_id": "p1", **patient})] == ["E_SAME_FILE"]


def test_problems_of_lines_and_of_images_come_in_the_order_of_the_lines(
    patient: dict[str, Path], cohort: Manifest, tmp_path: Path
) -> None:
    truncate(patient["tumor"])
    rows = [
        {"patient_id": "p1", **patient},
        {"patient_id": "p2", "venous": cohort.patients[1].venous, "n_status": "yes"},
        {"patient_id": "p3", "venous": tmp_path / "none.nii.gz", "exclude_reason": "no consent"},
    ]
    assert [(p.line, p.code) for p in check(tmp_path, *rows)] == [(2, "E_TRUNCATED"), (3, "E_LABELS")]


def test_a_refused_id_is_shown_where_it_is_refused_alone(patient: dict[str, Path], tmp_path: Path) -> None:
    truncate(patient["tumor"])
    problems = check(tmp_path, {"patient_id": "Doe, Jane", **patient})
    assert {p.code for p in problems} == {"E_PATIENT_ID", "E_TRUNCATED"}
    assert [p.code for p in problems if "Doe" in str(p)] == ["E_PATIENT_ID"]


def test_notices_are_logged_and_are_no_problems(
    patient: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    swapped = {**patient, "venous": patient["arterial"], "arterial": patient["venous"]}
    with caplog.at_level(logging.WARNING, logger="lymphct"):
        assert check(tmp_path, {"patient_id": "p1", **swapped}) == []
    assert any(record.message.startswith("p1: ") for record in caplog.records)


def test_what_was_noticed_is_told_by_patient_for_machines(patient: dict[str, Path], tmp_path: Path) -> None:
    swapped = {**patient, "venous": patient["arterial"], "arterial": patient["venous"]}
    found: Any = checked(tmp_path, {"patient_id": "p1", **swapped}).record()
    ((told),) = found["by_patient"]
    assert (told["line"], told["patient"], told["errors"]) == (2, "p1", [])
    (notice,) = [notice for notice in told["notices"] if notice["code"] == "phases_swapped"]
    assert "look swapped" in notice["text"]
    assert notice["value"] < -50


def test_phases_are_compared_although_another_file_is_bad(patient: dict[str, Path], tmp_path: Path) -> None:
    truncate(patient["tumor"])
    swapped = {**patient, "venous": patient["arterial"], "arterial": patient["venous"]}
    found = checked(tmp_path, {"patient_id": "p1", **swapped})
    assert [problem.column for problem in found.problems] == ["tumor"]
    assert "phases_swapped" in {notice.code for notice in found.patients[0].notices}
    told: Any = found.record()["by_patient"]
    assert [error["code"] for error in told[0]["errors"]] == ["E_TRUNCATED"]


def test_a_venous_phase_without_contrast_agent_is_noticed(patient: dict[str, Path], tmp_path: Path) -> None:
    venous = read_volume(patient["venous"])
    native = np.where(venous.array > 60, 60 + (venous.array - 60) // 20, venous.array)
    write_volume(patient["venous"], venous.with_array(native.astype(venous.array.dtype)))
    found = checked(tmp_path, {"patient_id": "p1", **patient})
    assert "venous_unenhanced" in {notice.code for notice in found.patients[0].notices}
    assert found.problems == ()


def test_frames_of_reference_that_differ_are_noticed_by_check(
    patient: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_in_other_frame(path: Path, *, phase: Phase) -> CT:
        return replace(read_ct(path, phase=phase), frame_key=f"frame of {phase}")

    monkeypatch.setattr(reading, "read_ct", read_in_other_frame)
    found = checked(tmp_path, {"patient_id": "p1", **patient})
    assert "frames_differ" in {notice.code for notice in found.patients[0].notices}


def test_a_column_that_is_nearly_ours_is_noticed(patient: dict[str, Path], tmp_path: Path) -> None:
    row = {"patient_id": "p1", "venous": patient["venous"], "tumour": patient["tumor"]}
    found = checked(tmp_path, row)
    assert found.problems == ()
    (notice,) = found.notices
    assert (notice.code, notice.value) == ("near_miss_column", "tumor")
    assert notice.text == "the column 'tumour' is not used; rename it if tumor is meant"


def test_two_processes_find_what_one_finds(patient: dict[str, Path], tmp_path: Path) -> None:
    truncate(patient["tumor"])
    rows = [{"patient_id": "p1", **patient}]
    assert check(tmp_path, *rows, jobs=2) == check(tmp_path, *rows)


def test_a_wrong_numbering_is_told_once_and_not_per_patient(patient: dict[str, Path], tmp_path: Path) -> None:
    names = tmp_path / "names.yaml"
    names.write_text("heart: 3\n")
    with pytest.raises(InputError, match=r"names\.yaml: unknown structure 'heart'"):
        check(tmp_path, {"patient_id": "p1", **patient}, labels=names)
