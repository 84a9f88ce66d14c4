"""Studies of a few small slices, and a stand-in that examines them in a moment."""

import hashlib
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from lymphct.io.results.made import Recipe, made
from lymphct.patients.serving.examining import EXPORT_FOLDER, RESULT_FOLDER, Answer
from lymphct.patients.serving.ledger import State
from lymphct.patients.serving.settings import ServingSettings

CANARY: Final = "CANARY"
AT_ONCE: Final = ServingSettings(settle=0, every=0.05)


def dataset(study: int, series: int, number: int, **elements: Any) -> Dataset:
    """Return a slice of 4×4 pixels that names a patient."""
    made_ = Dataset()
    made_.file_meta = FileMetaDataset()
    made_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made_.SOPClassUID, made_.SOPInstanceUID = CTImageStorage, f"1.2.{study}.{series}.{number + 1}"
    made_.StudyInstanceUID, made_.SeriesInstanceUID = f"1.2.{study}", f"1.2.{study}.{series}"
    made_.Modality, made_.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    made_.PatientID, made_.PatientName = f"{CANARY}-{study}", f"{CANARY}^{study}"
    made_.ImagePositionPatient, made_.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    made_.PixelSpacing, made_.Rows, made_.Columns = [1, 1], 4, 4
    made_.SamplesPerPixel, made_.PhotometricInterpretation = 1, "MONOCHROME2"
    made_.BitsAllocated, made_.BitsStored, made_.HighBit, made_.PixelRepresentation = 16, 16, 15, 0
    made_.PixelData = bytes([number]) * 32
    for keyword, value in elements.items():
        setattr(made_, keyword, value)
    return made_


def drop(folder: Path, study: int = 7, series: int = 1, slices: int = 3, **elements: Any) -> list[Path]:
    """Write slices of one series into a folder, under names that name the patient."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{CANARY}{study}-{series}-{number}" for number in range(slices)]
    for number, path in enumerate(paths):
        dataset(study, series, number, **elements).save_as(path, enforce_file_format=True)
    return paths


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def examine(place: Path, choices: Path | None) -> Answer:
    """Make a result that depends on every byte of the study; study 13 is refused, study 14 fails."""
    found = contents(place / EXPORT_FOLDER)
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(found.items()))
    both = b"".join(path.read_bytes() for path in (place / EXPORT_FOLDER).rglob("*.dcm"))
    if f"{CANARY}-13".encode() in both and choices is None:
        return Answer(state=State.REFUSED, code="E_DOUBT", reason="which series?", patient="p13")
    if f"{CANARY}-14".encode() in both and not (place.parents[3] / "mended").exists():
        return Answer(state=State.FAILED, code="E_MEMORY", reason="out of memory", patient="p14")

    def make(folder: Path) -> None:
        (folder / "seg").mkdir()
        (folder / "seg" / "nodes.txt").write_text(text)

    made(place / RESULT_FOLDER, Recipe(inputs={}, settings={"of": text}, code=("core.terms",)), make)
    return Answer(state=State.DONE, patient="p7")
