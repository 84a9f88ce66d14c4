import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import guiding_attention
from lymphct.cascade.alignment import align
from lymphct.config import Config
from lymphct.core.errors import InputError, ModelError, OutputInUseError
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.store import is_current, locked
from lymphct.io.results.volumes import load_volumes
from lymphct.patients.cohort_preparation import PreparationRequest, prepare_cohort
from lymphct.patients.dataset import StoredPatient
from lymphct.patients.preparation import ALIGNMENT_FILE, Preparation, prepared_patients
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
    assert_array_equal(stored["attention"].array, expected.array)
    assert_array_equal(stored["structures"].array, patient.structures.array)
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

    monkeypatch.setattr("lymphct.patients.preparation.align", meddle)
    outcome = prepare_cohort(replace(few, patients=(record,)), preparing)
    assert outcome.failures[f"{NANO}0"].code == "E_CHANGED"
    assert not list((preparing.out / f"{NANO}0").glob("images-*"))
