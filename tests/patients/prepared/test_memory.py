import logging
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lymphct.core.geometry import Geometry
from lymphct.core.patient import Clinical
from lymphct.core.volume import Volume
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.volumes import save_volumes
from lymphct.patients.prepared import memory
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.prepared.memory import MEASURED, affordable_jobs, drawing_jobs, worker_memory
from lymphct.patients.prepared.preparation import Preparation
from lymphct.registration.settings import RegistrationSettings

GB = 1_000_000_000


@pytest.fixture
def record(tmp_path: Path) -> PatientRecord:
    """A patient whose venous phase has 100 × 80 × 60 voxels of 1 × 1 × 2 mm."""
    path = tmp_path / "venous.nii"
    nib.save(nib.Nifti1Image(np.zeros((100, 80, 60), np.int16), np.diag([-1.0, -1.0, 2.0, 1.0])), path)
    return PatientRecord(patient_id="a", venous=path)


def preparation(method: str = "none", spacing: float = 2.0) -> Preparation:
    settings = RegistrationSettings.model_validate({"method": method})
    return Preparation(folder=Path("work"), spacing=(spacing, spacing, spacing), registration=settings)


def test_the_estimate_is_the_sum_of_what_is_held_at_once(record: PatientRecord) -> None:
    acquired = 480_000 * MEASURED.acquired + MEASURED.program
    assert worker_memory([record], preparation(spacing=1.0)) == acquired + 960_000 * MEASURED.working
    assert worker_memory([record], preparation("deeds")) == acquired + 120_000 * MEASURED.registration
    networks = worker_memory([record], preparation(spacing=1.0), with_networks=True)
    assert networks == acquired + 960_000 * MEASURED.inference


def test_the_largest_patient_counts_and_excluded_or_unreadable_ones_do_not(
    record: PatientRecord, tmp_path: Path
) -> None:
    small = tmp_path / "small.nii"
    nib.save(nib.Nifti1Image(np.zeros((20, 20, 20), np.int16), np.diag([-1.0, -1.0, 2.0, 1.0])), small)
    others = [replace(record, venous=small), replace(record, venous=tmp_path / "none.nii")]
    alone = worker_memory([record], preparation())
    assert worker_memory([record, *others], preparation()) == alone
    excluded = replace(record, cells={"exclude_reason": "no consent"})
    assert worker_memory([excluded, *others], preparation()) < alone
    assert worker_memory([], preparation()) == MEASURED.program


def test_as_many_work_side_by_side_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 7 * GB)
    with caplog.at_level(logging.INFO, logger="lymphct"):
        assert affordable_jobs(2, 2 * GB) == 2
    assert "a worker takes up to 2.0 GB, 7.0 GB are free" in caplog.text
    assert affordable_jobs(8, 2 * GB) == 3
    assert "memory suffices for 3 workers instead of 8" in caplog.text


def test_one_worker_always_remains_and_a_tight_fit_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: GB)
    assert affordable_jobs(4, 2 * GB) == 1
    assert "instead of 4" in caplog.text
    assert affordable_jobs(1, 2 * GB) == 1
    assert "may not suffice for the largest patient" in caplog.text


def test_where_free_memory_is_unknown_the_wish_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert affordable_jobs(4, 2 * GB) == 4


def test_networks_that_look_at_stored_patients_have_the_largest_one_in_mind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    geometry = Geometry(shape=(100, 80, 50), spacing=(2.0, 2.0, 2.0))
    images = {name: tmp_path / name / "images" for name in "ab"}
    for name, shape in (("a", (100, 80, 50)), ("b", (10, 8, 5))):
        venous = Volume(array=np.zeros(shape, np.int16), geometry=replace(geometry, shape=shape))
        images[name].mkdir(parents=True)
        save_volumes(images[name], {"venous": venous})
    patients = {name: StoredPatient(name, folder, Clinical()) for name, folder in images.items()}
    each = MEASURED.program + 400_000 * MEASURED.inference
    monkeypatch.setattr(memory, "available_memory", lambda: 3 * each - 1)
    assert drawing_jobs(patients, ["a", "b"], 8) == 2
    assert drawing_jobs(patients, ["b"], 8) > 2
    (images["a"] / "grid.json").write_text("{")
    patients["a"] = StoredPatient("a", images["a"], Clinical())  # opened anew
    assert drawing_jobs(patients, ["a", "b"], 8) > 2
    assert drawing_jobs({}, [], 1) == 1
