"""The command says what is sure, what is doubtful and why, and ends with the code that a script needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.io.images.dicom.series_child import _answer
from lymphct.io.images.dicom.series_worker import SeriesWorker

Maker = Callable[..., Path]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at series in this process: starting another costs seconds."""
    monkeypatch.setattr(SeriesWorker, "_answer", lambda _, line: _answer(json.loads(line)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset  # noqa: PLC0415 - only where files are made
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid  # noqa: PLC0415

    place = tmp_path / "export"
    place.mkdir()
    values = np.random.default_rng(0).integers(-1000, 200, (48, 40)).astype("<i2")
    series = generate_uid()
    for k in range(24):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.Modality, dataset.PatientID, dataset.SeriesInstanceUID = "CT", "7", series
        dataset.SeriesDescription = "=ABD PV"
        dataset.ImagePositionPatient = [0, 0, 5.0 * k]
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [4.5, 4.0]
        dataset.Rows, dataset.Columns = 40, 48
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = 1
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "0"
        dataset.PixelData = values.T.tobytes()
        dataset.save_as(place / f"{k}", enforce_file_format=True)
    return place


def test_doubts_are_told_in_a_table(lymphct: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "cohort"
    done = lymphct("import", folder, "--out", out)
    assert done.code == 0, done.err
    assert "24 files, 1 series, 1 patient: 0 sure, 1 doubtful" in done.out
    assert "its HU show no phase clearly (aorta not found" in done.out
    assert "  series      slices    mm  aorta  liver kidney  proposed  description" in done.out
    assert "nobody was taken" in done.out
    assert (tmp_path / "cohort.key").stat().st_mode & 0o777 == 0o600
    assert "'=ABD PV" in (out / "series.csv").read_text()


def test_whoever_is_missing_after_accept_is_told_by_the_exit_code(
    lymphct: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    done = lymphct("import", folder, "--out", tmp_path / "cohort", "--accept", "--json")
    assert done.code == 4
    assert json.loads(done.out)["patients"]["count"] == 1
    assert "1 of 1 patient is not in the manifest" in done.err
