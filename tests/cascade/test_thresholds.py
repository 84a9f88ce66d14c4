"""Thresholds are chosen on validation patients, and the best candidate is taken."""

import gc
import shutil
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are scripts, not a part of the package

from benchmarks.stage1_operating_points import nearest, write

from lymphct.cascade import thresholds
from lymphct.cascade.cases import Material
from lymphct.cascade.thresholds import (
    PROBABILITIES,
    VOLUMES,
    Choice,
    Lesson,
    choose_nodes,
    node_candidates,
)
from lymphct.core.errors import UsageError
from lymphct.core.leakage import Roles
from lymphct.core.patient import Multiphase
from lymphct.core.terms import StageName
from lymphct.core.volume import Volume
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import load_models
from lymphct.study.plan import Run


@pytest.fixture(scope="module")
def network(bundle: Path) -> nn.Module:
    trained = load_models(read_bundle(bundle), torch.device("cpu")).nodes
    assert trained is not None
    return trained.network


@pytest.fixture(scope="module")
def lesson(bundle: Path) -> Lesson:
    run = Run.open(bundle.parent)
    plan = run.plan
    return Lesson(
        material=Material(patients=run.patients, learned=plan.learned, config=plan.config),
        roles=plan.roles(StageName.NODES),
        settings=plan.config.nodes,
        cases=(),
        validation=(),
    )


def test_of_all_operating_points_the_one_of_the_highest_f_is_chosen(
    network: nn.Module, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, float, float]] = []
    current: list[str] = []

    def probability(_network: object, image: Multiphase, _attention: Volume, _settings: object) -> Volume:
        current.append(str(len(current)))
        return image.venous

    def found(_probability: Volume, *, threshold: float, min_volume: float) -> SimpleNamespace:
        seen.append((current[-1], threshold, min_volume))
        return SimpleNamespace(instances=SimpleNamespace(array=(threshold, min_volume)))

    def scored(matches: list[tuple[float, float]]) -> SimpleNamespace:
        # A network of a few iterations finds nothing: scores that depend on the operating point alone.
        threshold, min_volume = matches[0]
        f = 1.0 - abs(threshold - 0.6) - abs(min_volume - 70.0) / 100
        return SimpleNamespace(recall=0.5, precision=0.25, f=f)

    monkeypatch.setattr(thresholds, "predict_node_probability", probability)
    monkeypatch.setattr(thresholds, "find_instances", found)
    monkeypatch.setattr(thresholds, "match_instances", lambda prediction, _truth: prediction)
    monkeypatch.setattr(thresholds, "instance_scores", scored)
    choice = choose_nodes(network, lesson)
    assert choice.thresholds == {"node_voxel": 0.6, "node_min_volume_mm3": 70.0}
    assert choice.settings.model_dump()["threshold"] == 0.6
    assert choice.scores == {"recall": 0.5, "precision": 0.25, "f": 1.0}
    # Every candidate is judged on the same patients: all of the validation part, nobody else.
    points = {(t, v) for _, t, v in seen}
    assert points >= {(t, v) for t in PROBABILITIES for v in VOLUMES}
    assert len(current) == len(lesson.roles.validation)
    assert len(seen) == len(current) * len(points)


def test_the_probability_map_of_one_patient_is_in_memory_at_a_time(
    network: nn.Module, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Any]] = []
    most = 0

    def probability(_network: object, image: Multiphase, _attention: Volume, _settings: object) -> Volume:
        nonlocal most
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
        made = image.venous.with_array(np.zeros(image.venous.geometry.shape, np.float32))
        alive.append(weakref.ref(made.array))
        return made

    monkeypatch.setattr(thresholds, "predict_node_probability", probability)
    everybody = lesson.roles.everybody
    node_candidates(network, lesson.material.config.nodes, lesson.material, everybody, [(0.5, 30.0)])
    assert len(alive) == len(everybody) > 2
    assert most <= 1  # the one before, until the loop lets go of it


def test_operating_points_are_judged_with_the_nodes_they_give(network: nn.Module, lesson: Lesson) -> None:
    settings = lesson.material.config.nodes
    grid = [(0.0001, 30.0), (0.9999, 30.0)]
    low, high = node_candidates(network, settings, lesson.material, lesson.roles.validation, grid)
    assert (low.threshold, low.min_volume, high.threshold) == (0.0001, 30.0, 0.9999)
    assert low.scores.true_positives + low.scores.false_positives > 0
    assert high.scores.true_positives + high.scores.false_positives == 0


def test_without_validation_patients_the_settings_stay(network: nn.Module, lesson: Lesson) -> None:
    alone = replace(lesson, roles=Roles(train=lesson.roles.train))
    assert choose_nodes(network, alone) == Choice(settings=lesson.settings)


def test_a_network_of_another_stage_is_refused(bundle: Path, lesson: Lesson) -> None:
    tumor = load_models(read_bundle(bundle), torch.device("cpu")).tumor
    assert tumor is not None
    with pytest.raises(UsageError, match="SegmentationNetwork was given where NodeNetwork is needed"):
        choose_nodes(tumor.network, lesson)


def candidate(threshold: float, recall: float, precision: float) -> Any:
    scores = SimpleNamespace(recall=recall, precision=precision, f=0.5)
    return SimpleNamespace(threshold=threshold, min_volume=30.0, scores=scores)


def test_for_a_recall_the_nearest_point_is_taken_and_of_two_the_more_precise() -> None:
    points = [candidate(0.1, 0.95, 0.3), candidate(0.2, 0.85, 0.4), candidate(0.3, 0.85, 0.5)]
    assert nearest(points, 0.93).threshold == 0.1
    assert nearest(points, 0.86).threshold == 0.3


def test_a_point_written_into_a_bundle_is_where_stage_1_works(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    write(candidate(0.15, 0.75, 0.5), copy)
    info = read_bundle(copy).info
    trained = load_models(read_bundle(copy), torch.device("cpu")).nodes
    assert trained is not None
    assert (trained.settings.threshold, trained.settings.min_volume) == (0.15, 30.0)
    assert info.thresholds["node_voxel"] == 0.15
    assert info.parts[StageName.NODES].scores == {"recall": 0.75, "precision": 0.5, "f": 0.5}
    before = read_bundle(bundle).weights["nodes"]
    assert all(
        torch.equal(before[name], tensor) for name, tensor in read_bundle(copy).weights["nodes"].items()
    )
