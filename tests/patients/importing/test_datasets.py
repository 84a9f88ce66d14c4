"""Each data set of the package, written from phantoms, becomes a cohort with the masks that were drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lymphct.core.orientation import to_working_axes
from lymphct.core.terms import Structure
from lymphct.io.images.reading import read_image, read_nodes, write_volume
from lymphct.io.manifest import Manifest, read_manifest
from lymphct.patients.foresight.checking import check_cohort
from lymphct.patients.importing.cohort import Imported, import_cohort
from lymphct.patients.importing.known_layouts import dataset_names, load_dataset
from lymphct.patients.importing.layout import Layout
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


def test_what_does_not_fit_is_listed_and_a_bad_patient_stops_nobody(
    unpacked: Unpacked, smaller: Smaller, tmp_path: Path
) -> None:
    folder = unpacked("msd-pancreas", patients=3)
    (folder / "stray.nii.gz").write_bytes(b"x")
    (folder / "labelsTr" / "pancreas_001.nii.gz").unlink()
    (folder / "imagesTr" / "pancreas_002.nii.gz").unlink()
    (folder / "imagesTr" / "pancreas_003.nii.gz").write_bytes(b"no image")
    found = import_cohort(folder, Import(out=tmp_path / "out", layout=smaller("msd-pancreas")))
    assert list(found.failures) == ["pancreas_003"]
    assert found.record["unmatched"] == {"count": 1, "files": ["stray.nii.gz"]}
    assert found.record["without_image"] == ["pancreas_002"]
    assert found.record["missing"]["tumor"] == ["pancreas_001", "pancreas_003"]
    assert [p.patient_id for p in read_manifest(found.manifest).patients] == ["pancreas_000", "pancreas_001"]


def test_a_rerun_keeps_what_is_there_and_writes_the_same(
    unpacked: Unpacked, smaller: Smaller, tmp_path: Path
) -> None:
    folder, request = (
        unpacked("msd-pancreas", patients=1),
        Import(out=tmp_path / "out", layout=smaller("msd-pancreas")),
    )
    first = import_cohort(folder, request).manifest.read_bytes()
    done = tmp_path / "out" / "masks" / "pancreas_000" / "DONE.json"
    before = done.stat().st_mtime_ns
    assert import_cohort(folder, request).manifest.read_bytes() == first
    assert done.stat().st_mtime_ns == before


def test_the_same_ct_in_another_cohort_excludes_the_patient(
    unpacked: Unpacked, smaller: Smaller, tmp_path: Path
) -> None:
    first = import_cohort(
        unpacked("msd-pancreas", patients=1), Import(out=tmp_path / "a", layout=smaller("msd-pancreas"))
    )
    second = import_cohort(
        unpacked("nih-lymph-nodes", patients=2),
        Import(out=tmp_path / "b", layout=smaller("nih-lymph-nodes")),
        beside=[first.manifest],
    )
    # The one is a NIfTI file with its own axes, the other a series of slices.
    assert second.record["excluded"] == {"ABD_LYMPH_001": "the same CT as pancreas_000 of msd-pancreas"}


def test_nodes_outside_soft_tissue_fail(unpacked: Unpacked, smaller: Smaller, tmp_path: Path) -> None:
    folder = unpacked("nih-lymph-nodes", patients=2)
    path = next(folder.rglob("ABD_LYMPH_001_mask.nii.gz"))
    volume = read_image(path).volume
    beside = np.zeros_like(volume.array)
    beside[:3, :3] = 1  # air
    write_volume(path, volume.with_array(beside))
    found = import_cohort(folder, Import(out=tmp_path / "out", layout=smaller("nih-lymph-nodes")))
    assert "0 % of the voxels of the nodes lie in soft tissue" in str(found.failures["ABD_LYMPH_001"])
