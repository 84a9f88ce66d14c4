"""Write a cohort of phantoms as a PACS exports patients: DICOM series, and what lies between them.

    lymphct phantom phantoms --patients 4 --size tiny --mode unbiased --seed 7
    python benchmarks/phantom_export.py phantoms/cohort.csv --out export

Every patient has a study with a localizer, an arterial and a venous series and a dose report. Of every
four, the second has no arterial phase, the third has the venous phase reconstructed sharply as well, and the
fourth has it twice, so that somebody must choose. Names and ids are invented. The same cohort gives the same
bytes.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, XRayRadiationDoseSRStorage, generate_uid

from lymphct.core.arrays import AnyArray
from lymphct.core.volume import Volume
from lymphct.io import read_volume

DAY: Final = "20240206"
AIR: Final = 1024
"""What is added to HU so that pixels are not negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Whom the tags of a file name."""

    number: int
    phantom: str
    sex: str
    age: int

    @property
    def study(self) -> str:
        """Return the UID of the study; the UIDs of everything in it are made from the same words."""
        return self.uid("study")

    def uid(self, *words: str) -> str:
        """Return a UID that belongs to these words."""
        return str(generate_uid(entropy_srcs=[self.phantom, *words]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What a scanner says of a series."""

    number: int
    description: str
    time: str
    kernel: str = "Br38f"
    kind: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")


LOCALIZER: Final = Series(
    number=1, description="Topogram", time="101200", kind=("ORIGINAL", "PRIMARY", "LOCALIZER")
)
ARTERIAL: Final = Series(number=2, description="Abdomen ART 2.5", time="101515")
VENOUS: Final = Series(number=3, description="Abdomen PV 2.5", time="101550")
SHARP: Final = Series(number=4, description="Abdomen PV 2.5 lung", time="101550", kernel="Br64f")
AGAIN: Final = Series(number=4, description="Abdomen PV 2.5 repeat", time="101550")
DOSE: Final = Series(number=99, description="Dose report", time="101700")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path, help="cohort.csv of lymphct phantom")
    parser.add_argument("--out", type=Path, required=True, help="folder of the export, which must not exist")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    with arguments.cohort.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        write_patient(arguments.out / "DICOM", number, row, arguments.cohort.parent)
    (arguments.out / "README.TXT").write_text("Export of a synthetic archive\n")
    files = [path for path in arguments.out.rglob("*") if path.is_file()]
    print(f"{len(rows)} patients, {len(files)} files: {arguments.out}")


def write_patient(folder: Path, number: int, row: dict[str, str], beside: Path) -> None:
    """Write the study of one phantom: a folder per series, named by numbers as a PACS does."""
    patient = Patient(number=number, phantom=row["patient_id"], sex=row["sex"], age=int(row["age"]))
    study = folder / f"{number + 1:04d}"
    venous = read_volume(beside / row["venous"])
    write_series(study / "00", patient, LOCALIZER, localizer(venous))
    if number % 4 != 1:
        write_series(study / "01", patient, ARTERIAL, read_volume(beside / row["arterial"]))
    write_series(study / "02", patient, VENOUS, venous)
    if number % 4 >= 2:
        write_series(study / "03", patient, SHARP if number % 4 == 2 else AGAIN, venous)
    write_dose_report(study / "04", patient)


def localizer(ct: Volume) -> Volume:
    """Return a CT whose one slice is its mean along the body: enough for a file that is no phase."""
    mean = np.rint(ct.array.mean(axis=2, keepdims=True)).astype(np.int16)
    return Volume(array=mean, geometry=ct.geometry.cropped((0, 0, 0), (*mean.shape[:2], 1)))


def write_series(folder: Path, patient: Patient, series: Series, ct: Volume) -> None:
    """Write a slice per file, counted from the head down as scanners do."""
    folder.mkdir(parents=True)
    direction = np.asarray(ct.geometry.direction)
    for k in range(ct.array.shape[2]):
        made = tagged(patient, series, CTImageStorage, number := ct.array.shape[2] - k)
        made.Modality, made.ImageType = "CT", list(series.kind)
        made.AcquisitionDate, made.AcquisitionTime, made.ContrastBolusStartTime = DAY, series.time, "101440"
        made.AcquisitionNumber, made.ConvolutionKernel, made.KVP = series.number, series.kernel, 120
        made.ImagePositionPatient = [f"{v:.6f}" for v in ct.geometry.world((0, 0, k))]
        made.ImageOrientationPatient = [f"{v:.9f}" for v in direction[:, :2].T.reshape(-1)]
        made.PixelSpacing = [f"{ct.geometry.spacing[1]:.6f}", f"{ct.geometry.spacing[0]:.6f}"]
        made.SliceThickness = f"{ct.geometry.spacing[2]:.6f}"
        with_pixels(made, ct.array[:, :, k])
        made.save_as(folder / f"IM{number:05d}", enforce_file_format=True)


def write_dose_report(folder: Path, patient: Patient) -> None:
    folder.mkdir(parents=True)
    made = tagged(patient, DOSE, XRayRadiationDoseSRStorage, 1)
    made.Modality = "SR"
    made.save_as(folder / "IM00001", enforce_file_format=True)


def tagged(patient: Patient, series: Series, sop_class: str, number: int) -> Dataset:
    """Return the tags that every file of a study has."""
    made: Any = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = sop_class
    made.SOPInstanceUID = patient.uid(str(series.number), series.description, str(number))
    made.PatientID, made.PatientName = f"{4711 + patient.number}", f"Phantom^{chr(65 + patient.number % 26)}"
    made.PatientSex, made.PatientBirthDate = patient.sex, f"{2023 - patient.age}0702"
    made.StudyInstanceUID, made.FrameOfReferenceUID = patient.study, patient.uid("frame")
    made.SeriesInstanceUID = patient.uid(str(series.number), series.description)
    made.StudyDate, made.StudyTime, made.StudyID = DAY, "101000", "1"
    made.StudyDescription, made.AccessionNumber = "CT Abdomen", f"A{patient.number + 1:04d}"
    made.ReferringPhysicianName, made.Manufacturer = "", "lymphct phantom"
    made.SeriesNumber, made.SeriesDescription, made.InstanceNumber = series.number, series.description, number
    return made  # type: ignore[no-any-return]


def with_pixels(made: Dataset, values: AnyArray) -> None:
    made.Rows, made.Columns = values.shape[1], values.shape[0]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = "1", f"{-AIR}", "HU"
    made.PixelData = (np.asarray(values).astype(np.int16) + AIR).T.astype("<i2").tobytes()


if __name__ == "__main__":
    main()
