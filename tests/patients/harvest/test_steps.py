"""Masks of a step are read as they were written, and stand for the drawn ones of a patient."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import InputError, ModelError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.terms import StageName
from lymphct.core.unjudged import unjudged_in
from lymphct.core.volume import Volume
from lymphct.io.images.nifti import write_nifti
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.io.models.loading import models_in
from lymphct.io.results.volumes import save_volumes
from lymphct.patients.harvest.arterial_patient import ArterialPatient
from lymphct.patients.harvest.harvested import HarvestedPatient
from lymphct.patients.harvest.steps import labels_in, tumor_network, write_mask
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.study.harvest_scores import drawn_score

GRID = Geometry(shape=(6, 5, 4), spacing=(2.0, 2.0, 2.5), origin=(1.0, 2.0, 3.0))


@pytest.fixture
def labels() -> Volume:
    array = np.zeros(GRID.shape, np.uint8)
    array[1:4, 2, 1], array[4, 2, 1] = 1, 255
    return Volume(array=array, geometry=GRID)


@pytest.fixture
def stored(tmp_path: Path) -> StoredPatient:
    """A prepared patient with structures and without a drawn tumor."""
    folder = tmp_path / "stored"
    folder.mkdir()
    venous = Volume(array=np.full(GRID.shape, 70, np.int16), geometry=GRID)
    structures = venous.with_array(np.full(GRID.shape, 5, np.uint8))
    save_volumes(folder, {"venous": venous, "arterial": venous, "structures": structures})
    return StoredPatient("p1", folder)


def test_a_mask_is_read_as_it_was_written(labels: Volume, tmp_path: Path) -> None:
    write_mask(tmp_path, labels)
    found = labels_in(tmp_path)
    assert found.geometry == GRID
    assert_array_equal(found.array, labels.array)


def test_a_harvested_patient_has_the_masks_of_the_step_and_all_else_as_stored(
    labels: Volume, stored: StoredPatient, tmp_path: Path
) -> None:
    folder = tmp_path / "mask"
    folder.mkdir()
    write_mask(folder, labels)
    patient = HarvestedPatient(stored, folder)
    assert patient.tumor is not None
    assert patient.unjudged is not None
    assert_array_equal(patient.tumor.array, labels.array == 1)
    assert_array_equal(unjudged_in(patient.unjudged.array, StageName.TUMOR), labels.array == 255)
    assert not unjudged_in(patient.unjudged.array, StageName.NODES).any()
    assert len(patient.locations("tumor")[1]) == 3
    assert patient.structures is not None
    assert (patient.structures.array == 5).all()
    view = patient.view("venous")
    assert view is not None
    assert (view.whole().array == 70).all()


def test_in_the_arterial_phase_nothing_but_the_tumor_is_there(labels: Volume, tmp_path: Path) -> None:
    phase, folder = tmp_path / "phase", tmp_path / "mask"
    phase.mkdir()
    folder.mkdir()
    early = Volume(array=np.full(GRID.shape, 40, np.int16), geometry=GRID)
    save_volumes(phase, {"arterial": early})
    write_mask(folder, labels)
    undrawn, drawn = ArterialPatient("p1", phase), ArterialPatient("p1", phase, folder)
    assert undrawn.tumor is None
    assert dict(undrawn.locations("tumor")) == {}
    assert drawn.tumor is not None
    assert drawn.tumor.array.sum() == 3
    assert len(drawn.locations("tumor")[1]) == 3
    assert drawn.view("venous") is None  # whose grid it is not on
    assert drawn.view("structures") is None
    assert isinstance(drawn.ct, Multiphase)
    assert drawn.structures is None
    assert drawn.instances is None
    assert drawn.nodes is None


def test_a_bundle_without_a_tumor_network_draws_nothing() -> None:
    models = replace(models_in(shipped_bundle_path(), "cpu"), tumor=None)
    with pytest.raises(ModelError, match="has no tumor network"):
        tumor_network(models)


def test_a_patient_whom_nobody_drew_cannot_be_scored(stored: StoredPatient, tmp_path: Path) -> None:
    write_nifti(tmp_path / "tumor.nii.gz", Volume(array=np.ones(GRID.shape, np.uint8), geometry=GRID))
    with pytest.raises(InputError, match="nobody drew the tumor") as refusal:
        drawn_score(tmp_path, stored)
    assert refusal.value.patient == "p1"


def test_where_nobody_looked_nothing_is_scored(labels: Volume, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    folder.mkdir()
    write_mask(folder, labels)
    found = labels.array.copy()
    found[5, 0, 0] = 1  # wrong
    found[found == 255] = 1  # where nobody looked
    write_nifti(tmp_path / "tumor.nii.gz", labels.with_array(found))
    patient: Any = HarvestedPatient(StoredPatient("p1", folder), folder)
    assert drawn_score(tmp_path, patient).dice == pytest.approx(6 / 7)
