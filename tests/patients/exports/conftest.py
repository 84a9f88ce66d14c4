"""Folders as a PACS exports them, of bodies drawn in a moment: an aorta, a liver, kidneys, a spine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lymphct.core.arrays import AnyArray

SHAPE: Final = (96, 72, 24)
SPACING: Final = (3.5, 3.5, 5.0)
HOUNSFIELD: Final[Mapping[str, Mapping[str, int]]] = {
    "arterial": {"aorta": 320, "liver": 70, "kidney": 160},
    "venous": {"aorta": 160, "liver": 112, "kidney": 185},
    "native": {"aorta": 42, "liver": 52, "kidney": 32},
    "between": {"aorta": 175, "liver": 75, "kidney": 170},
}
CANARY: Final = "CANARY"
Edit = Callable[[Dataset, int], None]


def body(phase: str, *, seed: int = 0) -> AnyArray:
    """Return HU [i, j, k] of a patient on axes to the left, back and top."""
    rng = np.random.default_rng(seed)
    values = HOUNSFIELD[phase]
    i, j, k = (axis.astype(float) for axis in np.indices(SHAPE))
    x, y = (i - 47.5) * SPACING[0], (j - 35.5) * SPACING[1]
    inside = (x / 150) ** 2 + (y / 112) ** 2 < 1
    hounsfield = np.where(inside, -100.0, -1000.0)
    hounsfield[inside & ((x / 140) ** 2 + (y / 100) ** 2 < 1) & (y > 55)] = 55
    hounsfield[((x + 75) / 55) ** 2 + ((y + 15) / 55) ** 2 < 1] = values["liver"]
    hounsfield[((x - 70) / 26) ** 2 + ((y - 35) / 26) ** 2 < 1] = values["kidney"]
    hounsfield[((x + 62) / 22) ** 2 + ((y - 52) / 22) ** 2 < 1] = values["kidney"]
    hounsfield[(x / 24) ** 2 + ((y - 55) / 22) ** 2 < 1] = 260
    hounsfield[((x - 6) ** 2 + (y - 15) ** 2) < 12**2] = values["aorta"]
    del k
    noisy: AnyArray = np.rint(hounsfield + rng.normal(0, 8, SHAPE)).astype(np.int16)
    return noisy


@dataclass(kw_only=True)
class Person:
    """Whom the tags of a file name, and where its images lie."""

    name: str
    patient_id: str
    birth: str = "19521103"
    study: str = field(default_factory=generate_uid)
    frame: str = field(default_factory=generate_uid)
    sex: str = "F"


def write_stack(
    folder: Path,
    person: Person,
    array: AnyArray,
    *,
    number: int = 2,
    description: str = "",
    time: str = "101500",
    step: float = SPACING[2],
    edit: Edit | None = None,
    prefix: str = "I",
) -> list[Path]:
    """Write a stack of CT slices; `edit(dataset, k)` changes one."""
    folder.mkdir(parents=True, exist_ok=True)
    series, paths = generate_uid(), []
    for k in range(array.shape[2]):
        dataset = tagged(person, series, number=number, description=description)
        dataset.AcquisitionDate, dataset.AcquisitionTime = "20240206", time
        dataset.ContrastBolusStartTime = "101440"
        dataset.AcquisitionNumber = number
        dataset.ConvolutionKernel = "Br38f"
        dataset.ImagePositionPatient = [-166.0, -124.0, -500.0 + step * k]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [SPACING[1], SPACING[0]]
        with_pixels(dataset, array[:, :, k])
        if edit:
            edit(dataset, k)
        path = folder / f"{prefix}{number:02d}{k:04d}"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def with_pixels(dataset: Dataset, values: AnyArray) -> None:
    dataset.Rows, dataset.Columns = values.shape[1], values.shape[0]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "-1024", "HU"
    dataset.PixelData = (values.astype(np.int16) + 1024).T.astype("<i2").tobytes()


def tagged(person: Person, series: str, *, number: int, description: str, modality: str = "CT") -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality = modality
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientID, dataset.PatientName = person.patient_id, person.name
    dataset.PatientBirthDate, dataset.PatientSex = person.birth, person.sex
    for keyword in (
        "OtherPatientIDs", "PatientAddress", "PatientMotherBirthName", "PatientComments", "AccessionNumber",
        "ReferringPhysicianName", "InstitutionName", "PatientTelephoneNumbers", "StationName",
    ):  # fmt: skip
        setattr(dataset, keyword, f"{CANARY}{keyword[:8]}")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = person.study, series
    dataset.FrameOfReferenceUID = person.frame
    dataset.StudyDate, dataset.StudyTime = "20240206", "101000"
    dataset.SeriesNumber, dataset.SeriesDescription = number, description
    dataset.InstanceNumber = 1
    return dataset


def write_object(folder: Path, person: Person, *, modality: str, sop_class: str, **elements: Any) -> Path:
    """Write a file that is no slice: a report, MR, a localizer."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = tagged(person, generate_uid(), number=99, description="other", modality=modality)
    dataset.SOPClassUID = sop_class
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    path = folder / f"{modality}{len(list(folder.iterdir())):04d}"
    dataset.save_as(path, enforce_file_format=True)
    return path


def two_phases(folder: Path, person: Person, *, seed: int = 0) -> None:
    """Write an arterial and a venous series into one folder."""
    write_stack(folder, person, body("arterial", seed=seed), number=2, description="ABD ART", time="101515")
    write_stack(folder, person, body("venous", seed=seed), number=3, description="ABD PV", time="101550")


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients and what lies between them; never changed by a test."""
    folder = tmp_path_factory.mktemp("export") / "CD"
    one = Person(name=f"{CANARY}NAME^JOHN", patient_id=f"{CANARY}-7")
    mixed = folder / "DICOM" / "0001"
    two_phases(mixed, one)
    for path in list(mixed.iterdir())[:3]:
        (mixed / f"copy{path.name}").write_bytes(path.read_bytes())
    secondary = "1.2.840.10008.5.1.4.1.1.7"
    write_object(mixed, one, modality="SR", sop_class="1.2.840.10008.5.1.4.1.1.88.67")
    write_object(mixed, one, modality="MR", sop_class="1.2.840.10008.5.1.4.1.1.4")
    write_object(mixed, one, modality="CT", sop_class=secondary)
    localizer = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_object(mixed, one, modality="CT", sop_class=CTImageStorage, ImageType=localizer)
    enhanced = "1.2.840.10008.5.1.4.1.1.2.1"
    write_object(mixed, one, modality="CT", sop_class=enhanced, NumberOfFrames=300)
    (mixed / "readme.txt").write_text("no DICOM")

    other = Person(name=f"{CANARY}OTHER^JANE", patient_id=f"{CANARY}-8", birth="19470101")
    write_stack(
        folder / "A" / "1", other, body("arterial", seed=1), number=4, description="tfe", time="101516"
    )
    write_stack(folder / "A" / "2", other, body("venous", seed=1), number=5, description="x", time="101551")
    return folder


@pytest.fixture(scope="session")
def tools() -> Any:
    """The makers of this file, for tests that write a folder of their own."""
    return SimpleNamespace(Person=Person, body=body, two_phases=two_phases, write_stack=write_stack)
