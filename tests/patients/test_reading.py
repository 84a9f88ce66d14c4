"""All files of one patient are read together; what is wrong with one names patient and file."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import InputError
from lymphct.core.terms import NodeClass, Phase, Structure
from lymphct.io.images.node_masks import read_nodes
from lymphct.io.images.reading import read_ct, read_labels, read_mask
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.patients.reading import files_of, read_patient


@pytest.fixture
def record(cohort: Manifest) -> PatientRecord:
    return cohort.patients[0]


def test_a_node_map_brings_the_file_that_describes_it(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.nii.gz"
    record = PatientRecord(patient_id="a", venous=tmp_path / "v.nii.gz", nodes=nodes)
    assert files_of(record) == {"venous": tmp_path / "v.nii.gz", "nodes": nodes}
    (tmp_path / "nodes.json").write_text("{}")
    assert files_of(record)["nodes_json"] == tmp_path / "nodes.json"
    assert set(files_of(replace(record, nodes=None))) == {"venous"}


def test_a_patient_is_what_its_files_hold(record: PatientRecord) -> None:
    patient = read_patient(record)
    assert patient.patient_id == record.patient_id
    for phase, path in ((Phase.VENOUS, record.venous), (Phase.ARTERIAL, record.arterial)):
        assert path is not None
        volume = getattr(patient, phase.value)
        expected = read_ct(path, phase=phase).volume
        assert_array_equal(volume.array, expected.array)
        assert volume.geometry == expected.geometry
    grid = patient.venous.geometry
    assert patient.structures is not None
    assert patient.tumor is not None
    assert patient.nodes is not None
    assert record.structures is not None
    assert record.tumor is not None
    assert record.nodes is not None
    assert_array_equal(patient.structures.array, read_labels(record.structures, grid=grid).array)
    assert_array_equal(patient.tumor.array, read_mask(record.tumor, grid, name="tumor mask").array)
    assert patient.nodes.nodes == read_nodes(record.nodes, grid).nodes
    assert {node.node_class for node in patient.nodes.nodes} == set(NodeClass)


def test_what_was_not_given_is_none(record: PatientRecord) -> None:
    patient = read_patient(replace(record, arterial=None, structures=None, tumor=None, nodes=None))
    assert (patient.arterial, patient.structures, patient.tumor, patient.nodes) == (None,) * 4


@pytest.mark.parametrize("column", ["venous", "arterial", "structures", "tumor", "nodes"])
def test_a_file_that_is_refused_is_named_with_its_patient(
    column: str, record: PatientRecord, tmp_path: Path
) -> None:
    missing = replace(record, **{column: tmp_path / f"no_{column}.nii.gz"})  # type: ignore[arg-type] # a path
    with pytest.raises(InputError, match=rf"^phantom-9-0000: no_{column}\.nii\.gz: "):
        read_patient(missing)


@pytest.mark.parametrize("column", ["structures", "tumor", "nodes"])
def test_a_mask_on_another_grid_is_refused_and_the_error_names_its_patient(
    column: str, record: PatientRecord, tmp_path: Path
) -> None:
    image = nib.load(getattr(record, column))
    affine = image.affine.copy()
    affine[:3, 3] += 1.0
    path = tmp_path / f"{column}.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
    (tmp_path / "nodes.json").write_bytes(files_of(record)["nodes_json"].read_bytes())
    with pytest.raises(InputError, match=r"^phantom-9-0000: .*another voxel grid.*\[E_GRID\]"):
        read_patient(replace(record, **{column: path}))  # type: ignore[arg-type] # a path


def test_structures_are_numbered_as_the_caller_says(record: PatientRecord, tmp_path: Path) -> None:
    image = nib.load(record.structures or Path())
    theirs = np.where(np.asarray(image.dataobj) == Structure.AORTA, 52, 0).astype(np.uint8)
    path = tmp_path / "structures.nii.gz"
    nib.save(nib.Nifti1Image(theirs, image.affine), path)
    numbered = replace(record, structures=path)
    patient = read_patient(numbered, labels="totalsegmentator")
    assert patient.structures is not None
    assert np.unique(patient.structures.array).tolist() == [0, Structure.AORTA]
    assert np.count_nonzero(patient.structures.array) == np.count_nonzero(theirs)
    with pytest.raises(InputError, match="totalsegmentator"):
        read_patient(numbered)


def test_exchanged_phases_are_noticed_by_the_drawn_aorta(record: PatientRecord) -> None:
    assert record.arterial is not None
    assert not {"phases_swapped"} & {notice.code for notice in read_patient(record).notices}
    exchanged = replace(record, venous=record.arterial, arterial=record.venous)
    told = [notice for notice in read_patient(exchanged).notices if notice.code == "phases_swapped"]
    assert ["the aorta is" in notice.text for notice in told] == [True]
    undrawn = [notice.text for notice in read_patient(replace(exchanged, structures=None)).notices]
    assert not any("the aorta is" in text for text in undrawn)


def test_the_same_image_twice_is_no_pair(record: PatientRecord) -> None:
    with pytest.raises(InputError, match=r"^phantom-9-0000: the same image was given .*\[E_SAME_FILE\]"):
        read_patient(replace(record, arterial=record.venous))


def test_a_description_of_nodes_that_is_no_json_is_refused_with_the_patient(
    record: PatientRecord, tmp_path: Path
) -> None:
    assert record.nodes is not None
    nodes = tmp_path / "nodes.nii.gz"
    nodes.write_bytes(record.nodes.read_bytes())
    (tmp_path / "nodes.json").write_text(json.dumps({"instances": []}))
    with pytest.raises(InputError, match=r"^phantom-9-0000: nodes"):
        read_patient(replace(record, nodes=nodes))
