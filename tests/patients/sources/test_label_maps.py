"""Label maps of patients: names are followed, what cannot be is refused or noticed."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from lymphct.attention.mapping import structures_present
from lymphct.cascade.notices import collected_notices
from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.patient import NodeMap, PatientInput
from lymphct.core.terms import TOTALSEGMENTATOR_LABELS, Structure
from lymphct.io.images.reading import read_labels, read_volume, write_volume
from lymphct.io.manifest import Manifest, PatientRecord, read_manifest
from lymphct.patients.foresight.checking import check_cohort
from lymphct.patients.reading import files_of, read_patient, require_plausible

DATA = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
REAL = DATA / "open_totalseg_example_ct"
REAL_MAPS = (
    REAL / "example_seg_fast_force_split.nii.gz",
    REAL / "example_seg.nii.gz",
    REAL / "example_seg_fast.nii.gz",
    REAL / "example_seg_roi_subset.nii.gz",
    DATA / "open_totalseg_example_dicom" / "example_seg_dicom.nii.gz",
)
needs_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"no folder {REAL}: set LYMPHCT_DATA")

Edit = Callable[[AnyArray], AnyArray]


@pytest.fixture
def redrawn(cohort: Manifest, tmp_path: Path) -> Callable[[Edit], PatientRecord]:
    """A nano patient whose label map is another one."""

    def make(edit: Edit) -> PatientRecord:
        record = cohort.patients[0]
        assert record.structures is not None
        folder = shutil.copytree(record.structures.parent, tmp_path / "p1")
        path = folder / "structures.nii.gz"
        volume = read_volume(path)
        path.unlink()
        write_volume(path, volume.with_array(edit(volume.array).astype(np.uint8)))
        return replace(record, patient_id="p1", venous=folder / "venous.nii.gz", structures=path)

    return make


def in_their_numbers(labels: AnyArray) -> AnyArray:
    table = np.zeros(256, dtype=np.uint8)
    for number, structure in TOTALSEGMENTATOR_LABELS.items():
        if number <= max(Structure):
            table[structure] = number
    return table[labels]


def test_numbers_of_another_tool_that_fit_ours_are_refused_with_the_likely_scheme(
    redrawn: Callable[[Edit], PatientRecord],
) -> None:
    record = redrawn(in_their_numbers)
    with pytest.raises(
        InputError, match=r"^p1: structures\.nii\.gz: the label map cannot be right: .*\(and \d+ more such\) "
        r"\[E_IMPLAUSIBLE\] - its numbers look like those of TotalSegmentator: --labels totalsegmentator",
    ):  # fmt: skip
        read_patient(record)
    assert read_patient(record, labels="totalsegmentator").structures is not None


def test_our_numbers_read_as_those_of_totalsegmentator_are_refused(
    redrawn: Callable[[Edit], PatientRecord],
) -> None:
    with pytest.raises(InputError, match="its numbers look like those of lymphct: --labels lymphct"):
        read_patient(redrawn(lambda labels: labels), labels="totalsegmentator")


def test_left_and_right_exchanged_are_refused(redrawn: Callable[[Edit], PatientRecord]) -> None:
    with pytest.raises(InputError, match=r"does not lie to the right of .*left and right look exchanged"):
        read_patient(redrawn(lambda labels: labels[::-1]))


def test_an_organ_that_cannot_be_is_refused_in_check_as_well(
    redrawn: Callable[[Edit], PatientRecord], tmp_path: Path
) -> None:
    def shrunk(labels: AnyArray) -> AnyArray:
        labels = np.where(labels == Structure.LIVER, 0, labels)
        labels[10:20, 20:30, 20:30] = Structure.LIVER
        return labels

    record = redrawn(shrunk)
    with pytest.raises(InputError, match=r"the liver has 27 ml .* - check --labels, or leave the structures"):
        read_patient(record)
    manifest = tmp_path / "cohort.csv"
    manifest.write_text("patient_id,venous,structures\np1,p1/venous.nii.gz,p1/structures.nii.gz\n")
    (problem,) = check_cohort(read_manifest(manifest)).problems
    assert problem.code == "E_IMPLAUSIBLE"
    assert problem.file == "structures.nii.gz"


def test_the_file_that_names_the_labels_is_an_input_of_the_result(
    redrawn: Callable[[Edit], PatientRecord],
) -> None:
    record = redrawn(in_their_numbers)
    assert record.structures is not None
    assert "structures_json" not in files_of(record)
    beside = record.structures.with_name("dataset.json")
    names = {s.label: n for n, s in TOTALSEGMENTATOR_LABELS.items() if n <= max(Structure)}
    beside.write_text(json.dumps({"labels": names}))
    assert files_of(record)["structures_json"] == beside
    structures = read_patient(record).structures
    assert structures is not None
    assert Structure.LIVER in np.unique(structures.array)


def findings(structures: Any) -> Any:
    empty = NodeMap(instances=structures.with_array(np.zeros_like(structures.array)), nodes=())
    used = structures_present(structures)
    return SimpleNamespace(structures=structures, used=used, nodes=empty, searched=True)


def test_structures_a_network_found_where_none_can_be_are_noticed(cohort: Manifest) -> None:
    from lymphct.config import Config  # noqa: PLC0415 - beside what it serves
    from lymphct.io.models.bundles import shipped_bundle_path  # noqa: PLC0415
    from lymphct.io.models.loading import models_in  # noqa: PLC0415

    models = models_in(shipped_bundle_path(), "cpu")
    patient = read_patient(cohort.patients[0])
    drawn = patient.structures
    assert drawn is not None
    score = SimpleNamespace(probability=None, reason=None, uncalibrated=None)

    def noticed(found: Any, given: PatientInput) -> list[str]:
        notices = collected_notices(given, findings(found), score, models, Config())  # type: ignore[arg-type]
        return [f"{n.code}: {n.text}" for n in notices if n.code == "implausible_structures"]

    found_alone = replace(patient, structures=None)
    upside_down = drawn.with_array(drawn.array[:, :, ::-1])
    assert noticed(drawn, found_alone) == []
    (notice,) = noticed(upside_down, found_alone)
    assert "the structures found cannot be right (esophagus, pancreas, duodenum" in notice
    assert "does the CT show the upper abdomen?" in notice
    # A map of the user's was judged, and refused, when it was read.
    assert noticed(upside_down, patient) == []


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("path", REAL_MAPS, ids=lambda path: path.name)
def test_real_maps_of_totalsegmentator_are_read_by_their_names_and_pass(path: Path) -> None:
    by_names = read_labels(path)
    np.testing.assert_array_equal(by_names.array, read_labels(path, scheme="totalsegmentator").array)
    require_plausible(by_names, "auto", path.name)


@pytest.mark.data
@needs_data
def test_the_liver_of_a_real_map_of_few_organs_never_becomes_a_pancreas(tmp_path: Path) -> None:
    path = REAL / "example_seg_roi_subset.nii.gz"
    assert np.unique(read_labels(path).array).tolist() == [0, Structure.LIVER]
    with pytest.raises(InputError, match="number 5 is the liver, by --labels lymphct the pancreas"):
        read_labels(path, scheme="lymphct")
    # Without the names in its header only the shape tells.
    image = nib.load(path)
    plain = tmp_path / "plain.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), plain)
    with pytest.raises(InputError, match=r"the pancreas has 1043 ml \(3 to 500 .*--labels totalsegmentator"):
        require_plausible(read_labels(plain), "auto", plain.name)


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("case", ["11_gt", "18_gt", "55_gt"])
def test_real_maps_in_the_numbers_of_another_data_set_are_refused(case: str, tmp_path: Path) -> None:
    path = DATA / "open_evalseg_multiorgan" / f"multiorgan_{case}.nii.gz"
    with pytest.raises(InputError, match="the label map cannot be right: the duodenum has"):
        require_plausible(read_labels(path), "auto", path.name)
    names = tmp_path / "names.yaml"
    order = ("spleen", "pancreas", "left_kidney", "gallbladder", "esophagus", "liver", "stomach", "duodenum")
    names.write_text("".join(f"{name}: {number}\n" for number, name in enumerate(order, start=1)))
    require_plausible(read_labels(path, scheme=names), names, path.name)
