import csv
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import guiding_attention
from lymphct.attention.storing import as_bytes
from lymphct.cascade.alignment import align
from lymphct.config import Config
from lymphct.core.errors import InputError, ModelError, OutputInUseError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.body import body_mask
from lymphct.imaging.locations import class_locations
from lymphct.imaging.preprocess import resample_labels, working_grid
from lymphct.io.images.grids import read_grid
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.store import is_current, locked
from lymphct.io.results.volumes import StoredImages, load_volumes
from lymphct.patients.prepared.cohort_preparation import PreparationRequest, prepare_cohort
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.prepared.files import ALIGNMENT_FILE
from lymphct.patients.prepared.preparation import Preparation, prepared_patients
from lymphct.patients.prepared.preparing import cropped
from lymphct.patients.reading import read_patient
from lymphct.registration.settings import RegistrationSettings

NANO = "phantom-9-000"


@pytest.fixture
def few(cohort: Manifest) -> Manifest:
    return replace(cohort, patients=cohort.patients[:2])


@pytest.fixture
def preparing(config: Config, tmp_path: Path) -> PreparationRequest:
    return PreparationRequest(out=tmp_path / "work", config=config, device="cpu")


def undrawn(record: PatientRecord, *columns: str) -> PatientRecord:
    cells = {name: value for name, value in record.cells.items() if name not in columns}
    return replace(record, cells=cells, **dict.fromkeys(columns))  # type: ignore[arg-type] # paths become None


def written(folder: Path) -> dict[str, int]:
    return {path.parent.parent.name + "/" + path.parent.name: path.stat().st_mtime_ns
            for path in sorted(folder.rglob("DONE.json"))}  # fmt: skip


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "registration.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def images(place: Path) -> Path:
    (only,) = place.glob("images-*")
    return only


def attention(place: Path) -> Path:
    (only,) = place.glob("attention-*")
    return only


def guidance(place: Path) -> Any:
    return json.loads((attention(place) / "guidance.json").read_text())


def test_a_prepared_patient_has_images_and_the_attention_of_what_was_drawn(
    few: Manifest, preparing: PreparationRequest
) -> None:
    seen: list[str] = []
    outcome = prepare_cohort(few, preparing, progress=seen.append)
    assert seen == [record.patient_id for record in few.patients]
    assert not outcome.failures
    place = preparing.out / f"{NANO}0"
    assert is_current(images(place), verify=True)
    assert is_current(attention(place), verify=True)
    patient = StoredPatient(place.name, images(place))
    assert patient.patient_id == f"{NANO}0"
    assert patient.structures is not None
    assert patient.tumor is not None
    stored = load_volumes(attention(place))
    expected = guiding_attention(patient.structures, patient.tumor, PAPER_BANDS)
    assert list(stored) == ["attention"]  # what was drawn lies with the images
    assert_array_equal(stored["attention"].array, as_bytes(expected.array))
    assert stored["attention"].geometry.matches(patient.ct.venous.geometry)
    assert guidance(place)["structures"] == "drawn"
    assert len(guidance(place)["structures_used"]) == 10


def test_a_second_run_does_nothing_and_leaves_the_same_bytes(
    few: Manifest, preparing: PreparationRequest
) -> None:
    prepare_cohort(few, preparing)
    before = written(preparing.out)
    texts = {name: (preparing.out / name).read_bytes() for name in ("registration.csv", "summary.json")}
    prepare_cohort(few, preparing)
    assert written(preparing.out) == before
    assert {name: (preparing.out / name).read_bytes() for name in texts} == texts


def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(
    few: Manifest, preparing: PreparationRequest, config: Config
) -> None:
    prepare_cohort(few, preparing)
    before = written(preparing.out)
    wider = config.attention.model_copy(update={"border": 5.0})
    prepare_cohort(few, replace(preparing, config=config.model_copy(update={"attention": wider})))
    after = written(preparing.out)
    assert {name: after[name] for name in before} == before
    assert sorted(name.split("-00")[-1].rpartition("-")[0] for name in set(after) - set(before)) == [
        "00/attention",
        "01/attention",
    ]


def test_an_interrupted_run_goes_on_with_what_is_missing(
    cohort: Manifest, few: Manifest, preparing: PreparationRequest
) -> None:
    prepare_cohort(few, preparing)
    before = written(preparing.out)
    prepare_cohort(replace(cohort, patients=cohort.patients[:3]), preparing)
    after = written(preparing.out)
    assert {name: after[name] for name in before} == before
    assert sorted(name.rpartition("-")[0] for name in set(after) - set(before)) == [
        f"{NANO}2/attention",
        f"{NANO}2/images",
    ]


def test_a_bad_patient_never_stops_the_others_and_leaves_nothing(
    cohort: Manifest, preparing: PreparationRequest, tmp_path: Path
) -> None:
    cut = tmp_path / "venous.nii.gz"
    cut.write_bytes(cohort.patients[0].venous.read_bytes()[:5000])
    bad = replace(cohort.patients[0], venous=cut)
    left_out = replace(cohort.patients[2], cells={**cohort.patients[2].cells, "exclude_reason": "no consent"})
    alone = undrawn(cohort.patients[3], "arterial", "structures", "tumor")
    outcome = prepare_cohort(replace(cohort, patients=(bad, cohort.patients[1], left_out, alone)), preparing)
    assert set(outcome.failures) == {f"{NANO}0"}
    summary = json.loads((preparing.out / "summary.json").read_text())
    assert [entry["state"] for entry in summary["patients"]] == ["failed", "done", "excluded", "done"]
    (failure,) = [json.loads(line) for line in (preparing.out / "failures.jsonl").read_text().splitlines()]
    assert (failure["patient_id"], failure["code"], failure["exit_code"]) == (f"{NANO}0", "E_TRUNCATED", 3)
    assert not (preparing.out / f"{NANO}0").exists()
    assert [row["state"] for row in rows(preparing.out)] == [
        "not prepared",
        "not registered",
        "excluded",
        "no arterial phase",
    ]
    assert guidance(preparing.out / f"{NANO}3") == {"structures": None, "structures_used": [], "tumor": None}


@pytest.mark.slow
def test_two_processes_prepare_what_one_does(
    few: Manifest, preparing: PreparationRequest, tmp_path: Path
) -> None:
    prepare_cohort(few, preparing)
    prepare_cohort(few, replace(preparing, out=tmp_path / "other"), jobs=2)
    done = (images(preparing.out / f"{NANO}1") / "DONE.json").relative_to(preparing.out)
    for name in ("registration.csv", "summary.json", done):
        assert (tmp_path / "other" / name).read_bytes() == (preparing.out / name).read_bytes()


def test_the_table_holds_the_numbers_of_each_registration(
    few: Manifest, preparing: PreparationRequest
) -> None:
    alone = replace(few, patients=few.patients[:1])
    prepare_cohort(alone, replace(preparing, registration="deeds"))
    (row,) = rows(preparing.out)
    assert (row["patient_id"], row["state"], row["method"]) == (f"{NANO}0", "registered", "deeds")
    assert float(row["overlap"]) == 1.0
    assert float(row["distance_after"]) < float(row["distance_before"])
    stored = json.loads((images(preparing.out / f"{NANO}0") / ALIGNMENT_FILE).read_text())
    assert stored["registration"]["consistency_p95_mm"] == float(row["consistency_p95_mm"])


def test_with_a_bundle_its_networks_draw_what_nobody_drew(
    few: Manifest, preparing: PreparationRequest, bundle: Path, config: Config
) -> None:
    blank = undrawn(few.patients[0], "structures", "tumor")
    other = config.model_copy(
        update={"imaging": config.imaging.model_copy(update={"spacing": (4.0, 4.0, 4.0)})}
    )
    how = replace(preparing, bundle=bundle, config=other)
    outcome = prepare_cohort(replace(few, patients=(blank, few.patients[1])), how)
    assert not outcome.failures
    drawn, model = guidance(preparing.out / f"{NANO}1"), guidance(preparing.out / f"{NANO}0")
    assert (drawn["structures"], drawn["tumor"]) == ("drawn", "drawn")
    assert (model["structures"], model["tumor"]) == ("model", "model")
    spacing = load_volumes(images(preparing.out / f"{NANO}0"))["venous"].geometry.spacing
    assert spacing == read_bundle(bundle).info.spacing


def test_a_refused_bundle_is_no_patients_failure(
    few: Manifest, preparing: PreparationRequest, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="no such model bundle"):
        prepare_cohort(few, replace(preparing, bundle=tmp_path / "none"))
    assert not preparing.out.exists()


def test_a_manifest_that_cannot_be_used_prepares_nobody(few: Manifest, preparing: PreparationRequest) -> None:
    twice = replace(few, patients=(few.patients[0], few.patients[0]))
    with pytest.raises(InputError, match="stands in line"):
        prepare_cohort(twice, preparing)
    assert not preparing.out.exists()


def test_a_folder_in_use_is_refused(few: Manifest, preparing: PreparationRequest) -> None:
    with locked(preparing.out), pytest.raises(OutputInUseError, match="in use"):
        prepare_cohort(few, preparing)


def test_training_takes_over_what_was_prepared_with_the_same_settings(
    few: Manifest, preparing: PreparationRequest, config: Config
) -> None:
    prepare_cohort(few, preparing)
    before = written(preparing.out)
    preparation = Preparation(
        folder=preparing.out, spacing=config.imaging.spacing, registration=config.registration
    )
    for outcome in prepared_patients(few.patients, preparation):
        outcome.result()
    assert written(preparing.out) == before
    registered = replace(preparation, registration=RegistrationSettings(method="none", spacing_mm=3.0))
    for outcome in prepared_patients(few.patients[:1], registered):
        outcome.result()
    # What was prepared otherwise lies beside, and what was there stays.
    after = written(preparing.out)
    assert {name: after[name] for name in before} == before
    (more,) = set(after) - set(before)
    assert more.startswith(f"{NANO}0/images-")


def test_an_image_that_changes_meanwhile_is_not_committed(
    few: Manifest, preparing: PreparationRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = nib.load(few.patients[0].venous)
    venous = tmp_path / "venous.nii.gz"
    nib.save(image, venous)
    record = replace(few.patients[0], venous=venous)

    def meddle(*arguments: Any, **options: Any) -> Any:
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj) + np.int16(1), image.affine), venous)
        return align(*arguments, **options)

    monkeypatch.setattr("lymphct.patients.prepared.preparing.align", meddle)
    outcome = prepare_cohort(replace(few, patients=(record,)), preparing)
    assert outcome.failures[f"{NANO}0"].code == "E_CHANGED"
    assert not list((preparing.out / f"{NANO}0").glob("images-*"))


def quiet_hours(records: Sequence[PatientRecord], folder: Path) -> list[PatientRecord]:
    """Copy the files of patients and let them look as if they were written an hour ago."""
    copies = []
    for record in records:
        paths = {}
        for role, path in record.paths.items():
            paths[role] = folder / record.patient_id / path.name
            paths[role].parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, paths[role])
            for beside in path.parent.glob("nodes.json"):
                shutil.copy(beside, paths[role].parent)
        for path in (folder / record.patient_id).iterdir():
            os.utime(path, (time.time() - 3600, time.time() - 3600))
        copies.append(replace(record, **paths))  # type: ignore[arg-type] # paths stay paths
    return copies


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of all files that are hashed."""
    seen: list[str] = []

    def counted(path: Path) -> str:
        seen.append(path.name)
        return digest_file(path)

    for module in ("fingerprints", "store", "made"):
        monkeypatch.setattr(f"lymphct.io.results.{module}.digest_file", counted)
    return seen


def test_who_is_prepared_costs_a_look_at_the_files_and_no_hashing(
    few: Manifest, preparing: PreparationRequest, tmp_path: Path, hashed: list[str]
) -> None:
    again = replace(few, patients=tuple(quiet_hours(few.patients, tmp_path)))
    prepare_cohort(again, preparing)
    hashed.clear()
    prepare_cohort(again, preparing)
    assert set(hashed) <= {"DONE.json"}  # the key of the images, which the attention is made from
    hashed.clear()
    before = written(preparing.out)
    prepare_cohort(again, replace(preparing, rehash=True))
    assert {"venous.nii.gz", "nodes.json", "venous.chunks", "attention.chunks"} <= set(hashed)
    assert written(preparing.out) == before


def test_an_input_replaced_by_one_of_the_same_size_is_prepared_anew(
    few: Manifest, preparing: PreparationRequest, tmp_path: Path
) -> None:
    (record,) = quiet_hours(few.patients[:1], tmp_path)
    alone = replace(few, patients=(record,))
    image = nib.load(record.venous)
    plain = tmp_path / "venous.nii"  # not compressed, so that its size stays
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj).astype(np.int16), image.affine), plain)
    os.utime(plain, (time.time() - 3000, time.time() - 3000))
    alone = replace(few, patients=(replace(record, venous=plain),))
    prepare_cohort(alone, preparing)
    place = images(preparing.out / f"{NANO}0")
    before, size = load_volumes(place)["venous"].array, plain.stat().st_size
    nib.save(nib.Nifti1Image((np.asarray(image.dataobj) + 1).astype(np.int16), image.affine), plain)
    os.utime(plain, (time.time() - 2000, time.time() - 2000))
    assert plain.stat().st_size == size
    prepare_cohort(alone, preparing)
    after = load_volumes(place)["venous"].array
    assert np.any(after != before)


@pytest.mark.parametrize("harm", ["cut", "gone", "flipped", "DONE.json", "grid.json"])
def test_a_damaged_patient_is_prepared_again_and_it_is_said(
    harm: str, few: Manifest, preparing: PreparationRequest, caplog: pytest.LogCaptureFixture
) -> None:
    prepare_cohort(few, preparing)
    place, other = (images(preparing.out / f"{NANO}{n}") for n in (0, 1))
    contents = {path.name: path.read_bytes() for path in place.iterdir()}
    untouched = written(preparing.out / f"{NANO}1")
    name = harm if harm in contents else "venous.chunks"
    content = contents[name]
    if harm == "gone":
        (place / name).unlink()
    elif harm == "flipped":
        (place / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    else:
        (place / name).write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING, logger="lymphct.io.results.made"):
        outcome = prepare_cohort(few, preparing)
    assert not outcome.failures
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert line == f"{place.name} of {NANO}0 is damaged and is made again"
    assert {path.name: path.read_bytes() for path in place.iterdir()} == contents
    assert written(preparing.out / f"{NANO}1") == untouched
    assert is_current(other, verify=True)


def test_damage_in_the_middle_of_a_run_is_refused_and_the_next_run_mends_it(
    few: Manifest, preparing: PreparationRequest, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    prepare_cohort(few, preparing)
    place = images(preparing.out / f"{NANO}0")
    path, status = place / "venous.chunks", (place / "venous.chunks").stat()
    content = path.read_bytes()
    patient = StoredPatient(f"{NANO}0", place)
    view = patient.view("venous")
    assert view is not None
    # A disk that forgets a bit: no time of change tells.
    with path.open("r+b") as file:
        file.seek(len(content) - 9)
        file.write(bytes([content[-9] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(
        InputError, match=rf"{NANO}0: venous\.chunks: .* \[E_DAMAGED\] - run the command again"
    ):
        view.whole()
    preparation = Preparation(
        folder=preparing.out, spacing=config.imaging.spacing, registration=config.registration
    )
    with caplog.at_level(logging.WARNING, logger="lymphct.io.results.made"):
        for outcome in prepared_patients(few.patients, preparation):
            outcome.result()
    assert "is damaged and is made again" in caplog.text
    assert path.read_bytes() == content


def test_a_forgotten_bit_is_found_by_rehash(
    few: Manifest, preparing: PreparationRequest, caplog: pytest.LogCaptureFixture
) -> None:
    alone = replace(few, patients=few.patients[:1])
    prepare_cohort(alone, preparing)
    path = attention(preparing.out / f"{NANO}0") / "attention.chunks"
    status, content = path.stat(), path.read_bytes()
    with path.open("r+b") as file:
        file.seek(len(content) - 9)
        file.write(bytes([content[-9] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    prepare_cohort(alone, preparing)
    assert path.read_bytes() != content
    with caplog.at_level(logging.WARNING, logger="lymphct.io.results.made"):
        prepare_cohort(alone, replace(preparing, rehash=True))
    assert path.read_bytes() == content
    assert "is damaged and is made again" in caplog.text


def test_what_is_stored_is_the_body_with_its_place_in_the_working_grid(
    few: Manifest, preparing: PreparationRequest
) -> None:
    prepare_cohort(replace(few, patients=few.patients[:1]), preparing)
    patient = StoredPatient(f"{NANO}0", images(preparing.out / f"{NANO}0"))
    crop, grid = patient.crop, patient.ct.venous.geometry
    assert crop is not None
    full = working_grid(read_grid(few.patients[0].venous), preparing.config.imaging.spacing)
    assert crop.full.matches(full)
    assert full.cropped(crop.start, grid.shape).matches(grid)
    assert np.prod(grid.shape) < np.prod(full.shape)
    # Nothing of the body, nor of what was drawn, lies outside.
    whole = read_patient(few.patients[0])
    assert whole.structures is not None
    assert patient.structures is not None
    drawn = resample_labels(whole.structures, full)
    assert np.count_nonzero(patient.structures.array) == np.count_nonzero(drawn.array)
    assert (
        body_mask(patient.ct.venous.array).sum()
        == body_mask(
            align(
                whole.venous, None, preparing.config.imaging.spacing, preparing.config.registration
            ).ct.venous.array
        ).sum()
    )


def test_a_voxel_drawn_outside_the_body_is_kept() -> None:
    grid = Geometry(shape=(60, 50, 20), spacing=(1.0, 1.5, 2.0), origin=(5.0, -7.0, 2.0))
    air = np.full(grid.shape, -1000, np.int16)
    air[25:40, 20:35] = 40
    far = np.zeros(grid.shape, np.uint8)
    far[58, 3, 19] = 1
    volumes = {"venous": Volume(array=air, geometry=grid), "tumor": Volume(array=far, geometry=grid)}
    alone, crop = cropped({"venous": volumes["venous"]})
    assert (crop.start, alone["venous"].geometry.shape) == ((15, 13, 0), (35, 29, 20))
    cut, crop = cropped(volumes)
    assert cut["tumor"].array.sum() == 1
    assert (crop.start, cut["tumor"].geometry.shape) == ((15, 0, 0), (45, 42, 20))
    assert crop.full == grid
    for name, volume in cut.items():
        (i, j, k), (x, y, z) = crop.start, volume.geometry.shape
        assert_array_equal(volume.array, volumes[name].array[i : i + x, j : j + y, k : k + z])


def test_types_are_as_small_as_the_values_allow(few: Manifest, preparing: PreparationRequest) -> None:
    prepare_cohort(replace(few, patients=few.patients[:1]), preparing)
    stored = StoredImages(images(preparing.out / f"{NANO}0"))
    assert {name: image.dtype.str for name, image in stored.items()} == {
        "venous": "<i2", "arterial": "<i2", "structures": "|u1", "tumor": "|u1", "nodes": "|u1",
    }  # fmt: skip


def test_locations_are_stored_when_a_patient_is_prepared(
    few: Manifest, preparing: PreparationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_cohort(replace(few, patients=few.patients[:1]), preparing)
    patient = StoredPatient(f"{NANO}0", images(preparing.out / f"{NANO}0"))
    assert patient.structures is not None
    assert patient.instances is not None
    expected = class_locations(patient.structures.array)
    nodes = class_locations(patient.instances.array)
    monkeypatch.setattr(StoredPatient, "_whole", lambda *_: pytest.fail("an image was read"))
    found = patient.locations("structures")
    assert list(found) == list(expected)
    for number, voxels in expected.items():
        assert_array_equal(found[number], voxels)
    assert set(patient.locations("nodes")) == set(nodes)
    assert list(patient.locations("tumor")) == [1]


def test_a_second_preparation_elsewhere_leaves_the_same_bytes(
    few: Manifest, preparing: PreparationRequest, tmp_path: Path
) -> None:
    alone = replace(few, patients=few.patients[:1])
    contents = []
    for name in ("a", "b"):
        prepare_cohort(alone, replace(preparing, out=tmp_path / name))
        place = tmp_path / name / f"{NANO}0"
        folders = (images(place), attention(place))
        contents.append({path.name: path.read_bytes() for folder in folders for path in folder.iterdir()})
    assert contents[0] == contents[1]
