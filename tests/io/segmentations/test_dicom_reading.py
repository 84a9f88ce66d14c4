"""DICOM segmentations as other programs write them come back voxel for voxel, or are refused."""

from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import SegmentationTypeValues
from numpy.testing import assert_array_equal
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from tests.dicom_exports import ct_volume, write_series
from tests.segmentation_files import dicom_seg

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.terms import Phase
from lymphct.io.images.acquired import CT
from lymphct.io.images.reading import read_ct
from lymphct.io.segmentations.dicom_reading import read_dicom_segmentation

TURNED = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series") / "ct"
    write_series(folder, ct_volume(axes=TURNED))
    return folder


@pytest.fixture(scope="module")
def ct(series: Path) -> CT:
    return read_ct(series, phase=Phase.VENOUS)


@pytest.fixture(scope="module")
def written(series: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentation of two segments, for all who break it."""
    path = tmp_path_factory.mktemp("seg") / "a.dcm"
    dicom_seg(series, some_masks(), ["a", "b"], SegmentationTypeValues.BINARY).save_as(path)
    return path


def some_masks() -> AnyArray:
    masks = np.zeros((2, 48, 40, 24), dtype=np.uint8)
    masks[0, 10:14, 20:23, 3:5] = 1
    masks[1, 30, 5:9, 20] = 1
    return masks


@pytest.mark.parametrize("kind", [SegmentationTypeValues.BINARY, SegmentationTypeValues.LABELMAP])
@pytest.mark.parametrize("omitted", [True, False])
def test_segments_come_back_voxel_for_voxel(
    tmp_path: Path, series: Path, ct: CT, kind: SegmentationTypeValues, *, omitted: bool
) -> None:
    made = dicom_seg(series, some_masks(), ["Lymph node 4", "new"], kind, omit_empty_frames=omitted)
    made.save_as(tmp_path / "a.dcm")
    found = read_dicom_segmentation(tmp_path / "a.dcm", ct)
    assert [segment.name for segment in found.segments] == ["Lymph node 4", "new"]
    assert found.segments[0].terminology is not None
    assert found.segments[0].terminology.kind[:2] == ("SCT", "85756007")
    for segment, mask in zip(found.segments, some_masks(), strict=True):
        assert_array_equal(found.mask(segment), mask == 1)


def test_overlaps_are_layers(tmp_path: Path, series: Path, ct: CT) -> None:
    masks = some_masks()
    masks[1, 12:20, 20:22, 4] = 1
    dicom_seg(series, masks, ["a", "b"], SegmentationTypeValues.BINARY).save_as(tmp_path / "a.dcm")
    found = read_dicom_segmentation(tmp_path / "a.dcm", ct)
    for segment, mask in zip(found.segments, masks, strict=True):
        assert_array_equal(found.mask(segment), mask == 1)


def test_the_segmentation_of_somebody_else_or_of_another_image_is_refused(
    tmp_path: Path, written: Path, ct: CT
) -> None:
    made = dcmread(written)
    made.PatientID = "other"
    made.save_as(tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"a\.dcm: .*another patient.* \[E_PATIENT\]"):
        read_dicom_segmentation(tmp_path / "a.dcm", ct)
    made = dcmread(written)
    made.FrameOfReferenceUID = generate_uid()
    made.save_as(tmp_path / "b.dcm")
    with pytest.raises(InputError, match="another image"):
        read_dicom_segmentation(tmp_path / "b.dcm", ct)


def test_frames_beside_the_voxels_are_refused(tmp_path: Path, written: Path, ct: CT) -> None:
    made = dcmread(written)
    frame = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    x, y, z = frame.ImagePositionPatient
    frame.ImagePositionPatient = [x, float(y) + 1.0, z]
    made.save_as(tmp_path / "a.dcm")
    with pytest.raises(GeometryMismatchError, match="do not lie on the voxels of the CT"):
        read_dicom_segmentation(tmp_path / "a.dcm", ct)


def break_it(made: Dataset, how: str) -> None:
    if how == "fractions":
        made.SegmentationType = "FRACTIONAL"
    elif how == "truncated":
        made.PixelData = made.PixelData[:4]
    elif how == "unlisted":
        del made.SegmentSequence[1]
    elif how == "frames":
        made.NumberOfFrames = 3_000_000
    elif how == "place":
        del made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    elif how == "owner":
        del made.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fractions", "one of fractions"),
        ("truncated", "the pixels are truncated"),
        ("unlisted", "which is not listed"),
        ("frames", "too large"),
        ("place", "does not say where it lies"),
        ("owner", "which segment it belongs to"),
    ],
)
def test_a_damaged_segmentation_is_refused(
    tmp_path: Path, written: Path, ct: CT, how: str, message: str
) -> None:
    made = dcmread(written)
    break_it(made, how)
    made.save_as(tmp_path / "a.dcm")
    with pytest.raises(InputError, match=message):
        read_dicom_segmentation(tmp_path / "a.dcm", ct)


def test_what_is_no_segmentation_is_refused(tmp_path: Path, series: Path, ct: CT) -> None:
    with pytest.raises(InputError, match="no segmentation"):
        read_dicom_segmentation(next(series.iterdir()), ct)
    (tmp_path / "x.dcm").write_bytes(b"x" * 200)
    with pytest.raises(InputError, match="not a DICOM file"):
        read_dicom_segmentation(tmp_path / "x.dcm", ct)
