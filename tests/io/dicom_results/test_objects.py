"""Objects conform, lie on the frames of the CT voxel by voxel, and say what the tables say."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from tests.dicom_exports import CANARY, ct_volume, some_nodes, write_made_result, write_series

from lymphct.core.arrays import AnyArray
from lymphct.core.orientation import to_working_axes
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.io.images.reading import read_volume
from lymphct.nodes.measurement import long_axis

Objects = Callable[[Path, Path, Path], dict[str, Path]]
Errors = Callable[[Path], list[str]]


def oblique() -> AnyArray:
    tilt, turn = 0.2, 0.3
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    axes: AnyArray = about_z @ about_x
    return axes


AXES = {
    "as usual": np.eye(3),
    "prone": np.diag([-1.0, -1.0, 1.0]),
    "slices reversed": np.diag([1.0, -1.0, -1.0]),
    "oblique": oblique(),
}


def frames_by_slice(segmentation: Any, instances: list[str], number: int) -> AnyArray:
    """Return a segment [k, j, i], each frame fetched by the slice of the CT it was drawn on."""
    found: AnyArray = segmentation.get_pixels_by_source_instance(
        source_sop_instance_uids=instances, segment_numbers=[number], assert_missing_frames_are_empty=True
    )[..., 0]
    return found


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_every_object_conforms_and_lies_on_its_slices_voxel_by_voxel(
    tmp_path: Path, objects_of: Objects, errors_in: Errors, axes: AnyArray
) -> None:
    ct = ct_volume(axes=axes)
    instances = write_series(tmp_path / "ct", ct)
    # The result lies in other axes than the series, as one of a NIfTI file does.
    nodes = some_nodes(ct.geometry, 5)
    result = write_made_result(tmp_path / "result", to_working_axes(ct), to_working_axes(nodes))
    made = objects_of(result, tmp_path / "ct", tmp_path / "objects")
    assert set(made) == {"seg", "sr", "structures", "tumor", "attention"}
    assert [error for path in made.values() for error in errors_in(path)] == []

    seg = highdicom.seg.segread(made["seg"])
    labels = [label for label in np.unique(nodes.array).tolist() if label]
    assert seg.number_of_segments == len(labels) == 5
    for number, label in enumerate(labels, start=1):
        assert_array_equal(
            frames_by_slice(seg, instances, number),
            (nodes.array == label).transpose(2, 1, 0).astype(np.uint8),
        )
    for name in ("structures", "tumor"):
        drawn = np.zeros(ct.array.shape[::-1], np.uint8)
        labelmap = highdicom.seg.segread(made[name])
        assert labelmap.segmentation_type.value == "LABELMAP"
        for number in labelmap.segment_numbers:
            drawn[frames_by_slice(labelmap, instances, number) > 0] = number
        assert_array_equal(drawn, on(result, name, ct).transpose(2, 1, 0))


def on(result: Path, name: str, ct: Volume) -> AnyArray:
    """Return an image of a result on the axes of the CT, found by its positions alone."""
    image = read_volume(result / "seg" / f"{name}.nii.gz")
    corner = np.rint(image.geometry.index(ct.geometry.world((0, 0, 0)))).astype(int)
    steps = np.rint(image.geometry.index(ct.geometry.world(np.eye(3)))).astype(int) - corner
    where = corner + np.indices(ct.array.shape).reshape(3, -1).T @ steps
    values: AnyArray = image.array[tuple(where.T)].reshape(ct.array.shape)
    return values


@pytest.mark.parametrize("axes", [AXES["slices reversed"], AXES["oblique"]])
def test_the_attention_keeps_its_values_and_its_places(
    tmp_path: Path, objects_of: Objects, axes: AnyArray
) -> None:
    ct = ct_volume(axes=axes)
    instances = write_series(tmp_path / "ct", ct)
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 2))
    made = objects_of(result, tmp_path / "ct", tmp_path / "objects")
    found = dcmread(made["attention"])
    assert found.SOPClassUID == "1.2.840.10008.5.1.4.1.1.30"
    stored = np.frombuffer(found.FloatPixelData, "<f4").reshape(-1, found.Rows, found.Columns)
    back = np.zeros(ct.array.shape[::-1], np.float32)
    for frame, about in zip(stored, found.PerFrameFunctionalGroupsSequence, strict=True):
        source = about.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        k = instances.index(source)
        back[k] = frame
        place = [float(x) for x in about.PlanePositionSequence[0].ImagePositionPatient]
        assert np.allclose(place, ct.geometry.world((0, 0, k)), atol=1e-5)
    assert_array_equal(back, on(result, "attention", ct).transpose(2, 1, 0))


def test_a_probability_of_nodes_becomes_a_map_where_a_result_holds_one(
    tmp_path: Path, objects_of: Objects, errors_in: Errors, monkeypatch: pytest.MonkeyPatch
) -> None:
    ct = ct_volume()
    write_series(tmp_path / "ct", ct)
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 2))
    monkeypatch.setattr("lymphct.io.dicom_results.stored.is_current", lambda *_, **__: True)
    (result / "seg" / "node_probability.nii.gz").write_bytes(
        (result / "seg" / "attention.nii.gz").read_bytes()
    )
    made = objects_of(result, tmp_path / "ct", tmp_path / "objects")
    assert errors_in(made["node_probability"]) == []
    assert dcmread(made["node_probability"]).ContentLabel == "NODE_PROBABILITY"


def measured(group: Any) -> dict[str, float]:
    return {str(m.name.meaning): m.value for m in group.get_measurements()}


def said(group: Any) -> dict[str, str]:
    return {str(e.name.meaning): e.value.meaning for e in group.get_qualitative_evaluations()}


def test_the_report_says_of_each_node_what_the_table_says(tmp_path: Path, objects_of: Objects) -> None:
    ct = ct_volume(axes=oblique())
    write_series(tmp_path / "ct", ct)
    nodes = some_nodes(ct.geometry, 4)
    result = write_made_result(tmp_path / "result", ct, nodes)
    made = objects_of(result, tmp_path / "ct", tmp_path / "objects")
    with (result / "nodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    report, seg = highdicom.sr.srread(made["sr"]), highdicom.seg.segread(made["seg"])
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(rows) == 4
    for number, (row, group) in enumerate(zip(rows, groups, strict=True), start=1):
        assert measured(group) == {
            "Volume": float(row["volume_mm3"]),
            "Long Axis": pytest.approx(long_axis(nodes.array == int(row["node"]), ct.geometry), abs=1e-5),
            "Short Axis": float(row["short_axis_mm"]),
            "Attenuation Coefficient": float(row["hu_venous"]),
            "Predicted probability of being positive": float(row["probability"]),
        }
        words = said(group)
        assert words["Class of the lymph node, research use"] == f"predicted {row['class']}"
        assert words["Intended use"] == "Predicted; research use only, not a medical device"
        described = seg.get_segment_description(number)
        assert group.tracking_uid == described.tracking_uid
        assert group.tracking_identifier == described.tracking_id
        assert group.referenced_segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == number
        assert described.segment_label == f"Lymph node {row['node']}, predicted {row['class']}"
        assert described.segmented_property_type.value == "59441001"
    (patient,) = report.content.get_image_measurement_groups()
    assert measured(patient)["Predicted probability of lymph node metastasis"] == 0.31
    assert said(patient)["Predicted lymph node status, research use"].startswith("Predicted N-")
    assert said(patient)["Intended use"] in {
        "Models of synthetic phantoms: meaningless for patients",
        "Predicted; research use only, not a medical device",
    }
    device = report.content.get_observer_contexts(observer_type=codes.DCM.Device)
    attributes = device[0].observer_identifying_attributes
    assert attributes.name == "lymphct (predicted, research use)"
    assert attributes.serial_number == "ab" * 32
    assert {e.get("ManufacturerModelName") for e in report.ContributingEquipmentSequence} == {
        "Scanner 3",
        "lymphct phantom_tiny",
        "highdicom",
    }


def test_without_lymph_nodes_there_is_no_segmentation_and_the_report_says_so(
    tmp_path: Path, objects_of: Objects, errors_in: Errors
) -> None:
    ct = ct_volume()
    write_series(tmp_path / "ct", ct)
    none = some_nodes(ct.geometry, 0)
    for name, searched, words in (
        ("empty", True, "No lymph nodes found"),
        ("unsearched", False, "Lymph nodes were not searched"),
    ):
        result = write_made_result(tmp_path / name, ct, none, searched=searched)
        made = objects_of(result, tmp_path / "ct", tmp_path / f"{name}-objects")
        assert set(made) == ({"sr", "structures", "tumor", "attention"} if searched else {"sr"})
        assert errors_in(made["sr"]) == []
        report = highdicom.sr.srread(made["sr"])
        (patient,) = report.content.get_image_measurement_groups()
        assert report.content.get_volumetric_roi_measurement_groups() == []
        assert said(patient)["Lymph nodes, predicted, research use"] == words


def test_sixty_nodes_are_sixty_segments(tmp_path: Path, objects_of: Objects, errors_in: Errors) -> None:
    ct = ct_volume()
    instances = write_series(tmp_path / "ct", ct)
    nodes = some_nodes(ct.geometry, 60)
    result = write_made_result(tmp_path / "result", ct, nodes)
    made = objects_of(result, tmp_path / "ct", tmp_path / "objects")
    assert errors_in(made["seg"]) == errors_in(made["sr"]) == []
    seg = highdicom.seg.segread(made["seg"])
    assert seg.number_of_segments == 60
    together = sum(
        label * frames_by_slice(seg, instances, number).astype(int)
        for number, label in enumerate(sorted(set(np.unique(nodes.array).tolist()) - {0}), start=1)
    )
    assert_array_equal(together, nodes.array.transpose(2, 1, 0))
    groups = dcmread(made["sr"]).ContentSequence[-1].ContentSequence
    assert sum(group.ContentTemplateSequence[0].TemplateIdentifier == "1411" for group in groups) == 60


def test_the_same_result_gives_the_same_bytes_and_no_moment_of_the_clock(
    tmp_path: Path, objects_of: Objects
) -> None:
    ct = ct_volume()
    write_series(tmp_path / "ct", ct)
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 2))
    first = objects_of(result, tmp_path / "ct", tmp_path / "first")
    second = objects_of(result, tmp_path / "ct", tmp_path / "second")
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes(), name
        found = dcmread(path)
        assert (found.ContentDate, found.ContentTime) == ("20200101", "101112.5")
        assert "InstanceCreationDate" not in found
    uids = [dcmread(path).SOPInstanceUID for path in first.values()]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_the_objects_belong_to_the_patient_and_study_of_the_series(
    tmp_path: Path, objects_of: Objects
) -> None:
    ct = ct_volume()
    write_series(tmp_path / "ct", ct)
    source = dcmread(next((tmp_path / "ct").iterdir()))
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 1))
    made = objects_of(result, tmp_path / "ct", tmp_path / "objects")
    for path in made.values():
        found = dcmread(path)
        for keyword in (
            "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
            "AccessionNumber", "ReferringPhysicianName",
        ):  # fmt: skip
            assert str(found[keyword].value) == str(source[keyword].value), keyword
        assert found.get("FrameOfReferenceUID", source.FrameOfReferenceUID) == source.FrameOfReferenceUID
        assert found.SeriesInstanceUID != source.SeriesInstanceUID
    others = [path for path in result.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in path.read_bytes() for path in others)


def test_poor_tags_are_left_out_and_the_objects_still_conform(
    tmp_path: Path, objects_of: Objects, errors_in: Errors
) -> None:
    def spoil(made: Dataset, _: int) -> None:
        made.PatientSex = "X"
        for keyword in (
            "PatientBirthDate",
            "StudyTime",
            "AccessionNumber",
            "ReferringPhysicianName",
            "StudyID",
        ):
            del made[keyword]
        for keyword in ("AcquisitionDate", "AcquisitionTime", "Manufacturer", "PatientAge"):
            del made[keyword]
        made.PatientIdentityRemoved = "YES"

    ct = ct_volume()
    write_series(tmp_path / "ct", ct, edit=spoil)
    result = write_made_result(tmp_path / "result", ct, some_nodes(ct.geometry, 1))
    made = objects_of(result, tmp_path / "ct", tmp_path / "objects")
    assert [error for path in made.values() for error in errors_in(path)] == []
    assert dcmread(made["sr"]).PatientSex == ""
    assert Structure.AORTA in highdicom.seg.segread(made["structures"]).segment_numbers
