"""An export is what a reader needs, and never writes over what a reader saved."""

import json
import shutil
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import SimpleITK
from numpy.testing import assert_allclose, assert_array_equal
from tests.dicom_exports import some_nodes, write_made_result
from tests.patients.annotation.conftest import Loop

from lymphct.core.errors import InputError, UsageError
from lymphct.io.images.reading import read_volume, write_volume
from lymphct.io.segmentations.slicer_reading import read_segmentation
from lymphct.patients.annotation.exporting import Export, edited_files
from lymphct.patients.annotation.handing_out import hand_out


def test_every_mask_lies_on_the_lattice_of_the_ct_for_another_reader(loop: Loop) -> None:
    ct = SimpleITK.ReadImage(str(loop.readers / "p0" / "venous.nii.gz"))
    for name in ("nodes", "structures", "tumor"):
        image = SimpleITK.ReadImage(str(loop.readers / "p0" / f"{name}.seg.nrrd"))
        assert image.GetSize() == ct.GetSize()
        assert_allclose(image.GetOrigin(), ct.GetOrigin(), atol=1e-4)
        assert_allclose(image.GetSpacing(), ct.GetSpacing(), rtol=1e-6)
        assert_allclose(image.GetDirection(), ct.GetDirection(), atol=1e-6)
    original = read_volume(loop.cohort.patients[0].venous).array
    assert_array_equal(SimpleITK.GetArrayFromImage(ct).transpose(), np.maximum(original, -1024))


def test_nodes_keep_their_numbers_and_the_least_sure_stands_first(loop: Loop) -> None:
    instances = read_volume(loop.results / "p0" / "seg" / "node_instances.nii.gz")
    found = read_segmentation(loop.readers / "p0" / "nodes.seg.nrrd", instances.geometry)
    assert_array_equal(found.layers[0], instances.array)
    assert [segment.identifier for segment in found.segments] == ["node_8", "node_6", "node_4", "node_2"]
    assert found.segments[0].name == "node 8 negative 16"
    assert found.segments[0].tags["lymphct.probability"] == "0.008000"


def test_the_files_of_the_scene_are_there(loop: Loop) -> None:
    root = ET.fromstring((loop.readers / "p0" / "scene.mrml").read_bytes())  # noqa: S314 - our own
    files = [node.attrib["fileName"] for node in root if "fileName" in node.attrib]
    assert sorted(files) == ["nodes.seg.nrrd", "structures.seg.nrrd", "tumor.seg.nrrd", "venous.nii.gz"]
    assert all((loop.readers / "p0" / file).is_file() for file in files)
    assert "Save" in (loop.readers / "p0" / "README.txt").read_text()


def test_an_export_twice_gives_the_same_and_keeps_what_a_reader_saved(loop: Loop) -> None:
    request = Export(out=loop.readers, results=loop.results)
    before = {path: path.read_bytes() for path in loop.readers.rglob("*") if path.is_file()}
    hand_out(loop.cohort, request)
    assert {path: path.read_bytes() for path in loop.readers.rglob("*") if path.is_file()} == before
    mine = loop.readers / "p0" / "nodes.seg.nrrd"
    mine.write_bytes(b"mine")
    (loop.readers / "p1" / "tumor.seg.nrrd").unlink()
    done = hand_out(loop.cohort, request)
    assert mine.read_bytes() == b"mine"
    assert edited_files(loop.readers / "p0") == ("nodes.seg.nrrd",)
    assert done.outcome.results["p0"]["edited"] == ["nodes.seg.nrrd"]
    assert (loop.readers / "p1" / "tumor.seg.nrrd").is_file()


def test_another_result_replaces_what_nobody_saved_and_nothing_else(loop: Loop) -> None:
    for name in ("p0", "p1"):
        shutil.rmtree(loop.results / name)
        nodes = some_nodes(loop.ct.geometry, 1, seed=9)
        venous = {record.patient_id: record.venous for record in loop.cohort.patients}[name]
        write_made_result(loop.results / name, read_volume(venous), nodes, venous=venous)
    (loop.readers / "p0" / "tumor.seg.nrrd").write_bytes(b"mine")
    done = hand_out(loop.cohort, Export(out=loop.readers, results=loop.results))
    assert "tumor.seg.nrrd was corrected after an older export" in str(done.outcome.failures["p0"])
    assert (loop.readers / "p0" / "tumor.seg.nrrd").read_bytes() == b"mine"
    found = read_segmentation(loop.readers / "p1" / "nodes.seg.nrrd", loop.ct.geometry)
    assert [segment.identifier for segment in found.segments] == ["node_2"]


def test_only_the_first_are_exported_and_the_worklist_has_all(loop: Loop) -> None:
    shutil.rmtree(loop.readers)
    done = hand_out(loop.cohort, Export(out=loop.readers, results=loop.results), top=1)
    first = done.order[0].patient_id
    assert sorted(path.name for path in loop.readers.iterdir() if path.is_dir()) == [first]
    assert len((loop.readers / "worklist.csv").read_text().splitlines()) == 4


def test_a_patient_without_a_result_or_of_another_image_fails_alone(loop: Loop) -> None:
    shutil.rmtree(loop.readers)
    (loop.results / "p0" / "seg" / "tumor.nii.gz").write_bytes(b"damaged")
    write_volume(loop.cohort.patients[1].venous, loop.ct.with_array(loop.ct.array + 50))
    done = hand_out(loop.cohort, Export(out=loop.readers, results=loop.results))
    assert set(done.outcome.failures) == {"p0", "p1"}
    assert "the result is damaged" in str(done.outcome.failures["p0"])
    assert "not the image the result was made from" in str(done.outcome.failures["p1"])
    lines = (loop.readers / "failures.jsonl").read_text().splitlines()
    assert {json.loads(line)["patient_id"] for line in lines} == {"p0", "p1"}


def test_no_results_at_all_and_results_as_the_target_are_refused(loop: Loop) -> None:
    with pytest.raises(UsageError, match="--out is the folder of the results"):
        hand_out(loop.cohort, Export(out=loop.results, results=loop.results))
    with pytest.raises(InputError, match="no patient has a result in nowhere"):
        hand_out(loop.cohort, Export(out=loop.readers, results=loop.results / "nowhere"))
