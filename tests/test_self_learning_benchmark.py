"""The benchmark of self-learning shortens vessels from their far end, and counts what it says."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import self_learning, self_learning_picture

from lymphct.cascade.prepared import PreparedPatient
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume

GRID = Geometry(shape=(12, 8, 14), spacing=(2.0, 2.0, 2.5))
AORTA, SMA, LGA = Structure.AORTA, Structure.SUPERIOR_MESENTERIC_ARTERY, Structure.LEFT_GASTRIC_ARTERY


@pytest.fixture
def patient() -> PreparedPatient:
    """An aorta; a vessel that leaves it forward and turns down, ten voxels long; and a thin one."""
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[5, 6:8, :] = AORTA
    array[5, 3:6, 12] = SMA
    array[5, 3, 5:12] = SMA
    array[8, 1, 9:11] = LGA
    volume = Volume(array=array, geometry=GRID)
    ct = Multiphase(venous=volume.with_array(array.astype(np.int16)))
    return PreparedPatient(patient_id="p", ct=ct, structures=volume)


def test_a_short_vessel_keeps_the_part_at_the_aorta(patient: PreparedPatient) -> None:
    short = self_learning.shortened(patient)
    assert short.structures is not None
    array = short.structures.array
    # From the aorta: three voxels forward, then down. Eight steps, corners count one; 3.2 of them are kept.
    kept = [[5, 3, 10], [5, 3, 11], [5, 3, 12], [5, 4, 12], [5, 5, 12]]
    assert np.argwhere(array == SMA).tolist() == kept
    assert not (array == LGA).any()
    assert (array == AORTA).sum() == 28
    assert short.labelled is not None
    assert set(Structure) - set(short.labelled) == set(self_learning.LACKING)


def test_differences_are_those_of_the_same_patients() -> None:
    teacher = np.tile([0.5, 0.7, np.nan], (10, 1)).T
    student = teacher + 0.1
    scores = {
        self_learning.TEACHER: teacher,
        self_learning.ALONE: teacher,
        self_learning.FIRST: student,
        self_learning.SECOND: student,
    }
    rows, text = self_learning.told(scores)
    apart = [row for row in rows if row["arm"] == f"{self_learning.FIRST} - {self_learning.TEACHER}"]
    assert len(apart) == 10
    for row in apart:
        assert [row[name] for name in ("dice", "low", "high")] == pytest.approx([0.1, 0.1, 0.1])
        assert row["patients"] == 2
    assert "better than the teacher in the superior mesenteric artery: yes" in text
    assert "Dice of the left gastric artery at least 0.6: yes (0.700)" in text


def test_the_picture_shows_the_artery_that_lies_in_front(patient: PreparedPatient) -> None:
    assert patient.structures is not None
    seen = self_learning_picture.seen_from_front(patient.structures.array)
    assert seen.shape == (12, 14)
    assert seen[5, 8] == SMA
    assert seen[5, 2] == AORTA
    assert_array_equal(seen[8, 9:11], LGA)
    assert seen[0].max() == 0


def test_the_page_has_a_place_for_the_table() -> None:
    page = self_learning_picture.PAGE.read_text(encoding="utf-8")
    written = self_learning_picture.with_figures(page, "| a |\n")
    assert "\n| a |\n\n![" in written
    assert self_learning_picture.with_figures(written, "| a |\n") == written
    assert written.index("measured:begin") < written.index("| a |") < written.index("measured:end")
