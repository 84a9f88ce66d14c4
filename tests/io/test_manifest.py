from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.manifest import PatientRecord, read_manifest, write_manifest


def manifest(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "cohort.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_manifest_is_read_with_paths_beside_it_and_unknown_columns_kept(tmp_path: Path) -> None:
    text = (
        "case_id,patient_id,arterial,venous,n_status,tumor_location,exclude_reason,synthetic\n"
        'x1,p1,,a/v.nii.gz,1,"head, uncinate",,1\n'
        "\n"
        "x2, p2 ,a2.nii.gz,/data/v2,,,motion\n"
    )
    read = read_manifest(manifest(tmp_path, text))
    assert read.columns[0] == "case_id"
    first, second = read.patients
    assert (first.patient_id, first.venous, first.arterial) == ("p1", tmp_path / "a/v.nii.gz", None)
    assert (first.n_status, first.tumor_location, first.line) == (1, "head, uncinate", 2)
    assert first.cells["case_id"] == "x1"
    assert first.is_synthetic
    assert not first.is_excluded
    assert (second.patient_id, second.venous, second.n_status) == ("p2", Path("/data/v2"), None)
    assert second.is_excluded
    assert second.paths == {"venous": Path("/data/v2"), "arterial": tmp_path / "a2.nii.gz"}
    assert second.line == 4


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    read = read_manifest(manifest(tmp_path, b"\xef\xbb\xbfpatient_id,venous\r\np1,v.nii\r\n"))
    assert [patient.patient_id for patient in read.patients] == ["p1"]


def test_a_blank_venous_cell_names_no_existing_file(tmp_path: Path) -> None:
    (patient,) = read_manifest(manifest(tmp_path, "patient_id,venous\np1,\n")).patients
    assert not patient.venous.exists()
    assert patient.paths == {}


def test_a_record_can_be_made_without_a_file() -> None:
    patient = PatientRecord(patient_id="patient", venous=Path("v.nii.gz"))
    assert patient.paths == {"venous": Path("v.nii.gz")}
    assert not patient.is_synthetic


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "it has no heading|it is empty"),
        (b"\n\n", "it has no heading"),
        (b"patient_id,venous\n", "it has no patients"),
        (b"patient_id,arterial\np1,a\n", "the column 'venous' is missing"),
        (b"patient_id|venous\np1|v\n", "not separated by commas, semicolons or tabs"),
        (b"patient_id,venous,venous\np1,v,w\n", "'venous' stands twice"),
        (b"patient_id,venous\np1,v,extra\n", "line 2 has 3 cells, the heading 2"),
        (b'patient_id,venous\np1,"v\n', "line 2: "),
        (b"patient_id,venous\np\xff,v\n", "not UTF-8 text"),
        ("patient_id,venous\np1,v\n".encode("utf-16"), "not UTF-8 text"),
        (b"patient_id,venous\np1,v\0\n", "binary zeros"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    with pytest.raises(InputError, match=f"cohort.csv: .*({word})"):
        read_manifest(manifest(tmp_path, content))


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cohort\.csv: "):
        read_manifest(tmp_path / "cohort.csv")


def test_a_written_manifest_reads_back(tmp_path: Path) -> None:
    rows = [
        {
            "synthetic": True,
            "patient_id": "p1",
            "venous": tmp_path / "p1/v.nii.gz",
            "age": 61.5,
            "n_status": 1,
        },
        {"patient_id": "p2", "venous": Path("/elsewhere/v.nii.gz"), "n_status": None, "center": "=cmd()"},
    ]
    write_manifest(tmp_path / "cohort.csv", rows)
    lines = (tmp_path / "cohort.csv").read_text().splitlines()
    assert lines == [
        "patient_id,center,venous,n_status,age,synthetic",
        "p1,,p1/v.nii.gz,1,61.5,1",
        "p2,'=cmd(),/elsewhere/v.nii.gz,,,",
    ]
    first, second = read_manifest(tmp_path / "cohort.csv").patients
    assert (first.venous, first.n_status, first.is_synthetic) == (tmp_path / "p1/v.nii.gz", 1, True)
    assert second.n_status is None


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_of_text_begins_like_a_formula(tmp_path: Path, start: str) -> None:
    write_manifest(tmp_path / "c.csv", [{"patient_id": "p", "venous": "v", "note": start + "1"}, {"age": -3}])
    (first, *_) = read_manifest(tmp_path / "c.csv").patients
    assert first.cells["note"].startswith("'")
    assert "-3" in (tmp_path / "c.csv").read_text().splitlines()[-1].split(",")


def test_a_required_column_that_is_nearly_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'venous' is missing \(is it the column 'Venous'\?\)"):
        read_manifest(manifest(tmp_path, "patient_id,Venous\np1,v.nii\n"))


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_the_heading_tells_what_separates_the_cells(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "cohort.csv"
    rows = (
        ("patient_id", "tumor_location", "venous", "age"),
        ("p1", '"head, or body; or tail"', "v.nii", "61,5"),
    )
    if separator == ",":
        rows = (rows[0], (*rows[1][:3], "61.5"))
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n", encoding="utf-8-sig")
    (patient,) = read_manifest(path).patients
    assert patient.patient_id == "p1"
    assert patient.venous == tmp_path / "v.nii"
    assert patient.tumor_location == "head, or body; or tail"
    assert patient.cells["age"] in {"61,5", "61.5"}


def test_a_line_in_other_separators_than_the_heading_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id;venous\np1;v.nii\np2;v.nii;x\n")
    with pytest.raises(InputError, match="line 3 has 3 cells, the heading 2"):
        read_manifest(path)
