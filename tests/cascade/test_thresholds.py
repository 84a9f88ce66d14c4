"""Thresholds are chosen on validation patients, and the best candidate is taken."""

import gc
import math
import shutil
import sys
import weakref
from collections.abc import Sequence
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

from lymphct.cascade import node_candidates as node_points
from lymphct.cascade import thresholds
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.description import ThresholdChoice
from lymphct.cascade.node_candidates import NodeCandidate, best_candidate, node_candidates
from lymphct.cascade.node_cases import identification_cases
from lymphct.cascade.thresholds import (
    PROBABILITIES,
    VOLUMES,
    Choice,
    Lesson,
    choose_identification,
    choose_nodes,
    choose_status,
    score_segmentation,
    tell_choice,
)
from lymphct.config import Config
from lymphct.core.errors import UsageError
from lymphct.core.leakage import Roles
from lymphct.core.patient import Multiphase
from lymphct.core.terms import StageName
from lymphct.core.volume import Volume
from lymphct.evaluation.detection import instance_scores, match_instances
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import load_models
from lymphct.io.settings import load_config
from lymphct.learning.settings import UNetSettings
from lymphct.learning.validation import mean_dice
from lymphct.metastasis.sampling import StatusCase
from lymphct.nodes.calling import NodeScores
from lymphct.nodes.crops import NOT_A_NODE, UNKNOWN, IdentificationCase, drawn_ious
from lymphct.nodes.instances import find_instances
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.settings import HeadSettings
from lymphct.study.plan import Run


@pytest.fixture(scope="module")
def network(bundle: Path) -> NodeNetwork:
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


def best_at(monkeypatch: pytest.MonkeyPatch, threshold: float, min_volume: float, f: float = 1.0) -> None:
    """Let scores depend on the operating point alone: a network of a few iterations finds nothing."""

    def probability(_network: object, image: Multiphase, _attention: Volume, _settings: object) -> Volume:
        return image.venous

    def found(_probability: Volume, **point: Any) -> SimpleNamespace:
        return SimpleNamespace(instances=SimpleNamespace(array=(point["threshold"], point["min_volume"])))

    def scored(matches: list[tuple[float, float]]) -> SimpleNamespace:
        distance = abs(matches[0][0] - threshold) + abs(matches[0][1] - min_volume) / 100
        return SimpleNamespace(recall=0.5, precision=0.25, f=f * (1.0 - distance))

    monkeypatch.setattr(node_points, "predict_node_probability", probability)
    monkeypatch.setattr(node_points, "find_instances", found)
    monkeypatch.setattr(node_points, "match_instances", lambda prediction, _truth: prediction)
    monkeypatch.setattr(node_points, "instance_scores", scored)


def test_of_all_operating_points_the_one_of_the_highest_f_is_chosen(
    network: NodeNetwork, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, float, float]] = []
    current: list[str] = []

    def probability(_network: object, image: Multiphase, _attention: Volume, _settings: object) -> Volume:
        current.append(str(len(current)))
        return image.venous

    def found(
        _probability: Volume, *, threshold: float, min_volume: float, growth: float | None
    ) -> SimpleNamespace:
        assert growth is None
        seen.append((current[-1], threshold, min_volume))
        return SimpleNamespace(instances=SimpleNamespace(array=(threshold, min_volume)))

    best_at(monkeypatch, 0.6, 70.0)
    monkeypatch.setattr(node_points, "predict_node_probability", probability)
    monkeypatch.setattr(node_points, "find_instances", found)
    choice = choose_nodes(network, lesson)
    assert choice.thresholds == {"node_voxel": 0.6, "node_min_volume_mm3": 70.0}
    assert choice.settings.model_dump()["threshold"] == 0.6
    assert choice.scores == {"recall": 0.5, "precision": 0.25, "f": 1.0}
    validation = len(lesson.roles.validation)
    assert choice.chosen == dict.fromkeys(
        choice.thresholds, ThresholdChoice(by="validation", patients=validation)
    )
    # Every candidate is judged on the same patients: all of the validation part, nobody else.
    points = {(t, v) for _, t, v in seen}
    assert points >= {(t, v) for t in PROBABILITIES for v in VOLUMES}
    assert len(current) == len(lesson.roles.validation)
    assert len(seen) == len(current) * len(points)


def test_the_probability_map_of_one_patient_is_in_memory_at_a_time(
    network: NodeNetwork, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
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

    monkeypatch.setattr(node_points, "predict_node_probability", probability)
    everybody = lesson.roles.everybody
    node_candidates(network, lesson.material.config.nodes, lesson.material, everybody, [(0.5, 30.0)])
    assert len(alive) == len(everybody) > 2
    assert most == 0  # not even the one before


def test_candidates_find_the_same_in_the_box_of_what_is_there(
    network: NodeNetwork, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    made: list[Volume] = []

    def probability(_network: object, image: Multiphase, attention: Volume, _settings: object) -> Volume:
        noise = rng.random(image.venous.geometry.shape, np.float32) * (attention.array > 0.5)
        made.append(image.venous.with_array(noise))
        return made[-1]

    monkeypatch.setattr(node_points, "predict_node_probability", probability)
    grid = [(0.8, 30.0), (0.3, 100.0), (0.99, 30.0)]
    names = lesson.roles.validation
    found = node_candidates(network, lesson.material.config.nodes, lesson.material, names, grid)
    assert made
    for candidate in found:
        point = {"threshold": candidate.threshold, "min_volume": candidate.min_volume}
        whole = []
        for volume, name in zip(made, names, strict=True):
            truth = lesson.material.patients[name].instances
            assert truth is not None
            whole.append(match_instances(find_instances(volume, **point).instances.array, truth.array))
        assert repr(candidate.scores) == repr(instance_scores(whole))


def test_where_patches_chose_the_epoch_whole_patients_are_scored_in_the_end(
    bundle: Path, lesson: Lesson
) -> None:
    trained = load_models(read_bundle(bundle), torch.device("cpu")).tumor
    assert trained is not None
    cases = segmentation_cases(lesson.material, lesson.roles.everybody, StageName.TUMOR)
    for on, limit, names in (("patches", 1, {"dice"}), ("windows", 1, set()), ("patches", None, {"dice"})):
        settings = lesson.material.config.tumor.model_copy(
            update={"validate_on": on, "validation_cases": limit}
        )
        asked = replace(lesson, settings=settings, validation=cases)
        choice = score_segmentation(trained.network, asked)
        assert choice.scores.keys() == names
        if names:
            expected = mean_dice(trained.network, cases[:limit], settings)
            assert choice.scores["dice"] == expected
    assert score_segmentation(trained.network, replace(asked, validation=())).scores == {}


def test_operating_points_are_judged_with_the_nodes_they_give(network: NodeNetwork, lesson: Lesson) -> None:
    settings = lesson.material.config.nodes
    grid = [(0.0001, 30.0), (0.9999, 30.0)]
    low, high = node_candidates(network, settings, lesson.material, lesson.roles.validation, grid)
    assert (low.threshold, low.min_volume, high.threshold) == (0.0001, 30.0, 0.9999)
    assert low.scores.true_positives + low.scores.false_positives > 0
    assert high.scores.true_positives + high.scores.false_positives == 0


def test_without_validation_patients_the_settings_stay(network: NodeNetwork, lesson: Lesson) -> None:
    alone = replace(lesson, roles=Roles(train=lesson.roles.train))
    default = ThresholdChoice(by="default", why="no validation patients")
    assert choose_nodes(network, alone) == Choice(
        settings=lesson.settings,
        thresholds={"node_voxel": 0.5, "node_min_volume_mm3": 400.0},
        chosen={"node_voxel": default, "node_min_volume_mm3": default},
    )


def test_candidates_begin_below_what_was_chosen_so_far_and_an_edge_is_told(
    network: nn.Module,
    lesson: Lesson,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert min(PROBABILITIES) == 0.01
    best_at(monkeypatch, 0.01, 70.0)
    choice = choose_nodes(network, lesson)
    assert {name: how.at_edge for name, how in choice.chosen.items()} == {
        "node_voxel": True,
        "node_min_volume_mm3": False,
    }
    tell_choice("nodes", choice)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "nodes: node_voxel 0.01 chosen on 1 validation patient, at the edge of the cand" in record.message


def reached(recall: float, precision: float, f: float = 0.5) -> Any:
    return SimpleNamespace(recall=recall, precision=precision, f=f)


def point(threshold: float, scores: Any) -> NodeCandidate:
    return NodeCandidate(threshold, 30.0, scores, 5)


CANDIDATES = [
    point(0.5, reached(0.6, 0.9, f=0.72)),
    point(0.05, reached(0.8, 0.3)),  # nodes flow together: less is found than at 0.1
    point(0.1, reached(0.95, 0.4)),
    point(0.2, reached(0.9, 0.55)),
    point(0.3, reached(0.9, 0.55)),
    point(0.9, reached(math.nan, math.nan, f=math.nan)),
]


@pytest.mark.parametrize(
    ("least_recall", "threshold"), [(None, 0.5), (0.5, 0.5), (0.9, 0.3), (0.91, 0.1), (0.95, 0.1)]
)
def test_of_the_points_with_the_demanded_recall_the_most_precise_is_taken(
    least_recall: float | None, threshold: float
) -> None:
    best, remark = best_candidate(CANDIDATES, least_recall)
    assert (best.threshold, remark) == (threshold, "")


def test_where_no_point_has_the_demanded_recall_the_highest_is_taken_and_said() -> None:
    best, remark = best_candidate(CANDIDATES, 0.96)
    assert best.threshold == 0.1
    assert remark == "no candidate has a recall of 0.96, the highest is 0.950"
    alone, remark = best_candidate(CANDIDATES[-1:], 0.5)  # nothing drawn, nothing found
    assert (alone.threshold, remark[-5:]) == (0.9, "0.000")


def test_stage_1_works_at_the_demanded_recall_among_the_thresholds_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def judged(*arguments: Any) -> list[NodeCandidate]:
        return [NodeCandidate(t, v, reached(1 - t, t, f=1 - v / 1000), 5) for t, v in arguments[-1]]

    def chosen(*overrides: str) -> Choice:
        config = load_config(None, ["nodes.candidate_thresholds=[0.04,0.15,0.6]", *overrides])
        material: Any = SimpleNamespace(config=config)
        asked = Lesson(
            material=material,
            roles=Roles(train=(), validation=()),
            settings=config.nodes,
            cases=(),
            validation=(),
        )
        unet = UNetSettings(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1)
        return choose_nodes(NodeNetwork(2, unet, HeadSettings()), asked)

    monkeypatch.setattr(thresholds, "node_candidates", judged)
    choice = chosen("nodes.least_recall=0.8")
    assert choice.thresholds == {"node_voxel": 0.15, "node_min_volume_mm3": 30.0}
    assert choice.scores["recall"] == pytest.approx(0.85)
    assert choice.chosen["node_voxel"] == ThresholdChoice(by="validation", patients=5)
    choice = chosen("nodes.least_recall=1")
    assert choice.thresholds["node_voxel"] == 0.04
    tell_choice("nodes", choice)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "no candidate has a recall of 1, the highest is 0.960" in record.message
    assert chosen().thresholds["node_voxel"] == 0.5  # of equal F the first, the value of the settings


def test_by_default_the_highest_f_chooses_from_a_threshold_of_a_hundredth_on() -> None:
    for nodes in (load_config(None).nodes, load_config("paper").nodes):
        assert nodes.least_recall is None
        assert nodes.candidate_thresholds == PROBABILITIES
    with pytest.raises(UsageError, match="candidate_thresholds"):
        load_config(None, ["nodes.candidate_thresholds=[]"])
    with pytest.raises(UsageError, match="least_recall"):
        load_config(None, ["nodes.least_recall=0"])


def test_where_no_candidate_finds_a_node_the_default_stands(
    network: NodeNetwork, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    best_at(monkeypatch, 0.2, 70.0, f=0.0)
    choice = choose_nodes(network, lesson)
    assert choice.thresholds == {"node_voxel": 0.5, "node_min_volume_mm3": 400.0}
    assert choice.chosen["node_voxel"].why == "no candidate finds a node of the validation patients"


@pytest.mark.parametrize(
    "overrides", [["cascade.choose_thresholds=false"], ["nodes.choose_operating_point=false"]]
)
def test_switched_off_the_operating_point_stays_and_is_scored(
    overrides: list[str], network: NodeNetwork, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    best_at(monkeypatch, 0.2, 70.0)
    config = load_config(None, overrides)
    choice = choose_nodes(
        network, replace(lesson, settings=config.nodes, material=replace(lesson.material, config=config))
    )
    assert choice.thresholds == {"node_voxel": 0.5, "node_min_volume_mm3": 30.0}
    assert choice.scores["f"] == pytest.approx(0.3)
    assert choice.chosen["node_voxel"] == ThresholdChoice(by="default", why="the settings choose none")


def test_the_preset_of_the_paper_keeps_its_operating_point() -> None:
    nodes = load_config("paper").nodes
    assert (nodes.threshold, nodes.min_volume, nodes.choose_operating_point) == (0.5, 30.0, False)


def status_case(name: str, n_status: int, volume: float) -> StatusCase:
    return StatusCase(
        patient=name, patches=np.zeros((9, 3, 4, 4), np.float32), volume=volume, n_status=n_status
    )


def status_lesson(lesson: Lesson, *validation: StatusCase, overrides: Sequence[str] = ()) -> Lesson:
    """A training on patients of both classes who must not choose."""
    config = load_config(None, overrides)
    return Lesson(
        material=replace(lesson.material, config=config),
        roles=Roles(train=("t1", "t2"), validation=tuple(case.patient for case in validation)),
        settings=config.metastasis,
        cases=[status_case("t1", 0, 100.0), status_case("t2", 1, 900.0)],
        validation=validation,
    )


V1, V2 = status_case("v1", 0, 200.0), status_case("v2", 1, 600.0)


def by_volume(_network: nn.Module, _patches: object, volume: float) -> float:
    return volume / 1000.0


@pytest.mark.parametrize(
    ("validation", "why"), [((), "no validation patients"), ((V2,), "validation patients of one class only")]
)
def test_training_patients_never_choose_the_threshold_of_the_status(
    validation: tuple[StatusCase, ...], why: str, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*_arguments: object) -> float:
        pytest.fail("a patient was looked at")

    monkeypatch.setattr(thresholds, "predict_status", unwanted)
    choice = choose_status(nn.Identity(), status_lesson(lesson, *validation))
    assert (choice.thresholds, choice.scores) == ({"patient": 0.5}, {})
    assert choice.chosen == {"patient": ThresholdChoice(by="default", why=why)}


def test_validation_patients_of_both_classes_choose_the_threshold_of_the_status(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thresholds, "predict_status", by_volume)
    choice = choose_status(nn.Identity(), status_lesson(lesson, V1, V2))
    assert choice.thresholds == {"patient": 0.4, "largest_positive_volume_mm3": 400.0}
    assert choice.chosen["patient"] == ThresholdChoice(by="validation", patients=2)
    wrong = choose_status(
        nn.Identity(), status_lesson(lesson, replace(V1, n_status=1), replace(V2, n_status=0))
    )
    assert wrong.chosen["patient"].at_edge


def test_the_volume_of_the_rule_is_that_of_the_largest_node_whatever_the_network_is_given(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thresholds, "predict_status", by_volume)
    # By the mean of its nodes the N- patient has the larger volume.
    first, second = replace(V1, volume=500.0, largest=250.0), replace(V2, volume=400.0, largest=900.0)
    choice = choose_status(nn.Identity(), status_lesson(lesson, first, second))
    assert choice.thresholds["largest_positive_volume_mm3"] == 575.0
    assert choice.scores["auc_volume"] == 1.0


def test_the_status_keeps_its_default_where_the_settings_choose_nothing(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(thresholds, "predict_status", by_volume)
    choice = choose_status(
        nn.Identity(), status_lesson(lesson, V1, V2, overrides=["cascade.choose_thresholds=false"])
    )
    assert choice.thresholds == {"patient": 0.5}
    assert choice.scores == {"auc": 1.0, "auc_volume": 1.0}
    tell_choice("metastasis", choice)
    assert caplog.messages == ["metastasis: patient 0.5 is the default (the settings choose none)"]


def test_a_stage_without_thresholds_tells_nothing(lesson: Lesson, caplog: pytest.LogCaptureFixture) -> None:
    tell_choice("tumor", Choice(settings=lesson.settings))
    assert caplog.messages == []


@pytest.fixture
def named_nodes(make_patient: Any, lesson: Lesson, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a lesson of one validation patient with the last nodes of two."""
    monkeypatch.setattr(
        thresholds,
        "predict_nodes",
        lambda _network, case, _settings: NodeScores(np.full((len(case.labels), 2), 0.5)),
    )

    def made(without: int, overrides: Sequence[str]) -> Lesson:
        patient = make_patient("p1")
        kept = replace(patient.nodes, nodes=patient.nodes.nodes[without:])
        config = tiny.model_copy(update={"cascade": load_config(None, overrides).cascade})
        material = replace(lesson.material, patients={"p1": replace(patient, nodes=kept)}, config=config)
        cases = identification_cases(material, ["p1"])
        return replace(lesson, material=material, settings=tiny.identification, validation=cases)

    return made


@pytest.mark.parametrize(
    ("without", "overrides", "why"),
    [
        (2, (), "no validation patients"),
        (1, (), "validation nodes of one class only"),
        (0, ("cascade.choose_thresholds=false",), "the settings choose none"),
    ],
)
def test_identification_keeps_its_default_and_says_why(
    without: int, overrides: tuple[str, ...], why: str, named_nodes: Any
) -> None:
    choice = choose_identification(nn.Identity(), named_nodes(without, overrides))
    assert choice.thresholds == {"node_positive": 0.5}
    assert choice.chosen == {"node_positive": ThresholdChoice(by="default", why=why)}


def nodes_of(
    case: IdentificationCase, classes: Sequence[int], volumes: Sequence[float]
) -> IdentificationCase:
    """Return the case with other nodes, told apart by their volume if at all."""
    features = np.zeros((len(classes), 7))
    features[:, 0] = volumes
    number = range(1, len(classes) + 1)
    boxes = (case.boxes[0],) * len(classes)
    drawn = replace(case, classes=tuple(classes), labels=tuple(number), boxes=boxes, features=features)
    return replace(drawn, ious=drawn_ious(classes))


def test_stage_2_is_measured_beside_logistic_regression_on_the_same_nodes(
    named_nodes: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = named_nodes(0, ())
    (case,) = lesson.validation
    # In training the large ones are positive; of six validation nodes one pair is the other way round. What
    # has no class is not learned from, what is no lymph node is not judged.
    taught = nodes_of(case, [0, 0, 1, 1, UNKNOWN, NOT_A_NODE], [1, 2, 8, 9, 100, -100])
    judged = nodes_of(case, [0, 0, 1, 1, NOT_A_NODE], [1, 5, 4, 9, 50])
    monkeypatch.setattr(
        thresholds,
        "predict_nodes",
        lambda *_: NodeScores(np.array([[0.8, 0.2], [0.6, 0.4]] * 2 + [[0.5, 0.5]])),
    )
    with caplog.at_level("INFO", logger="lymphct"):
        choice = choose_identification(nn.Identity(), replace(lesson, cases=[taught], validation=[judged]))
    assert choice.scores == {"auc": 0.5, "auc_logistic": 0.75}
    assert (
        "identification: AUC 0.500 on 4 validation nodes, 0.750 by logistic regression on volume and HU"
        in caplog.messages
    )
    alone = choose_identification(nn.Identity(), replace(lesson, cases=[], validation=[judged]))
    assert alone.scores == {"auc": 0.5}
    # Nodes as drawn and as found are two cases of one patient.
    both = choose_identification(nn.Identity(), replace(lesson, cases=[], validation=[judged, judged]))
    assert both.chosen["node_positive"].patients == 1


def test_a_network_of_another_stage_is_refused(bundle: Path, lesson: Lesson) -> None:
    tumor = load_models(read_bundle(bundle), torch.device("cpu")).tumor
    assert tumor is not None
    with pytest.raises(UsageError, match="SegmentationNetwork was given where NodeNetwork is needed"):
        choose_nodes(tumor.network, lesson)


def candidate(threshold: float, recall: float, precision: float) -> Any:
    scores = SimpleNamespace(recall=recall, precision=precision, f=0.5)
    return SimpleNamespace(threshold=threshold, min_volume=30.0, scores=scores, patients=7)


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
    assert info.parts[StageName.NODES].chosen["node_voxel"].patients == 7
    assert info.parts[StageName.NODES].scores == {"recall": 0.75, "precision": 0.5, "f": 0.5}
    before = read_bundle(bundle).weights["nodes"]
    assert all(
        torch.equal(before[name], tensor) for name, tensor in read_bundle(copy).weights["nodes"].items()
    )
