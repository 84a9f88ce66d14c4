"""255 in the masks of a manifest, and structures of which some were drawn: read, kept, and never learned."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.terms import StageName, Structure
from lymphct.core.unjudged import unjudged_in
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.node_masks import sidecar
from lymphct.io.manifest import Manifest, PatientRecord, read_manifest, write_manifest
from lymphct.patients.foresight.checking import check_cohort
from lymphct.patients.foresight.inventory import node_classes
from lymphct.patients.prepared.dataset import StoredPatient, prepared_cohort
from lymphct.patients.prepared.preparation import Preparation, prepare_patient
from lymphct.patients.reading import read_patient
from lymphct.registration.settings import RegistrationSettings

Edit = Callable[[AnyArray], AnyArray]
SLAB = np.s_[:, :, :7]
"""The lowest slices of a nano patient, in the file's own axes."""


@pytest.fixture
def record(cohort: Manifest, tmp_path: Path) -> PatientRecord:
    """A patient whose files a test may change."""
    original = cohort.patients[0]
    shutil.copytree(original.venous.parent, tmp_path / "p1")
    manifest = tmp_path / "cohort.csv"
    files = {name: tmp_path / "p1" / path.name for name, path in original.paths.items()}
    write_manifest(manifest, [{**original.cells, "patient_id": "p1", **files}])
    return read_manifest(manifest).patients[0]


def edited(path: Path | None, edit: Edit) -> None:
    assert path is not None
    image = nib.load(path)
    array = edit(np.asanyarray(image.dataobj))
    nib.save(nib.Nifti1Image(array, image.affine), path)


def slab_unknown(array: AnyArray) -> AnyArray:
    array = array.astype(np.uint16)
    array[SLAB] = 255
    return array


def listing(record: PatientRecord, names: str) -> PatientRecord:
    return replace(record, cells={**record.cells, "structures_labelled": names})


def preparation(folder: Path) -> Preparation:
    return Preparation(
        folder=folder, spacing=(4.0, 4.0, 4.0), registration=RegistrationSettings(method="none")
    )


def test_255_in_each_mask_is_read_and_kept_on_the_working_grid(record: PatientRecord, tmp_path: Path) -> None:
    whole = read_patient(record)
    edited(record.structures, slab_unknown)
    edited(record.tumor, slab_unknown)
    patient = read_patient(record)
    assert patient.unjudged is not None
    slab = np.zeros(patient.unjudged.geometry.shape, bool)
    slab[SLAB] = True
    for stage in (StageName.STRUCTURES, StageName.TUMOR):
        assert_array_equal(unjudged_in(patient.unjudged.array, stage), slab)
        drawn, before = getattr(patient, stage), getattr(whole, stage)
        assert_array_equal(drawn.array, np.where(slab, 0, before.array))
    assert not unjudged_in(patient.unjudged.array, StageName.NODES).any()
    assert [n.code for n in patient.notices] == ["unjudged_structures", "unjudged_tumor"]
    assert "they teach nothing and count as empty in a prediction" in patient.notices[0].text

    place = preparation(tmp_path / "work")
    stored = StoredPatient("p1", prepare_patient(record, place))
    assert stored.unjudged is not None
    on_grid = resample_labels(patient.unjudged, stored.ct.venous.geometry)
    assert_array_equal(stored.unjudged.array, on_grid.array)
    # Nearest neighbour: neither more nor less than its share, up to a slice of the new grid.
    share, new = slab.mean(), (on_grid.array > 0).mean()
    assert abs(share - new) <= 0.5 / on_grid.geometry.shape[2]
    assert stored.labelled is None
    assert stored.structures is not None
    assert stored.structures.array.max() <= max(Structure)


def test_nodes_name_the_number_of_where_nobody_looked_in_their_json(record: PatientRecord) -> None:
    assert record.nodes is not None
    nodes = len(read_patient(record).nodes.nodes)  # type: ignore[union-attr] # phantoms have some

    def corner(array: AnyArray) -> AnyArray:
        array = array.astype(np.uint16)
        array[:2, :2, :2] = 999
        return array

    edited(record.nodes, corner)
    described = sidecar(record.nodes)
    described.write_text(json.dumps({**json.loads(described.read_text()), "unjudged": 999}))
    patient = read_patient(record)
    assert patient.nodes is not None
    assert patient.unjudged is not None
    assert len(patient.nodes.nodes) == nodes
    assert unjudged_in(patient.unjudged.array, StageName.NODES).sum() == 8
    assert patient.nodes.instances.array[0, 0, 0] == 0


def test_a_class_map_with_255_is_counted_in_an_inventory(record: PatientRecord) -> None:
    assert record.nodes is not None
    sidecar(record.nodes).unlink()

    def classes(array: AnyArray) -> AnyArray:
        array = np.where(array > 0, 2, 0)
        array[:2, :2, :2] = 255
        return array.astype(np.uint8)

    edited(record.nodes, classes)
    counted = node_classes(record, count_maps=True)
    assert counted is not None
    assert counted["negative"] > 0


def test_what_was_drawn_is_listed_kept_and_part_of_the_recipe(record: PatientRecord, tmp_path: Path) -> None:
    six = ("spleen", "esophagus", "stomach", "aorta", "pancreas", "duodenum")
    edited(record.structures, lambda array: np.where(array <= 6, array, 0).astype(np.uint8))
    place = preparation(tmp_path / "work")
    unlisted = StoredPatient("p1", prepare_patient(record, place))
    assert unlisted.labelled is None
    before = unlisted.digest
    listed = StoredPatient("p1", prepare_patient(listing(record, " ".join(six)), place))
    assert listed.labelled == tuple(Structure(n) for n in range(1, 7))
    assert listed.digest != before
    (kept,) = prepared_cohort(place, [record]).values()
    assert kept.labelled == listed.labelled
    everything = StoredPatient("p1", prepare_patient(listing(record, "all"), place))
    assert everything.labelled is None


def test_all_in_the_column_stands_above_the_names_in_the_map(record: PatientRecord) -> None:
    assert record.structures is not None
    names = {"liver": Structure.LIVER, "spleen": Structure.SPLEEN}
    edited(record.structures, lambda array: np.where(np.isin(array, list(names.values())), array, 0))
    text = ", ".join(f'"{name}": {number:d}' for name, number in names.items())
    (record.structures.parent / "dataset.json").write_text(f'{{"labels": {{{text}}}}}')
    assert read_patient(record).labelled == (Structure.SPLEEN, Structure.LIVER)
    assert read_patient(listing(record, "all")).labelled is None


def test_a_map_that_holds_what_is_not_listed_is_refused(record: PatientRecord) -> None:
    with pytest.raises(
        InputError, match="holds the spleen, which structures_labelled does not list"
    ) as caught:
        read_patient(listing(record, "aorta, liver"))
    assert caught.value.code == "E_LABELLED"
    assert (caught.value.patient, caught.value.file) == ("p1", "structures.nii.gz")


def test_check_reads_partial_masks_as_training_does(record: PatientRecord, cohort: Manifest) -> None:
    for path in (record.structures, record.tumor):
        edited(path, slab_unknown)
    manifest = replace(cohort, patients=(listing(record, "all"),))
    checked = check_cohort(manifest)
    assert checked.problems == ()
    assert {notice.code for notice in checked.patients[0].notices} >= {
        "unjudged_structures",
        "unjudged_tumor",
    }
    unread = replace(
        manifest, patients=(replace(manifest.patients[0], venous=record.venous.with_name("no")),)
    )
    assert {problem.column for problem in check_cohort(unread).problems} == {"venous"}


def test_organs_cut_off_by_what_nobody_looked_at_need_not_be_whole(record: PatientRecord) -> None:
    def most_unknown(array: AnyArray) -> AnyArray:
        array = array.astype(np.uint16)
        inside = np.argwhere(array == Structure.LIVER)
        top = inside[:, 2].max()
        array[:, :, :top] = 255
        return array

    edited(record.structures, most_unknown)
    structures = read_patient(record).structures
    assert structures is not None
    assert Structure.LIVER in structures.array
