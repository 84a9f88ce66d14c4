"""A result gets its DICOM objects with the prediction or later, whole or not at all, of its series alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from tests.dicom_exports import CANARY, ct_volume, some_nodes, write_made_result, write_series

from lymphct.config import Config
from lymphct.core.errors import InputError, OutputInUseError
from lymphct.core.orientation import to_working_axes
from lymphct.io.images.reading import write_nodes, write_volume
from lymphct.io.manifest import Manifest, read_manifest, write_manifest
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.io.results.store import is_current, require_result_place
from lymphct.patients.foresight.foreseeing import foresee_prediction
from lymphct.patients.predicting.dicom_objects import DicomObjects, write_dicom
from lymphct.patients.predicting.prediction import PredictionRequest, predict_cohort, predict_single
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A result made from the series beside it, `ct`."""
    ct = ct_volume()
    write_series(tmp_path / "ct", ct)
    nodes = some_nodes(ct.geometry, 2)
    return write_made_result(tmp_path / "result", ct, nodes, venous=tmp_path / "ct")


def test_the_objects_stand_in_the_result_and_are_made_once(result: Path, tmp_path: Path) -> None:
    folder = write_dicom(result, tmp_path / "ct")
    assert folder == result / "dicom"
    names = {path.name for path in folder.iterdir()}
    assert names == {"seg.dcm", "sr.dcm", "structures.dcm", "tumor.dcm", "attention.dcm", "DONE.json"}
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    write_dicom(result, tmp_path / "ct")
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    assert is_current(result, verify=True)
    require_result_place(result)  # a prediction may replace it, objects and all


def test_a_file_of_the_user_among_the_objects_is_never_overwritten(result: Path, tmp_path: Path) -> None:
    folder = write_dicom(result, tmp_path / "ct")
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(OutputInUseError, match=r"not ours, such as dicom/"):
        require_result_place(result)
    (folder / "mine.txt").unlink()
    (result / ".dicom.staging-1").mkdir()
    (result / ".dicom.staging-1" / "seg.dcm").write_bytes(b"half of it")  # of a run that was killed
    require_result_place(result)


def test_a_failed_write_leaves_nothing(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        msg = "no space left"
        raise OSError(28, msg)

    monkeypatch.setattr("lymphct.io.dicom_results.writing.structured_report", full)
    before = sorted(path.name for path in result.iterdir())
    with pytest.raises(Exception, match="no space"):
        write_dicom(result, tmp_path / "ct")
    assert sorted(path.name for path in result.iterdir()) == before


def test_a_result_of_the_nifti_file_goes_with_the_series_it_was_converted_from(tmp_path: Path) -> None:
    ct = ct_volume(axes=np.diag([1.0, -1.0, -1.0]))
    write_series(tmp_path / "ct", ct)
    converted = to_working_axes(ct)
    write_volume(tmp_path / "venous.nii.gz", converted)
    nodes = to_working_axes(some_nodes(ct.geometry, 2))
    result = write_made_result(tmp_path / "result", converted, nodes, venous=tmp_path / "venous.nii.gz")
    assert (write_dicom(result, tmp_path / "ct") / "seg.dcm").is_file()


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (2, r"not the image the result was made from: lymph node \d+ has .* HU here"),
        (0, "made from other files"),
    ],
)
def test_the_series_of_somebody_else_is_refused(tmp_path: Path, count: int, words: str) -> None:
    ct = ct_volume()
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, count))
    other = ct.with_array(np.where(ct.array > -500, ct.array + 7, ct.array).astype(np.int16))
    write_series(tmp_path / "other", other)
    with pytest.raises(InputError, match=words) as refused:
        write_dicom(result, tmp_path / "other")
    assert refused.value.code == "E_SERIES"
    assert not (result / "dicom").exists()


def test_a_series_of_another_grid_is_refused(tmp_path: Path) -> None:
    ct = ct_volume()
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 2))
    write_series(tmp_path / "other", ct_volume((48, 40, 23)))
    with pytest.raises(InputError, match="node_instances of the result"):
        write_dicom(result, tmp_path / "other")


@pytest.fixture
def pair(tmp_path: Path) -> Manifest:
    """Two patients: the venous phase of the first is a DICOM series, that of the second a NIfTI file."""
    images = tmp_path / "images"
    images.mkdir()
    patient = generate_patient(PhantomSettings(size="nano", phase_shift=False), seed=3, index=0)
    write_volume(images / "venous.nii.gz", patient.venous)
    write_volume(images / "structures.nii.gz", patient.structures)
    write_volume(images / "tumor.nii.gz", patient.tumor)
    write_nodes(images / "nodes.nii.gz", patient.nodes)
    write_series(images / "series", to_working_axes(patient.venous))
    masks = {name: images / f"{name}.nii.gz" for name in ("structures", "tumor", "nodes")}
    rows = [
        {"patient_id": "first", "venous": images / "series", **masks},
        {"patient_id": "second", "venous": images / "venous.nii.gz", **masks},
    ]
    write_manifest(images / "cohort.csv", rows)
    return read_manifest(images / "cohort.csv")


def request_of(*, with_objects: bool) -> PredictionRequest:
    return PredictionRequest(
        bundle=shipped_bundle_path(),
        config=Config(),
        registration="none",
        device="cpu",
        given=("structures", "tumor", "nodes"),
        afterwards=DicomObjects() if with_objects else None,
    )


def test_a_cohort_is_predicted_into_objects_and_who_has_no_series_fails_alone(
    pair: Manifest, tmp_path: Path
) -> None:
    request, out = request_of(with_objects=True), tmp_path / "out"
    problems = foresee_prediction(pair, request, out).problems
    assert [(p.patient, p.code, p.stops) for p in problems] == [("second", "E_NO_DICOM", False)]
    outcome = predict_cohort(pair, request, out)
    assert {name: error.code for name, error in outcome.failures.items()} == {"second": "E_NO_DICOM"}
    assert not (out / "second").exists()
    made = dcmread(out / "first" / "dicom" / "seg.dcm")
    assert made.PatientID == f"{CANARY}-7"
    assert {segment.SegmentAlgorithmType for segment in made.SegmentSequence} == {"MANUAL"}
    assert all("drawn" in segment.SegmentLabel for segment in made.SegmentSequence)
    others = [path for path in out.rglob("*") if path.is_file() and path.suffix != ".dcm"]
    assert not any(CANARY.encode() in path.read_bytes() for path in others)
    # The objects are a result of their own: the prediction is the same with and without them.
    plain = predict_single(pair.patients[0], request_of(with_objects=False), out / "first")
    assert plain == json.loads((out / "first" / "result.json").read_text())
    assert (out / "first" / "dicom" / "sr.dcm").is_file()


def test_a_file_that_is_no_series_stops_one_patient_before_the_work_begins(
    pair: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("lymphct.patients.predicting.prediction._predict_into", never)
    alone, out = replace(pair, patients=pair.patients[1:]), tmp_path / "out"
    (problem,) = foresee_prediction(alone, request_of(with_objects=True), out, single=True).stopping
    assert problem.code == "E_NO_DICOM"
    with pytest.raises(InputError, match="no DICOM series"):
        predict_single(alone.patients[0], request_of(with_objects=True), out)
    assert not out.exists()
