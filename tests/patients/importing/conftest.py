"""Folders laid out as public data sets are, written from phantoms."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import to_working_axes
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.io.images.reading import read_image, write_volume
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.patients.importing.known_layouts import load_dataset
from lymphct.patients.importing.layout import Layout

Writer = Callable[[Path, list[PatientRecord]], None]


def of(record: PatientRecord, name: str) -> Volume:
    """Return an image of a phantom."""
    return read_image(record.paths[name]).volume


def mask(path: Path, volume: Volume, array: AnyArray) -> None:
    """Write a mask on the grid of an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, volume.with_array(np.asarray(array, dtype=np.uint8)))


def link(path: Path, record: PatientRecord) -> None:
    """Let the CT of a phantom lie at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(record.venous)


def table(path: Path, rows: list[Mapping[str, object]], separator: str = ",") -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)


def _totalsegmentator(folder: Path, records: list[PatientRecord]) -> None:
    names = load_dataset("totalsegmentator").structures
    assert names is not None
    rows: list[Mapping[str, object]] = []
    for number, record in enumerate(records):
        place = folder / f"s{number:04d}"
        link(place / "ct.nii.gz", record)
        structures = of(record, "structures")
        for theirs, ours in names.names.items():
            inside = structures.array == Structure[ours.upper()]
            mask(place / "segmentations" / f"{theirs}.nii.gz", structures, inside)
        mask(place / "segmentations" / "rib_left_1.nii.gz", structures, structures.array == 99)
        split = ("train", "val", "train", "test")[number % 4]
        rows.append({"image_id": place.name, "age": 50 + number, "gender": "mf"[number % 2], "split": split})
    table(folder / "meta.csv", rows, ";")


def _pants(folder: Path, records: list[PatientRecord]) -> None:
    for number, record in enumerate(records):
        name, part = f"PanTS_{number:08d}", "Te" if number == 0 else "Tr"
        link(folder / f"Image{part}" / name / "ct.nii.gz", record)
        structures, tumor = of(record, "structures"), of(record, "tumor")
        masks = {"gall_bladder": structures.array == Structure.GALLBLADDER}
        masks["superior_mesenteric_artery"] = structures.array == Structure.SUPERIOR_MESENTERIC_ARTERY
        masks["celiac_artery"] = structures.array == Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY
        masks["pancreatic_lesion"] = tumor.array > 0
        place = folder / f"Label{part}" / name / "segmentations"
        place.mkdir(parents=True)
        for theirs, inside in masks.items():
            if number == 1:
                np.savez_compressed(place / f"{theirs}.npz", data=inside.astype(np.uint8))
            else:
                mask(place / f"{theirs}.nii.gz", structures, inside)
    (folder / "metadata.xlsx").write_bytes(b"PK")


def _curvas(folder: Path, records: list[PatientRecord]) -> None:
    for number, record in enumerate(records):
        place, tumor = folder / f"case{number:03d}", of(record, "tumor")
        link(place / "image.nii.gz", record)
        for reader in range(1, 6):
            # Two readers draw a block beside the tumor as well, one draws nothing at all.
            drawn = np.array(tumor.array > 0) & (reader != 5)
            if reader <= 2:
                drawn[:3, :3, :3] = True
            mask(place / f"annotation_{reader}.nii.gz", tumor, drawn)


def _msd(folder: Path, records: list[PatientRecord]) -> None:
    for number, record in enumerate(records):
        name = f"pancreas_{number:03d}.nii.gz"
        link(folder / "imagesTr" / name, record)
        structures, tumor = of(record, "structures"), of(record, "tumor")
        labels = np.where(tumor.array > 0, 2, structures.array == Structure.PANCREAS)
        mask(folder / "labelsTr" / name, structures, labels)
        (folder / "imagesTr" / f"._{name}").write_bytes(b"of a Mac")
    (folder / "dataset.json").write_text(json.dumps({"labels": {"1": "pancreas", "2": "cancer"}}))


def _panorama(folder: Path, records: list[PatientRecord]) -> None:
    rows: list[Mapping[str, object]] = []
    for number, record in enumerate(records):
        # The first two are studies of one person.
        name = f"{100000 + max(number, 1)}_{number:05d}"
        link(folder / f"batch_{number % 4 + 1}" / f"{name}_0000.nii.gz", record)
        structures, tumor = of(record, "structures"), of(record, "tumor")
        pancreas = structures.array == Structure.PANCREAS
        labels = np.where(tumor.array > 0, 1, np.where(pancreas, 4, 0))
        mask(folder / "automatic_labels" / f"{name}.nii.gz", structures, np.where(labels == 1, 4, labels))
        if number != 2:
            mask(folder / "manual_labels" / f"{name}.nii.gz", structures, labels)
        rows.append({"study_id": name, "Age": 60 + number, "Sex": "MF"[number % 2]})
    table(folder / "clinical_information.csv", rows)


def _nih(folder: Path, records: list[PatientRecord]) -> None:
    for number, record in enumerate(records):
        name = f"ABD_LYMPH_{number + 1:03d}"
        ct = to_working_axes(of(record, "venous"))
        write_series(folder / "CT Lymph Nodes" / name / "study" / "series", ct)
        nodes = to_working_axes(of(record, "nodes"))
        # Position and spacing in the file mean nothing, as in the data set.
        grid = Geometry(shape=nodes.geometry.shape, spacing=(1.0, 1.0, 1.0), origin=(7.0, 8.0, 9.0))
        path = folder / "MED_ABD_LYMPH_MASKS" / name / f"{name}_mask.nii.gz"
        path.parent.mkdir(parents=True)
        write_volume(path, Volume(array=nodes.array.astype(np.int16) * 3, geometry=grid))


LAYOUTS: Final[Mapping[str, Writer]] = {
    "totalsegmentator": _totalsegmentator,
    "pants": _pants,
    "curvas-pdacvi": _curvas,
    "msd-pancreas": _msd,
    "panorama": _panorama,
    "nih-lymph-nodes": _nih,
}


def write_series(folder: Path, ct: Volume) -> None:
    """Write a CT whose axes go to the left, back and top as a DICOM series."""
    folder.mkdir(parents=True)
    series, frame = generate_uid(), generate_uid()
    for k in range(ct.geometry.shape[2]):
        values = np.rint(ct.array[:, :, k]).astype(np.int16)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientID = "synthetic"
        dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = series, frame
        dataset.Rows, dataset.Columns = values.shape[1], values.shape[0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = 1
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "0", "HU"
        dataset.PixelSpacing = [repr(ct.geometry.spacing[1]), repr(ct.geometry.spacing[0])]
        dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        dataset.ImagePositionPatient = [f"{x:.6f}" for x in ct.geometry.world((0, 0, k))]
        dataset.PixelData = values.T.astype("<i2").tobytes()
        dataset.save_as(folder / f"IM{k:04d}", enforce_file_format=True)


@pytest.fixture
def unpacked(tmp_path: Path, cohort: Manifest) -> Callable[..., Path]:
    """Write a data set of some phantoms: `unpacked("msd-pancreas", patients=4)`; return its folder."""

    def write(name: str, *, patients: int = 3, first: int = 0, folder: str = "") -> Path:
        place = tmp_path / (folder or f"unpacked-{name}")
        place.mkdir()
        LAYOUTS[name](place, list(cohort.patients[first : first + patients]))
        return place

    return write


@pytest.fixture
def smaller() -> Callable[[str], Layout]:
    """Return the layout of a data set of the package that does not say how many patients it has."""

    def load(name: str) -> Layout:
        return load_dataset(name).model_copy(update={"patients": None})

    return load
