"""The header of one DICOM file; whole series are read in test_dicom."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.io.images.dicom.files import scan_file
from lymphct.io.images.dicom.pixels import read_pixels
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.limits import DicomLimits

STORED = np.arange(12, dtype=np.uint16).reshape(3, 4)
"""Three rows of four columns."""


def written(folder: Path, **changes: object) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    values: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "CT",
        "PatientID": "secret",
        "SeriesInstanceUID": "1.2.3",
        "ImagePositionPatient": [-10.0, 5.0, 40.0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.7, 0.68],
        "Rows": 3,
        "Columns": 4,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleSlope": 2,
        "RescaleIntercept": -1024,
        "PixelData": STORED.tobytes(),
    }
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    path = folder / "slice.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def header_of(path: Path) -> SliceHeader:
    found = scan_file(path, 1, DicomLimits())
    assert not isinstance(found, str)
    (header,) = found
    return header


def volume_of(header: SliceHeader) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return read_pixels([header], Geometry(shape=(4, 3, 1), spacing=(0.68, 0.7, 1.0)), DicomLimits()).array


def test_a_slice_says_its_size_as_columns_and_rows_and_keeps_no_name(tmp_path: Path) -> None:
    header = header_of(written(tmp_path))
    assert header.shape == (4, 3)
    assert header.spacing == (0.68, 0.7)
    assert header.position == (-10.0, 5.0, 40.0)
    assert (header.slope, header.intercept, header.bits) == (2.0, -1024.0, (16, 16))
    assert "secret" not in repr(header)


def test_what_lies_beside_the_slices_is_named_by_its_kind(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    assert scan_file(text, 1, DicomLimits()) == "no DICOM"
    other = written(tmp_path, Modality="MR", SOPClassUID=MRImageStorage)
    assert scan_file(other, 1, DicomLimits()) == "other object"
    assert scan_file(written(tmp_path, ImageType=["ORIGINAL", "LOCALIZER"]), 1, DicomLimits()) == (
        "other object"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Modality": None}, "states no modality"),
        ({"NumberOfFrames": 3}, "several frames in a file of single-frame CT"),
        ({"RescaleType": "US"}, "not HU"),
        ({"PhotometricInterpretation": "RGB"}, "not one gray value each"),
        ({"Rows": 0}, "no number of rows and columns"),
        ({"PixelSpacing": [0.7, 0.0]}, "zero or negative"),
        ({"RescaleSlope": 0}, "slope is zero"),
    ],
)
def test_a_slice_that_cannot_be_used_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        scan_file(written(tmp_path, **changes), 1, DicomLimits())


def test_more_elements_than_the_limit_are_damage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 3 data elements"):
        scan_file(written(tmp_path), 1, DicomLimits(elements=3))


def test_pixels_become_hu_with_columns_first_and_padding_becomes_air(tmp_path: Path) -> None:
    assert_array_equal(volume_of(header_of(written(tmp_path)))[:, :, 0], 2 * STORED.T.astype(int) - 1024)
    padded = volume_of(header_of(written(tmp_path, PixelPaddingValue=5)))
    assert padded[1, 1, 0] == -1024
    assert padded.dtype == np.int32


def test_a_rescale_that_is_no_whole_number_gives_single_precision(tmp_path: Path) -> None:
    values = volume_of(header_of(written(tmp_path, RescaleSlope=0.5)))
    assert values.dtype == np.float32
    assert values[3, 0, 0] == 0.5 * 3 - 1024


def test_a_file_that_changed_since_its_header_was_read_is_refused_by_its_place(tmp_path: Path) -> None:
    path = written(tmp_path)
    header = header_of(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match=r"file 1 by name: .*changed while it was being read"):
        volume_of(header)


def test_pixels_shorter_than_the_header_says_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"truncated \(expected 24 bytes, got 20\)"):
        volume_of(header_of(written(tmp_path, PixelData=STORED.tobytes()[:20])))
