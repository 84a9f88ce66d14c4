"""Tab. III of a user's own patients: several methods, mean and SD, thick slices."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.core.errors import GeometryMismatchError, InputError, UsageError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.evaluation.segmentation import segmentation_scores
from lymphct.io.images.nifti import write_nifti
from lymphct.io.patient_files import patient_file, patients_in
from lymphct.scoring.table3 import (
    Method,
    Table3Request,
    evaluate_table3,
    named_methods,
    score_patient,
    scored_patients,
)

GRID = Geometry(shape=(16, 14, 20), spacing=(0.7, 0.8, 1.0))
AORTA, LGA, LIVER = Structure.AORTA, Structure.LEFT_GASTRIC_ARTERY, Structure.LIVER


def write(path: Path, *boxes: tuple[int, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for label, box in boxes:
        array[box] = label
    write_nifti(path, Volume(array=array, geometry=GRID))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two patients: truth by id, a method by id, one as `predict` lays it that never finds an LGA."""
    aorta, lga = np.s_[2:8, 2:8, :], np.s_[10:12, 10:12, 4:12]
    for n, patient in enumerate(("p1", "p2")):
        write(
            tmp_path / "truth" / f"{patient}.nii.gz", (AORTA, aorta), (LGA, lga), (LIVER, np.s_[12:, :4, :])
        )
        short = np.s_[10:12, 10:12, 4 : 10 - n]
        write(tmp_path / "both" / f"{patient}.nii.gz", (AORTA, aorta), (LGA, short))
        write(tmp_path / "v" / patient / "seg" / "structures.nii.gz", (AORTA, np.s_[3 + n : 8, 2:8, :]))
    return tmp_path


METHODS = ("V=v", "student A+V=both")


def record_of(folder: Path, request: Table3Request | None = None) -> dict[str, Any]:
    methods = named_methods([text.replace("=", f"={folder}/") for text in METHODS])
    patients = scored_patients(methods, folder / "truth")
    return evaluate_table3(methods, patients, request or Table3Request(), folder / "out")


def row_of(record: dict[str, Any], structure: Structure, method: str) -> dict[str, Any]:
    rows = [r for r in record["rows"] if r["structure"] == structure.label and r["method"] == method]
    assert len(rows) == 1
    found: dict[str, Any] = rows[0]
    return found


def test_each_row_is_mean_and_sd_over_the_patients(folder: Path) -> None:
    record = record_of(folder)
    assert [(r["structure"], r["method"]) for r in record["rows"]] == [
        (s.label, m) for s in (AORTA, LGA) for m in ("V", "student A+V")
    ]  # the liver does not guide
    dices = np.array([2 * 5 / 11, 2 * 4 / 10])
    aorta = row_of(record, AORTA, "V")
    assert aorta["dice_mean"] == pytest.approx(dices.mean())
    assert aorta["dice_sd"] == pytest.approx(dices.std(ddof=1))
    assert aorta["hd_mean"] == pytest.approx(np.mean([0.7, 1.4]))
    perfect = row_of(record, AORTA, "student A+V")
    assert (perfect["dice_mean"], perfect["asd_mean"], perfect["hd_mean"]) == (1.0, 0.0, 0.0)
    truth = np.zeros(GRID.shape, dtype=bool)
    truth[10:12, 10:12, 4:12] = True
    found = np.zeros_like(truth)
    found[10:12, 10:12, 4:10] = True
    one = segmentation_scores(found, truth, GRID.spacing)
    found[10:12, 10:12, 9] = False
    other = segmentation_scores(found, truth, GRID.spacing)
    lga = row_of(record, LGA, "student A+V")
    assert lga["asd_mean"] == pytest.approx((one.asd + other.asd) / 2)
    assert lga["hd_mean"] == pytest.approx((one.hd + other.hd) / 2)


def test_a_structure_that_a_method_finds_in_nobody_has_no_figures(folder: Path) -> None:
    lga = row_of(record_of(folder), LGA, "V")
    assert (lga["patients"], lga["found_in"]) == (2, 0)
    assert all(
        lga[f"{metric}_{value}"] is None for metric in ("dice", "asd", "hd") for value in ("mean", "sd")
    )


def test_a_structure_found_in_some_counts_as_missed_in_the_others(folder: Path) -> None:
    write(folder / "v" / "p1" / "seg" / "structures.nii.gz", (LGA, np.s_[10:12, 10:12, 4:12]))
    lga = row_of(record_of(folder), LGA, "V")
    assert (lga["patients"], lga["found_in"]) == (2, 1)
    assert lga["dice_mean"] == pytest.approx(0.5)
    assert lga["hd_mean"] == 0.0  # there is no distance to nothing
    assert lga["hd_sd"] is None


def test_the_files_hold_what_is_returned(folder: Path) -> None:
    record = record_of(folder)
    assert json.loads((folder / "out" / "table3.json").read_text()) == record
    with (folder / "out" / "table3.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [row["method"] for row in record["rows"]]
    assert float(rows[0]["dice_mean"]) == record["rows"][0]["dice_mean"]
    with (folder / "out" / "table3_patients.csv").open(encoding="utf-8") as file:
        each = list(csv.DictReader(file))
    assert len(each) == 2 * 2 * 2
    assert {row["patient"] for row in each} == {"p1", "p2"}


def test_thick_slices_are_planes_of_both_maps_at_their_middle(folder: Path) -> None:
    record = record_of(folder, Table3Request(thickness=5.0))
    # Slices of 5 mm have their middle at planes 2, 7, 12 and 17 of 1 mm: the LGA (4 to 11) shows in one.
    assert row_of(record, LGA, "student A+V")["dice_mean"] == 1.0
    assert row_of(record, LGA, "student A+V")["hd_mean"] == 0.0
    assert record["settings"]["slice_thickness_mm"] == 5.0
    finer = record_of(folder, Table3Request(thickness=0.5))
    as_it_is = record_of(folder)
    assert finer["rows"] == as_it_is["rows"]


def test_a_structure_counts_in_the_patients_in_whom_it_was_drawn(folder: Path) -> None:
    manifest = folder / "cohort.csv"
    manifest.write_text(
        "patient_id,venous,structures,structures_labelled,exclude_reason\n"
        "p1,truth/p1.nii.gz,truth/p1.nii.gz,aorta;liver,\n"
        "p2,truth/p2.nii.gz,truth/p2.nii.gz,,\n"
        "p3,truth/p2.nii.gz,truth/p2.nii.gz,,fell asleep\n"
        "p4,truth/p2.nii.gz,,,\n"
    )
    methods = (Method(name="both", place=str(folder / "both")),)
    patients = scored_patients(methods, manifest)
    assert [patient.case for patient in patients] == ["p1", "p2"]
    record: Any = evaluate_table3(methods, patients, Table3Request(), folder / "out")
    assert row_of(record, AORTA, "both")["patients"] == 2
    assert row_of(record, LGA, "both")["patients"] == 1


def test_voxels_nobody_looked_at_are_neither_found_nor_missed(folder: Path) -> None:
    seen, unseen = np.s_[2:8, 2:8, :10], np.s_[:, :, 10:]
    write(folder / "truth" / "p1.nii.gz", (AORTA, seen), (255, unseen))
    methods = named_methods([f"both={folder}/both"])
    patient = next(p for p in scored_patients(methods, folder / "truth") if p.case == "p1")
    assert score_patient(patient, Table3Request())["both"][AORTA].dice == 1.0


def test_methods_without_a_patient_are_refused(folder: Path) -> None:
    (folder / "both" / "p2.nii.gz").unlink()
    with pytest.raises(InputError, match="student A\\+V has none of p2"):
        record_of(folder)


def test_a_truth_of_nobody_is_refused(folder: Path) -> None:
    (folder / "empty").mkdir()
    methods = named_methods([f"both={folder}/both"])
    with pytest.raises(InputError, match="drawn structures of nobody"):
        scored_patients(methods, folder / "empty")
    with pytest.raises(InputError, match="no such manifest or folder"):
        scored_patients(methods, folder / "nothing")


def test_a_mask_on_another_lattice_is_refused_by_patient(folder: Path) -> None:
    grid = Geometry(shape=GRID.shape, spacing=GRID.spacing, origin=(50.0, 0.0, 0.0))
    write_nifti(folder / "both" / "p2.nii.gz", Volume(array=np.ones(GRID.shape, np.uint8), geometry=grid))
    with pytest.raises(GeometryMismatchError) as refusal:
        record_of(folder)
    assert refusal.value.patient == "p2"


def test_masks_of_a_method_that_say_nothing_somewhere_are_refused(folder: Path) -> None:
    write(folder / "both" / "p1.nii.gz", (AORTA, np.s_[2:8, 2:8, :]), (255, np.s_[0, 0, 0]))
    with pytest.raises(InputError, match="have voxels that say nothing"):
        record_of(folder)


@pytest.mark.parametrize(
    ("texts", "words"),
    [(["teacher"], "NAME=FOLDER"), (["=x"], "NAME=FOLDER"), (["a=x", "a=y"], "twice"), ([], "no method")],
)
def test_methods_are_named_once(texts: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        named_methods(texts)


def test_patients_are_found_by_their_id_in_a_folder_or_a_pattern(folder: Path) -> None:
    assert patients_in(str(folder / "both")) == ("p1", "p2")
    assert patients_in(str(folder / "v")) == ("p1", "p2")
    assert patients_in(f"{folder}/v/{{patient}}/seg/structures.nii.gz") == ("p1", "p2")
    write(folder / "other" / "case_p7_seg.nii.gz", (AORTA, np.s_[:2]))
    pattern = f"{folder}/other/case_{{patient}}_seg.nii.gz"
    assert patients_in(pattern) == ("p7",)
    assert patient_file(pattern, "p7") == folder / "other" / "case_p7_seg.nii.gz"
    assert patient_file(pattern, "p8") is None
    assert patients_in(f"{folder}/missing/{{patient}}.nii.gz") == ()
