"""Makers of image files: NIfTI with any header field broken, DICOM series with any element broken."""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lymphct.core.arrays import AnyArray

SPACING = (0.68, 0.68, 0.8)


@pytest.fixture
def body() -> AnyArray:
    """A small CT: air, a body with organs, bone; HU, 48×40×24."""
    rng = np.random.default_rng(5)
    i, j, _ = np.indices((48, 40, 24))
    inside = ((i - 24) / 20) ** 2 + ((j - 20) / 16) ** 2 < 1
    spine = (i - 24) ** 2 + (j - 31) ** 2 < 9
    values = np.where(inside, 40, -1000) + rng.normal(0, 10, inside.shape)
    values[spine] = 500
    hounsfield: AnyArray = np.rint(values).astype(np.int16)
    return hounsfield


@pytest.fixture
def make_nifti(tmp_path: Path) -> Callable[..., Path]:
    """Write a NIfTI file: `make_nifti(array, affine=RAS, name=…, extra=bytes, **header fields)`."""

    def make(
        array: AnyArray,
        *,
        affine: AnyArray | None = None,
        name: str = "image.nii.gz",
        extra: bytes = b"",
        version: int = 1,
        **fields: Any,
    ) -> Path:
        order = array.dtype.byteorder if array.dtype.byteorder in "<>" else "<"
        header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(endianness=order)
        header.set_data_dtype(array.dtype)
        header.set_data_shape(array.shape)
        matrix = np.diag([*(-s for s in (4.0, 4.5)), 5.0, 1.0]) if affine is None else affine
        header.set_sform(matrix, code=1)
        if "no_qform" in fields:
            fields.pop("no_qform")
            header["pixdim"][1:4] = np.linalg.norm(matrix[:3, :3], axis=0)
        else:
            header.set_qform(matrix, code=1)
        offset = 352 if version == 1 else 544
        header["vox_offset"] = offset
        header["scl_slope"] = 1.0
        for field, value in fields.items():
            if isinstance(value, dict):
                for index, part in value.items():
                    header[field][index] = part
            else:
                header[field] = value
        content = header.binaryblock.ljust(offset, b"\0") + array.tobytes(order="F") + extra
        path = tmp_path / name
        path.write_bytes(gzip.compress(content, 1, mtime=0) if name.endswith(".gz") else content)
        return path

    return make


@pytest.fixture
def make_series(tmp_path: Path) -> Callable[..., Path]:
    """Write a DICOM series of an array [i, j, k] of HU into a folder; `edit(dataset, k)` breaks a slice."""

    def make(
        array: AnyArray,
        *,
        name: str = "series",
        axes: AnyArray | None = None,
        spacing: tuple[float, float, float] = (4.0, 4.5, 5.0),
        edit: Callable[[Dataset, int], None] | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        directions = np.eye(3) if axes is None else axes
        uids = {"series": generate_uid(), "frame": generate_uid()}
        # Names in random order: they say nothing about the place of a slice.
        names = np.random.default_rng(3).permutation(array.shape[2])
        for k in range(array.shape[2]):
            dataset = _slice(array[:, :, k], uids)
            dataset.PixelSpacing = [repr(spacing[1]), repr(spacing[0])]
            dataset.ImageOrientationPatient = [f"{v:.9f}" for v in directions[:, :2].T.reshape(-1)]
            place = np.array([-90.0, 11.0, -300.0]) + directions[:, 2] * spacing[2] * k
            dataset.ImagePositionPatient = [f"{v:.6f}" for v in place]
            if edit:
                edit(dataset, k)
            dataset.save_as(folder / f"IM{names[k]:04d}", enforce_file_format=True)
        return folder

    return make


def _slice(values: AnyArray, uids: Mapping[str, str]) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientID = "CANARY-7"
    dataset.PatientName = "CANARY^NAME"
    dataset.SeriesInstanceUID = uids["series"]
    dataset.FrameOfReferenceUID = uids["frame"]
    dataset.InstanceNumber = 1
    dataset.Rows, dataset.Columns = values.shape[1], values.shape[0]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "-1024", "HU"
    dataset.PixelData = (values.astype(np.int16) + 1024).T.astype("<i2").tobytes()
    return dataset
