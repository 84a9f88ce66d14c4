from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.core.terms import STRUCTURES_BY_NAME, Structure
from lymphct.io.labelled_structures import labelled_structures
from lymphct.io.manifest import PatientRecord, read_manifest
from lymphct.io.manifest_check import manifest_problems, require_usable


@pytest.mark.parametrize(
    "text",
    [
        "spleen,left_kidney",
        "left_kidney spleen",
        "Left kidney; Spleen",
        "kidney_left,,spleen,",
        "spleen\tleft_kidney",
    ],
)
def test_names_are_separated_by_commas_semicolons_or_spaces(text: str) -> None:
    assert labelled_structures(text) == (Structure.SPLEEN, Structure.LEFT_KIDNEY)


def test_blank_leaves_it_to_the_map_and_all_are_the_nineteen() -> None:
    assert labelled_structures("") is labelled_structures(" , ") is None
    assert labelled_structures("All") == tuple(Structure)
    assert labelled_structures(",".join(STRUCTURES_BY_NAME)) == tuple(Structure)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("thyroid", "write all or some"),
        ("Left kidnee", "write left_kidney"),
        ("spleeen", "write spleen"),
    ],
)
def test_a_class_that_does_not_exist_is_named_with_the_nearest(name: str, cure: str) -> None:
    with pytest.raises(InputError, match=f"names '{name}', which is none of the structures.*{cure}") as e:
        labelled_structures(f"spleen, {name}")
    assert e.value.code == "E_LABELLED"
    assert len(str(e.value)) < 200


def test_a_manifest_with_such_a_class_is_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "v.nii.gz").touch()
    path = tmp_path / "cohort.csv"
    path.write_text(
        'patient_id,venous,structures_labelled\na,v.nii.gz,"spleen, aorta"\nb,v.nii.gz,spleen kidney\n'
    )
    manifest = read_manifest(path)
    assert manifest.patients[0].labelled == (Structure.SPLEEN, Structure.AORTA)
    assert manifest.patients[1].labelled is None  # unreadable, which is a problem:
    (problem,) = [p for p in manifest_problems(manifest) if p.error.code == "E_LABELLED"]
    assert (problem.scope, problem.patient_id, problem.column) == ("cohort", "b", "structures_labelled")
    with pytest.raises(InputError, match=r"line 3.*names 'kidney'"):
        require_usable(manifest)


def test_who_is_excluded_may_list_anything(tmp_path: Path) -> None:
    (tmp_path / "v.nii.gz").touch()
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id,venous,structures_labelled,exclude_reason\na,v.nii.gz,thyroid,no CT\n")
    assert manifest_problems(read_manifest(path)) == []


def test_a_record_without_the_column_lists_nothing(tmp_path: Path) -> None:
    assert PatientRecord(patient_id="a", venous=tmp_path / "v.nii.gz").labelled is None


def test_a_column_of_another_spelling_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id,venous,structures_labeled\na,v.nii.gz,spleen\n")
    assert read_manifest(path).near_misses == {"structures_labeled": "structures_labelled"}
