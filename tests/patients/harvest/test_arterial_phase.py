"""Masks go from one phase to the other with the field that lies behind the prepared images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.evaluation.segmentation import dice
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.manifest import Manifest, PatientRecord, read_manifest
from lymphct.io.results.volumes import load_volumes
from lymphct.patients.harvest.arterial_patient import ArterialPatient
from lymphct.patients.harvest.arterial_phase import FIELD, ArterialPhases, carried, load_field, save_field
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.prepared.preparation import Preparation
from lymphct.patients.prepared.whole_cohort import whole_cohort
from lymphct.phantom.settings import PhantomSettings
from lymphct.registration.field import ControlField
from lymphct.registration.result import Registration, RegistrationReport
from lymphct.registration.settings import RegistrationSettings

SPACING = (3.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A nano patient who breathed in between the phases."""
    folder = tmp_path_factory.mktemp("breathing")
    settings = PhantomSettings(size="nano", shift_sd=9.0)
    return read_manifest(write_phantoms(PhantomCohort(folder=folder, settings=settings, seed=6, patients=1)))


def phases_of(manifest: Manifest, folder: Path, registration: RegistrationSettings) -> ArterialPhases:
    preparation = Preparation(folder=folder / "store", spacing=SPACING, registration=registration)
    return ArterialPhases(
        folder=folder / "arterial",
        preparation=preparation,
        records={record.patient_id: record for record in manifest.patients},
        patients=whole_cohort(manifest.patients, preparation),
    )


@pytest.fixture(scope="module")
def phases(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> ArterialPhases:
    return phases_of(manifest, tmp_path_factory.mktemp("deeds"), RegistrationSettings())


@pytest.fixture(scope="module")
def record(manifest: Manifest) -> PatientRecord:
    return manifest.patients[0]


@pytest.mark.slow
def test_the_drawn_tumor_lies_where_the_tumor_is_in_the_arterial_phase(
    phases: ArterialPhases, record: PatientRecord
) -> None:
    name = record.patient_id
    volumes = load_volumes(phases.place(name))
    drawn = phases.patients[name].tumor
    assert drawn is not None
    unmoved = resample_labels(drawn, volumes["tumor"].geometry).array > 0
    moved = volumes["tumor"].array > 0
    assert dice(unmoved, moved) < 0.9  # it did breathe
    hu = volumes["arterial"].array
    # Moved with the field, the mask holds tumor alone; unmoved, also fat and pancreas beside it.
    assert hu[moved].std() < hu[unmoved].std() - 5
    assert volumes["tumor"].geometry.spacing == SPACING


def test_the_drawn_pancreas_lies_beside_the_tumor(phases: ArterialPhases, record: PatientRecord) -> None:
    place = phases.place(record.patient_id)
    patient = ArterialPatient(record.patient_id, place)
    structures = phases.patients[record.patient_id].structures
    assert patient.pancreas is not None
    assert structures is not None
    moved = resample_labels(patient.pancreas, structures.geometry).array > 0
    assert 0.3 < dice(moved, structures.array == Structure.PANCREAS) < 0.95  # it moved with the breath
    share = patient.pancreas.array.sum() / np.sum(structures.array == Structure.PANCREAS)
    assert share == pytest.approx(1, abs=0.1)


def test_a_mask_of_the_arterial_phase_comes_back_onto_the_drawn_one(
    phases: ArterialPhases, record: PatientRecord
) -> None:
    name = record.patient_id
    drawn = phases.patients[name].tumor
    assert drawn is not None
    back = phases.to_venous(load_volumes(phases.place(name))["tumor"], name)
    assert back.geometry == drawn.geometry
    assert dice(back.array == 1, drawn.array > 0) > 0.9


def test_where_the_arterial_phase_was_not_imaged_nothing_is_said(
    phases: ArterialPhases, record: PatientRecord
) -> None:
    whole = load_volumes(phases.place(record.patient_id))["tumor"]
    lower = whole.geometry.cropped((0, 0, 0), (*whole.geometry.shape[:2], whole.geometry.shape[2] // 2))
    array = whole.array[:, :, : lower.shape[2]].copy()
    array[:4] = 255
    back = phases.to_venous(Volume(array=array, geometry=lower), record.patient_id).array
    assert (back[..., -6:] == 255).all()
    assert (back[10:50, 10:40, 8] == 0).mean() > 0.5
    assert (back[:2, 20, 8] == 255).all()  # where the network said nothing
    assert set(np.unique(back)) <= {0, 1, 255}


def test_without_registration_both_phases_share_coordinates(
    manifest: Manifest, record: PatientRecord, tmp_path: Path
) -> None:
    phases = phases_of(manifest, tmp_path, RegistrationSettings(method="none"))
    place = phases.place(record.patient_id)
    assert not (place / FIELD).exists()
    found, drawn = load_volumes(place)["tumor"], phases.patients[record.patient_id].tumor
    assert drawn is not None
    assert_array_equal(found.array, resample_labels(drawn, found.geometry).array)


def test_a_patient_without_arterial_phase_is_refused_by_name(
    phases: ArterialPhases, record: PatientRecord
) -> None:
    alone = replace(phases, records={record.patient_id: replace(record, arterial=None)})
    with pytest.raises(InputError, match="no arterial phase") as refusal:
        alone.place(record.patient_id)
    assert refusal.value.code == "E_ARTERIAL"
    assert refusal.value.patient == record.patient_id


def test_a_field_is_read_as_it_was_written(tmp_path: Path) -> None:
    grid = Geometry(shape=(20, 18, 16), spacing=(2.0, 2.0, 2.0), origin=(3.0, 1.0, -8.0))
    displacement = np.random.default_rng(0).normal(0, 1, (3, 7, 6, 5)).astype(np.float32)
    report = RegistrationReport(
        method="deeds",
        min_jacobian=0.5,
        folding_percent=0.0,
        sd_log_jacobian=0.1,
        consistency_mean_mm=None,
        consistency_p95_mm=None,
        distance_before=9.0,
        distance_after=5.0,
        overlap=1.0,
        seconds=12.5,
        peak_memory_mb=300.0,
        flags=("something",),
    )
    affine = np.eye(4) + 0.01
    written = Registration(
        grid=grid, control=ControlField(displacement=displacement, spacing=3), affine=affine, report=report
    )
    save_field(tmp_path / "field", written)
    found = load_field(tmp_path / "field")
    assert found.grid == grid
    assert found.is_flagged
    assert_array_equal(found.control.displacement, displacement)
    assert_allclose(found.displacement(grid), written.displacement(grid))
    labels = Volume(array=np.ones(grid.shape, np.uint8), geometry=grid)
    assert_array_equal(carried(labels, found, grid).array, written.warp_labels(labels, grid).array)
