"""The benchmarks of training stand on a store like any other, and count what they say."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import training_pipeline, training_scale, training_store

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.learned import Learned
from lymphct.cascade.node_cases import identification_cases
from lymphct.core.terms import Phase, StageName
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.learning.patches import PatchSampler
from lymphct.learning.settings import AugmentationSettings, SamplingSettings
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.phantom.settings import PhantomSettings


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedCohort:
    """Four patients, two with files of their own, of a small phantom."""
    monkeypatch.setattr(training_store, "FULL", (120, 110, 70))
    monkeypatch.setattr(training_store, "WRITTEN", 2)
    monkeypatch.setattr(training_store, "PHANTOM", PhantomSettings(size="nano"))
    return training_store.scale_store(tmp_path, 4)


def test_patients_of_the_store_differ_and_the_others_are_links(cohort: PreparedCohort) -> None:
    assert list(cohort) == ["p000", "p001", "p002", "p003"]
    first, second = (np.asarray(cohort[name].ct.venous.array) for name in ("p000", "p001"))
    assert first.shape == second.shape == (120, 110, 70)
    assert (first != second).mean() > 0.9
    one, linked = (cohort[name].images / "venous.chunks" for name in ("p000", "p002"))
    assert one.stat().st_ino == linked.stat().st_ino
    again = training_store.scale_store(cohort.store.folder, 4)
    assert again["p001"].digest == cohort["p001"].digest


def test_every_stage_finds_what_it_learns_from_in_the_store(cohort: PreparedCohort) -> None:
    learned = Learned(intensity=dict.fromkeys(Phase, DEFAULT_INTENSITY), bands=PAPER_BANDS)
    material = Material(patients=cohort, learned=learned, config=training_scale.config_of(2))
    cases = segmentation_cases(material, list(cohort), StageName.NODES)
    sampling = SamplingSettings(patch_size=(32, 32, 16))
    batch = PatchSampler(cases, sampling, AugmentationSettings(), 0).batch(0)
    assert batch.attention is not None
    assert batch.attention.amax((1, 2, 3, 4)).min() > 0
    assert batch.labels[1].any()
    nodes = identification_cases(material, list(cohort))
    assert {number for case in nodes for number in case.classes} == {0, 1}
    assert material.config.nodes.training.iterations_per_epoch == 2
    assert material.config.nodes.sampling.patch_size == (160, 192, 80)


def test_every_batch_is_asked_for_once_and_waiting_is_a_share_of_all() -> None:
    asked: list[int] = []
    given = argparse.Namespace(iterations=6, threads=0, wait=0.001)
    found = training_pipeline.waited(asked.append, given)
    assert asked == list(range(training_pipeline.WARM + 6))
    assert 0 <= found["share"] <= 1
    assert found["iteration"] >= 0.001
