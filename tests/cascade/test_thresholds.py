"""Thresholds are chosen on validation patients, and the best candidate is taken."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are scripts, not a part of the package

from benchmarks.stage1_operating_points import nearest, write

from lymphct.cascade import thresholds as operating_point
from lymphct.cascade.models import load_models
from lymphct.cascade.thresholds import PROBABILITIES, VOLUMES, choose_nodes, node_candidates
from lymphct.config import Config
from lymphct.io.models.bundles import read_bundle
from lymphct.study.plan import Run


def test_of_all_operating_points_the_one_of_the_highest_f_is_chosen(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(bundle.parent)
    trained = load_models(read_bundle(bundle), torch.device("cpu")).nodes
    assert trained is not None
    seen = []

    def scored(pairs: object, threshold: float, min_volume: float) -> object:
        seen.append((threshold, min_volume, pairs))
        # A network of a few iterations finds nothing: scores that depend on the operating point alone.
        f = 1.0 - abs(threshold - 0.6) - abs(min_volume - 70.0) / 100
        return type("Scores", (), {"recall": 0.5, "precision": 0.25, "f": f})()

    monkeypatch.setattr(operating_point, "_instance_scores", scored)
    chosen, scores, thresholds = choose_nodes(run, trained.network)
    assert thresholds == {"node_voxel": 0.6, "node_min_volume_mm3": 70.0}
    assert chosen.model_dump()["threshold"] == 0.6
    assert scores == {"recall": 0.5, "precision": 0.25, "f": 1.0}
    assert {(t, v) for t, v, _ in seen} >= {(t, v) for t in PROBABILITIES for v in VOLUMES}
    # Every candidate is judged on the same patients: all of the validation part, nobody else.
    assert {len(pairs) for _, _, pairs in seen} == {len(run.plan.ids("validation"))}  # type: ignore[arg-type] # a list


def test_operating_points_are_judged_with_the_nodes_they_give(bundle: Path) -> None:
    run = Run.open(bundle.parent)
    trained = load_models(read_bundle(bundle), torch.device("cpu")).nodes
    assert trained is not None
    low, high = node_candidates(run, trained.network, trained.settings, [(0.0001, 30.0), (0.9999, 30.0)])
    assert (low.threshold, low.min_volume, high.threshold) == (0.0001, 30.0, 0.9999)
    assert low.scores.true_positives + low.scores.false_positives > 0
    assert high.scores.true_positives + high.scores.false_positives == 0


def test_without_validation_patients_the_settings_stay(bundle: Path, config: Config) -> None:
    run = Run.open(bundle.parent)
    trained = load_models(read_bundle(bundle), torch.device("cpu")).nodes
    assert trained is not None
    patients = {
        name: patient.model_copy(update={"part": "train"}) if patient.part == "validation" else patient
        for name, patient in run.plan.patients.items()
    }
    alone = Run(run.folder, run.plan.model_copy(update={"patients": patients}))
    assert choose_nodes(alone, trained.network) == (config.nodes, {}, {})


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
    assert info.parts["nodes"].scores == {"recall": 0.75, "precision": 0.5, "f": 0.5}
    before = read_bundle(bundle).weights["nodes"]
    assert all(
        torch.equal(before[name], tensor) for name, tensor in read_bundle(copy).weights["nodes"].items()
    )
