"""No text that names a patient is in any output, log or error, but in the DICOM objects the user asked for.

A canary stands in every tag, header text and name; afterwards every byte is searched, unpacked as far as it
can be: gzip, zip, zlib in pictures, base64 in pages.
"""

import base64
import gzip
import io
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.dicom_exports import write_series

from lymphct.io.images.reading import read_volume
from lymphct.io.manifest import Manifest, PatientRecord

Program = Callable[..., Any]

MARK: Final = "ZQXK7"
"""Begins every canary and nothing else; short enough for the shortest texts (16 characters)."""
NAME: Final = f"{MARK}000"
TEXTS: Final = (
    "PatientID", "IssuerOfPatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName",
    "PatientMotherBirthName", "PatientAddress", "PatientTelephoneNumbers", "MilitaryRank", "BranchOfService",
    "MedicalRecordLocator", "EthnicGroup", "Occupation", "AdditionalPatientHistory", "PatientComments",
    "PatientReligiousPreference", "ResponsiblePerson", "ResponsibleOrganization", "CountryOfResidence",
    "RegionOfResidence", "MedicalAlerts", "Allergies", "InstitutionName", "InstitutionAddress",
    "InstitutionalDepartmentName", "ReferringPhysicianName", "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers", "PhysiciansOfRecord", "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy", "OperatorsName", "RequestingPhysician", "RequestingService",
    "AdmittingDiagnosesDescription", "AccessionNumber", "StudyID", "StudyDescription", "ProtocolName",
    "StationName", "ImageComments", "DeviceSerialNumber", "RequestedProcedureDescription",
    "PerformedProcedureStepDescription", "AdmissionID", "IssuerOfAdmissionID", "CurrentPatientLocation",
    "PatientInstitutionResidence", "VisitComments", "StudyComments", "DerivationDescription",
    "ContrastBolusAgent", "RequestedProcedureComments", "ReasonForStudy",
)  # fmt: skip
DATES: Final = {"PatientBirthDate": "19231107", "StudyDate": "20011223", "SeriesDate": "20011223"}
HEADER_TEXTS: Final = {"descrip": 80, "aux_file": 24, "intent_name": 16, "db_name": 18}


def mark(dataset: Dataset, slice_number: int) -> None:
    """Put a text of its own into every tag that says something of the patient."""
    del slice_number
    for number, keyword in enumerate(TEXTS, start=1):
        setattr(dataset, keyword, f"{MARK}{number:03d}")
        assert dictionary_VR(keyword) in {"PN", "LO", "SH", "LT", "ST"}
    for keyword, date in DATES.items():
        setattr(dataset, keyword, date)
    dataset.PatientName = f"{NAME}^JOHN"
    dataset.SeriesDescription = f"ABD {NAME} PV"  # the rest of a description may stand in series.csv
    block = dataset.private_block(0x0011, f"{MARK}900", create=True)
    block.add_new(1, "LO", f"{MARK}901")
    inner = Dataset()
    inner.RequestedProcedureDescription = f"{MARK}902"
    dataset.RequestAttributesSequence = Sequence([inner])


def marked_series(folder: Path, record: PatientRecord) -> Path:
    """Write the venous phase of a phantom as a DICOM series below a folder with the patient's name."""
    place = folder / f"{NAME}_John" / "series"
    write_series(place, read_volume(record.venous), edit=mark)
    return place


def mark_nifti(path: Path, out: Path) -> Path:
    """Write a NIfTI file again with a text in each field and an extension that holds one."""
    image = nib.load(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    for number, (field, length) in enumerate(HEADER_TEXTS.items(), start=910):
        image.header[field] = f"{MARK}{number} {NAME}"[:length].encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", f"{MARK}920 John".encode()))
    nib.save(image, out)
    return out


def unpacked(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """Yield bytes and whatever is packed in them."""
    yield content
    if depth > 3:
        return
    inner: list[bytes] = []
    if content[:2] == b"\x1f\x8b":
        inner.append(gzip.decompress(content))
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inner += [archive.read(name) for name in archive.namelist()]
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        inner += _compressed_texts(content)
    for text in re.findall(rb"[A-Za-z0-9+/]{64,}={0,2}", content):
        inner.append(base64.b64decode(text[: len(text) // 4 * 4]))
    for one in inner:
        yield from unpacked(one, depth + 1)


def _compressed_texts(picture: bytes) -> Iterator[bytes]:
    """Yield the texts of a PNG that stand in it compressed; plain ones stand in its bytes."""
    at = 8
    while at < len(picture):
        length, kind = int.from_bytes(picture[at : at + 4]), picture[at + 4 : at + 8]
        chunk = picture[at + 8 : at + 8 + length]
        at += 12 + length
        if kind in {b"zTXt", b"iTXt"} and (start := chunk.find(b"x", chunk.find(b"\0"))) >= 0:
            with suppress(zlib.error):
                yield zlib.decompress(chunk[start:])


def hits(content: bytes) -> list[str]:
    """Return the canaries in some bytes and in what is packed in them."""
    pattern = rf"(?i){MARK}\w*|{'|'.join(DATES.values())}".encode()
    return [found.decode() for one in unpacked(content) for found in re.findall(pattern, one)]


def found_below(*folders: Path, but: str = "") -> dict[str, list[str]]:
    """Return the canaries in names and bytes of all files, by file."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if but and but in path.relative_to(folder).parts:
                continue
            told = hits(name.encode()) + (hits(path.read_bytes()) if path.is_file() else [])
            if told:
                found[name] = told[:5]
    return found


def damaged(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-200])
    return path


def test_the_search_finds_what_is_packed(tmp_path: Path) -> None:
    text = f"name {NAME}".encode() * 8
    noise = bytes(range(256))  # or the packed bytes are too few to look like base64
    packed = gzip.compress(base64.b64encode(gzip.compress(noise + text)))
    (tmp_path / "page.html").write_bytes(b"<img src='data:," + base64.b64encode(text) + b"'>")
    (tmp_path / "a.gz").write_bytes(packed)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", text)
    about = PngInfo()
    about.add_text("Comment", text.decode(), zip=True)
    Image.new("L", (4, 4)).save(tmp_path / "a.png", pnginfo=about)
    (tmp_path / f"{MARK.lower()}.txt").touch()
    found = found_below(tmp_path)
    assert set(found) == {"page.html", "a.gz", "a.zip", "a.png", f"{MARK.lower()}.txt"}


def test_what_is_refused_and_what_is_checked_names_nobody(
    cohort: Manifest, lymphct: Program, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = cohort.patients[0]
    series = marked_series(tmp_path / "export", record)
    assert hits(next(series.iterdir()).read_bytes())
    nifti = mark_nifti(record.venous, tmp_path / NAME / "venous.nii.gz")
    assert hits(nifti.read_bytes())
    manifest = tmp_path / "cohort.csv"
    manifest.write_text(f"patient_id,venous,arterial\np1,{nifti},{series}\np2,{nifti},\n")
    texts = [lymphct("-v", "check", str(manifest))]
    damaged(next(series.iterdir()))
    damaged(nifti)
    out = tmp_path / "out"
    for name, place in (("a", series), ("b", nifti)):
        texts.append(lymphct("-v", "predict", "--venous", str(place), "--out", str(out / name)))
        assert texts[-1].code == 3, texts[-1].err
    texts.append(lymphct("-v", "predict", str(manifest), "--out", str(out / "all")))
    assert texts[-1].code == 4, texts[-1].err
    for done in texts:
        assert hits((done.out + done.err).encode()) == []
    assert hits(caplog.text.encode()) == []
    assert found_below(out) == {}
    assert (out / "all" / "failures.jsonl").stat().st_size > 0


@pytest.mark.slow
def test_no_output_of_any_command_names_the_patient_but_the_dicom_objects(
    cohort: Manifest, lymphct: Program, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = cohort.patients[0]
    series = marked_series(tmp_path / "export", record)
    cohorts, prepared, one, all_of = (tmp_path / name for name in ("cohorts", "prepared", "one", "all"))
    files = {
        column: mark_nifti(path, tmp_path / NAME / f"{column}.nii.gz")
        for column, path in record.paths.items()
        if column != "nodes"
    }
    manifest = tmp_path / "cohort.csv"
    manifest.write_text(f"patient_id,{','.join(files)}\np1,{','.join(map(str, files.values()))}\n")
    words = [
        ("import", "folder", str(tmp_path / "export"), "--out", str(cohorts / "hospital"), "--accept"),
        ("check", str(manifest)),
        ("prepare", str(manifest), "--out", str(prepared), "--config", "phantom_tiny"),
        ("predict", "--venous", str(series), "--patient-id", "p1", "--out", str(one)),
        ("predict", str(manifest), "--given", "structures,tumor", "--out", str(all_of)),
    ]
    for line in words:
        done = lymphct("-v", *line)
        assert done.code in {0, 4}, (line, done.err)
        assert hits((done.out + done.err).encode()) == [], line
    assert hits(caplog.text.encode()) == []
    assert found_below(cohorts, prepared, one, all_of) == {}
    assert {path.name for path in cohorts.rglob("*.csv")} >= {"series.csv", "proposals.csv"}
    assert (one / "report.html").exists()
    assert (all_of / "p1" / "report.html").exists()
    done = lymphct(
        "-v", "predict", "--venous", str(series), "--patient-id", "p1", "--dicom", "--out", str(one)
    )
    assert done.code == 0, done.err
    assert hits((done.out + done.err).encode()) == []
    assert found_below(one, but="dicom") == {}
    for path in (one / "dicom").glob("*.dcm"):
        told = set(hits(path.read_bytes()))
        assert {NAME, f"{MARK}001", DATES["PatientBirthDate"]} <= told, path.name
        assert f"{MARK}901" not in told  # private tags stay behind
    shutil.rmtree(one)
