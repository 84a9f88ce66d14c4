"""Each data set of the package, written from phantoms, becomes a cohort with the masks that were drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lymphct.core.orientation import to_working_axes
from lymphct.core.terms import Structure
from lymphct.io.images.reading import read_image, read_nodes
from lymphct.io.manifest import Manifest, read_manifest
from lymphct.patients.checking import check_cohort
from lymphct.patients.importing.cohort import Imported, import_cohort
from lymphct.patients.importing.layout import Layout, dataset_names, load_dataset
from lymphct.patients.importing.patient import Import

Unpacked = Callable[..., Path]
Smaller = Callable[[str], Layout]


@pytest.fixture
def imported(unpacked: Unpacked, smaller: Smaller, tmp_path: Path) -> Callable[..., Imported]:
    """Write and import a data set."""

    def run(name: str, patients: int = 3) -> Imported:
        folder = unpacked(name, patients=patients)
        return import_cohort(folder, Import(out=tmp_path / name, layout=smaller(name)))

    return run


@pytest.mark.parametrize("name", dataset_names())
def test_every_data_set_becomes_a_cohort_that_check_accepts(
    name: str, imported: Callable[..., Imported]
) -> None:
    found = imported(name)
    assert (found.failures, found.record["unmatched"]["count"]) == ({}, 0)
    manifest = read_manifest(found.manifest)
    assert len(manifest.patients) == 3
    assert check_cohort(manifest).problems == ()
    licence = (found.manifest.parent / "SOURCES.md").read_text()
    assert load_dataset(name).licence in licence


def test_structures_of_totalsegmentator_are_those_that_were_drawn(
    imported: Callable[..., Imported], cohort: Manifest
) -> None:
    found = imported("totalsegmentator", patients=4)
    patients = read_manifest(found.manifest).patients
    assert [patient.split for patient in patients] == ["train", "train", "train", "test"]
    assert [patient.cells["sex"] for patient in patients] == ["M", "F", "M", "F"]
    assert patients[1].cells["age"] == "51"
    assert patients[0].labelled is not None
    assert Structure.SUPERIOR_MESENTERIC_ARTERY not in patients[0].labelled
    assert len(patients[0].labelled) == 14
    assert patients[0].structures is not None
    assert cohort.patients[0].structures is not None
    drawn = read_image(cohort.patients[0].structures).volume.array
    made = read_image(patients[0].structures).volume.array
    np.testing.assert_array_equal(made, np.where(np.isin(drawn, patients[0].labelled), drawn, 0))
    assert patients[0].tumor is None


def test_the_masks_of_pants_come_from_nifti_and_from_arrays(
    imported: Callable[..., Imported], cohort: Manifest
) -> None:
    found = imported("pants")
    patients = read_manifest(found.manifest).patients
    assert [patient.split for patient in patients] == ["test", "train", "train"]
    for patient, phantom in zip(patients, cohort.patients, strict=False):
        assert patient.labelled == (Structure.SUPERIOR_MESENTERIC_ARTERY, Structure.GALLBLADDER)
        assert patient.tumor is not None
        assert phantom.tumor is not None
        drawn = read_image(phantom.tumor).volume.array
        np.testing.assert_array_equal(read_image(patient.tumor).volume.array, drawn)
    assert "structures/spleen" in found.record["missing"]


def test_the_tumor_of_five_readers_is_what_most_of_them_drew(
    imported: Callable[..., Imported], cohort: Manifest
) -> None:
    found = imported("curvas-pdacvi")
    patient = read_manifest(found.manifest).patients[0]
    assert patient.tumor is not None
    assert cohort.patients[0].tumor is not None
    drawn = read_image(cohort.patients[0].tumor).volume.array
    np.testing.assert_array_equal(read_image(patient.tumor).volume.array, drawn)
    (told,) = [n for n in found.record["patients"][patient.patient_id] if "reader" in n]
    assert "more than half of 5 readers" in told


def test_pancreas_and_tumor_of_the_decathlon_are_told_apart(imported: Callable[..., Imported]) -> None:
    patient = read_manifest(imported("msd-pancreas").manifest).patients[0]
    assert patient.labelled == (Structure.PANCREAS,)
    assert patient.tumor is not None
    assert patient.structures is not None
    tumor = read_image(patient.tumor).volume.array > 0
    assert tumor.any()
    assert np.all(read_image(patient.structures).volume.array[tumor] == Structure.PANCREAS)


def test_labels_of_panorama_by_hand_come_before_those_of_a_network(
    imported: Callable[..., Imported],
) -> None:
    found = imported("panorama")
    patients = read_manifest(found.manifest).patients
    by = [patient.cells["tumor_by"] for patient in patients]
    assert by == ["manual", "manual", "automatic"]
    assert [patient.tumor is None for patient in patients] == [False, False, True]
    assert [patient.cells["sex"] for patient in patients] == ["M", "F", "M"]
    # The second is another study of the first one's person.
    assert [patient.is_excluded for patient in patients] == [False, True, False]
    assert "another study" in patients[1].cells["exclude_reason"]


def test_nodes_of_the_nih_lie_where_the_ct_says_and_have_no_class(
    imported: Callable[..., Imported], cohort: Manifest
) -> None:
    found = imported("nih-lymph-nodes")
    patient = read_manifest(found.manifest).patients[0]
    assert patient.venous.is_dir()
    assert patient.nodes is not None
    assert cohort.patients[0].nodes is not None
    made, drawn = read_nodes(patient.nodes), read_nodes(cohort.patients[0].nodes)
    assert len(made.nodes) == len(drawn.nodes) > 0
    assert {node.node_class for node in made.nodes} == {None}
    np.testing.assert_array_equal(
        to_working_axes(made.instances).array > 0, to_working_axes(drawn.instances).array > 0
    )
    np.testing.assert_allclose(made.nodes[0].center, drawn.nodes[0].center, atol=1e-3)
