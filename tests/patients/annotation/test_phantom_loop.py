"""A phantom goes out, is corrected and comes back as what trainings read; so does a DICOM series by SEG."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import SegmentationTypeValues
from numpy.testing import assert_array_equal
from scipy import ndimage
from tests.dicom_exports import ct_volume, some_nodes, write_made_result, write_series
from tests.segmentation_files import dicom_seg, named, slicer_file

from lymphct.core.errors import InputError
from lymphct.core.terms import NodeClass, Phase, Structure
from lymphct.io.images.reading import read_ct, read_labels, read_nodes, read_volume
from lymphct.io.manifest import Manifest, read_manifest, write_manifest
from lymphct.patients.annotation.corrected_cohort import read_log, take_back
from lymphct.patients.annotation.exporting import Export
from lymphct.patients.annotation.handing_out import hand_out
from lymphct.patients.annotation.taking_back import TakeBack
from lymphct.patients.reading import read_patient


@pytest.mark.slow
def test_corrected_structures_of_a_phantom_are_what_trainings_read(tmp_path: Path, cohort: Manifest) -> None:
    record = cohort.patients[0]
    assert record.structures is not None
    ct = read_ct(record.venous, phase=Phase.VENOUS).volume
    structures = read_labels(record.structures, grid=ct.geometry)
    nodes = read_nodes(record.nodes or Path(), ct.geometry).instances
    name = record.patient_id
    write_made_result(tmp_path / "results" / name, ct, nodes, venous=record.venous, structures=structures)
    one = replace(cohort, patients=(record,))
    hand_out(one, Export(out=tmp_path / "readers", results=tmp_path / "results"))

    drawn = structures.array.copy()
    grown = ndimage.binary_dilation(drawn == Structure.PANCREAS) & (drawn == 0)
    drawn[grown] = Structure.PANCREAS
    lost = drawn == Structure.GALLBLADDER
    drawn[lost] = 0
    present = [Structure(number) for number in np.unique(drawn).tolist() if number]
    slicer_file(
        tmp_path / "readers" / name / "structures.seg.nrrd",
        [drawn],
        ct.geometry,
        [named(structure.label, structure.title, int(structure)) for structure in present],
        order=(1, 0, 2),
    )
    taken = take_back(one, TakeBack(source=tmp_path / "readers", out=tmp_path / "fixed", reader="AB"))
    (corrected,) = read_manifest(taken.manifest).patients
    patient = read_patient(corrected)
    assert patient.structures is not None
    assert_array_equal(patient.structures.array, drawn)
    assert patient.labelled == tuple(present)
    assert patient.nodes is not None
    assert len(patient.nodes.nodes) == len(read_nodes(record.nodes or Path()).nodes)
    first, second = read_log(tmp_path / "fixed" / "annotations.jsonl")
    assert (first["structure"], first["change"], first["voxels_added"]) == (
        "pancreas",
        "shape",
        int(grown.sum()),
    )
    assert (second["structure"], second["change"], second["voxels_removed"]) == (
        "gallbladder",
        "removed",
        int(lost.sum()),
    )


@pytest.fixture(scope="module")
def dicom_loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM patient handed out with its nodes as SEG."""
    folder = tmp_path_factory.mktemp("ohif")
    ct = ct_volume()
    write_series(folder / "ct", ct)
    write_made_result(folder / "results" / "p0", ct, some_nodes(ct.geometry, 2, seed=4), venous=folder / "ct")
    write_manifest(folder / "cohort.csv", [{"patient_id": "p0", "venous": folder / "ct"}])
    request = Export(out=folder / "readers", results=folder / "results", dicom=True)
    hand_out(read_manifest(folder / "cohort.csv"), request)
    return folder


def test_a_segmentation_of_ohif_comes_back_and_keeps_stations_it_cannot_show(
    dicom_loop: Path, tmp_path: Path
) -> None:
    cohort = read_manifest(dicom_loop / "cohort.csv")
    readers = dicom_loop / "readers"
    assert (readers / "p0" / "nodes.dcm").read_bytes() == (
        dicom_loop / "results" / "p0" / "dicom" / "seg.dcm"
    ).read_bytes()
    request = TakeBack(source=readers, out=tmp_path / "fixed", reader="AB")
    with pytest.raises(InputError, match="nothing was corrected"):
        take_back(cohort, request)

    found = read_volume(dicom_loop / "results" / "p0" / "seg" / "node_instances.nii.gz").array
    masks = np.stack([found == 2, found == 4, np.zeros_like(found, dtype=bool)]).astype(np.uint8)
    masks[2, 22:25, 18:21, 12:14] = 1
    masks[2][found > 0] = 0
    masks[0, :, :, 23][tuple(np.argwhere(masks[0].any(axis=2))[0])] = 1
    names = ["Lymph node 2, predicted negative", "Lymph node 4, predicted negative", "positive 9"]
    seg = dicom_seg(dicom_loop / "ct", masks, names, SegmentationTypeValues.BINARY)
    seg.save_as(readers / "p0" / "from-ohif.dcm")
    taken = take_back(cohort, request)
    nodes = read_nodes(read_manifest(taken.manifest).patients[0].nodes or Path())
    for number, mask in zip((2, 4, 5), masks, strict=True):
        assert_array_equal(nodes.instances.array == number, mask == 1)
    told = [(node.node_class, node.station) for node in nodes.nodes]
    assert told == [(NodeClass.NEGATIVE, "16"), (NodeClass.NEGATIVE, "16"), (NodeClass.POSITIVE, "9")]
    lines = read_log(tmp_path / "fixed" / "annotations.jsonl")
    assert [(line["node"], line["change"]) for line in lines] == [(2, "class"), (2, "shape"), (5, "added")]

    array = found.copy()
    segments = [named("node_2", "node 2 positive", 2), named("node_4", "node 4 negative", 4)]
    slicer_file(readers / "p0" / "nodes.seg.nrrd", [array], ct_volume().geometry, segments)
    refused = take_back(cohort, request).outcome.failures["p0"]
    assert "from-ohif.dcm: the nodes were saved in nodes.seg.nrrd as well" in str(refused)
