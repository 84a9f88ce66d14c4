"""The benchmark of priors counts what it says, and compares maps on phantoms that none was fitted on."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import priors

from lymphct.attention.bands import PAPER_BANDS
from lymphct.evaluation.classification import auc
from lymphct.evaluation.statistics import Interval
from lymphct.phantom.settings import PhantomSettings

NANO = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)


def test_the_area_of_counts_is_that_of_the_voxels() -> None:
    rng = np.random.default_rng(3)
    nodes, others = rng.integers(0, 9, 40), rng.integers(0, 7, 60)
    counts = [np.bincount(values, minlength=256).astype(float) for values in (nodes, others)]
    labels = np.arange(100) < 40
    assert priors.area(*counts) == pytest.approx(auc(labels, np.concatenate([nodes, others]).astype(float)))


def test_every_voxel_of_the_body_is_of_one_kind() -> None:
    patient = priors.phantoms(NANO, 1, range(1))[0]
    plain, dark = (priors.counted(patient, PAPER_BANDS, suppress=suppress) for suppress in (False, True))
    body = (patient.venous.array > priors.AIR) | (patient.nodes.instances.array > 0)
    assert sum(values.sum() for values in plain.values()) == body.sum()
    assert plain["nodes"].sum() == (patient.nodes.instances.array > 0).sum()
    np.testing.assert_array_equal(plain["fat"], dark["fat"])
    assert priors.lit(dark["organs"]) < priors.lit(plain["organs"])


@pytest.mark.slow
def test_the_table_has_a_row_for_each_map_of_patients_nobody_was_fitted_on() -> None:
    found = priors.table(NANO, seed=2, training=4, patients=3)
    maps = ("bands of Tab. II", "bands fitted", "trapezia", "atlas")
    assert [row[0] for row in found.rows] == [m + d for m in maps for d in ("", ", other organs dark")]
    assert found.columns == ("Map", *priors.MEASURES)
    cells = [cell for row in found.rows for cell in row[1:] if isinstance(cell, Interval)]
    assert len(cells) == 48
    assert all(0.0 <= cell.estimate <= 1.0 for cell in cells)
    first, later = priors.phantoms(NANO, 2, range(4)), priors.phantoms(NANO, 2, range(4, 5))
    assert later[0].patient_id not in {patient.patient_id for patient in first}


def test_pooled_voxels_are_those_of_the_chosen_patients() -> None:
    one: priors.Counts = {kind: np.eye(256)[n] for n, kind in enumerate(("nodes", "fat", "organs"))}  # type: ignore[misc] # keys are literals
    two: priors.Counts = {**one, "nodes": np.eye(256)[5]}
    nodes = priors.MEASURES["Nodes lit"]
    assert [priors.pooled([one, two], nodes, rows) for rows in ((0,), (1,), (0, 1))] == [0.0, 1.0, 0.5]


def test_covered_nodes_are_those_within_the_quarter_of_the_fat_with_most_attention() -> None:
    nodes, fat = np.zeros(256), np.zeros(256)
    nodes[[0, 100, 200, 255]] = 1.0, 2.0, 3.0, 4.0
    fat[[0, 100, 200]] = 60.0, 30.0, 10.0
    # A quarter of the fat is all of 200 and half of 100; nodes that are equally lit count by half, too.
    assert priors.covered(nodes, fat) == pytest.approx((4.0 + 3.0 + 1.0) / 10.0)
