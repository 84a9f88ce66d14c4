from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lymphct.core.errors import InputError, ModelError
from lymphct.core.patient import Multiphase, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.learning.channels import network_channels
from lymphct.learning.settings import ClassifierTrainingSettings, UNetSettings
from lymphct.learning.training import best_weights
from lymphct.nodes.calling import identify_nodes, positive_share, predict_nodes
from lymphct.nodes.crops import NOT_A_NODE, POSITIVE, IdentificationCase, as_no_nodes, identification_case
from lymphct.nodes.features import ROBUST, fit_logistic_baseline
from lymphct.nodes.identification import (
    build_identification_network,
    fit_identification,
    fit_statistics,
    set_statistics,
    validation_score,
)
from lymphct.nodes.instances import class_map
from lymphct.nodes.network import IdentificationNetwork, MaskBranch, NodeNetwork
from lymphct.nodes.settings import (
    HeadSettings,
    IdentificationHeadSettings,
    IdentificationSettings,
    NodeSamplingSettings,
)

SETTINGS = IdentificationSettings(
    unet=UNetSettings(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1),
    sampling=NodeSamplingSettings(crop_size=(16, 16, 12), batch_size=4, box_jitter=(1, 2), box_margin=1),
    training=ClassifierTrainingSettings(epochs=1, iterations_per_epoch=16, learning_rate=5e-2, momentum=0.9),
)
THREE = SETTINGS.model_copy(update={"head": IdentificationHeadSettings(classes=3)})

KEEP_ALL = {"rejection_threshold": 1.0}


@pytest.fixture
def case(image: Multiphase, nodes: NodeMap, ct: Multiphase) -> IdentificationCase:
    return identification_case("p1", network_channels(image), nodes, ct)


@pytest.fixture
def fresh(case: IdentificationCase) -> IdentificationNetwork:
    network = build_identification_network(SETTINGS)
    set_statistics(network, fit_statistics([case]).value)
    return network


@pytest.mark.parametrize("node_features", [True, False])
def test_stage_2_learns_one_patient_by_heart(
    node_features: bool,  # noqa: FBT001 - pytest passes by name
    case: IdentificationCase,
    image: Multiphase,
    ct: Multiphase,
    nodes: NodeMap,
) -> None:
    settings = SETTINGS.model_copy(update={"head": IdentificationHeadSettings(node_features=node_features)})
    if not node_features:  # instance norm hides HU: shape and surroundings take longer
        longer = settings.training.model_copy(update={"iterations_per_epoch": 40})
        settings = settings.model_copy(update={"training": longer})
    network = build_identification_network(settings)
    *_, last = fit_identification(network, [case], [case], settings, seed=0)
    assert last.score == 1.0
    network.load_state_dict(best_weights(last.state))
    called = identify_nodes(network, image, ct, nodes, settings)
    assert [node.node_class for node in called.nodes] == [node.node_class for node in nodes.nodes]
    np.testing.assert_array_equal(class_map(called).array, class_map(nodes).array)


def test_the_same_seed_gives_the_same_network(case: IdentificationCase) -> None:
    short = SETTINGS.model_copy(
        update={"training": SETTINGS.training.model_copy(update={"iterations_per_epoch": 3})}
    )
    states = []
    for order in ([case, replace(case, patient="p2")], [replace(case, patient="p2"), case]):
        *_, last = fit_identification(build_identification_network(short), order, [], short, seed=4)
        states.append(last.state.tensors)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_backbone_starts_from_stage_1() -> None:
    stage1 = NodeNetwork(2, SETTINGS.unet, HeadSettings()).state_dict()
    network = build_identification_network(SETTINGS, stage1=stage1).state_dict()
    names = [name for name in network if name.startswith("unet.")]
    assert len(names) > 4
    assert all(torch.equal(network[name], stage1[name]) for name in names)


def test_the_attention_channel_of_stage_1_is_left_behind() -> None:
    stage1 = NodeNetwork(2, SETTINGS.unet, HeadSettings(attention_channel=True)).state_dict()
    first = "unet.encoder.stages.0.0.convs.0.conv.weight"
    network = build_identification_network(SETTINGS, stage1=stage1).state_dict()
    assert stage1[first].shape[1] == 3
    assert torch.equal(network[first], stage1[first][:, :2])


def test_another_backbone_is_refused() -> None:
    other = UNetSettings(features=(4, 6), strides=((1, 1, 1), (2, 2, 2)))
    with pytest.raises(ModelError, match="backbone of stage 2 differs"):
        build_identification_network(SETTINGS, stage1=NodeNetwork(2, other, HeadSettings()).state_dict())


def test_a_fresh_mask_branch_changes_nothing() -> None:
    head = IdentificationHeadSettings(mask_branch=True)
    network = build_identification_network(SETTINGS.model_copy(update={"head": head}))
    assert isinstance(network.mask_branch, MaskBranch)
    gain = network.mask_branch(torch.randint(0, 2, (1, 1, 4, 5, 6)).float())
    assert torch.equal(gain, torch.ones(1, 4, 4, 5, 6))


@pytest.mark.parametrize("outputs", [2, 3])
def test_training_can_start_from_logistic_regression(
    case: IdentificationCase, outputs: Literal[2, 3]
) -> None:
    head = IdentificationHeadSettings(classes=outputs, logistic_start=True)
    still = SETTINGS.training.model_copy(update={"learning_rate": 1e-30, "iterations_per_epoch": 1})
    settings = SETTINGS.model_copy(update={"head": head, "training": still})
    known = replace(case, classes=tuple(number % outputs for number in range(len(case.classes))))
    network = build_identification_network(settings)
    list(fit_identification(network, [known], [], settings, seed=1))
    judged = np.asarray(known.classes) < 2
    positive = np.asarray(known.classes)[judged] == POSITIVE
    baseline = fit_logistic_baseline(known.features[judged], positive, ["p1"] * positive.size).value
    # Training draws as many positive nodes as negative ones; the baseline knows their share.
    odds = baseline.predict(known.features) / (1 - baseline.predict(known.features))
    odds *= (~positive).sum() / positive.sum()
    share = positive_share(predict_nodes(network, known, settings).classes)
    np.testing.assert_allclose(share, odds / (1 + odds), rtol=1e-4)


def test_the_threshold_decides_the_class(
    fresh: IdentificationNetwork, image: Multiphase, ct: Multiphase, nodes: NodeMap
) -> None:
    for threshold, expected in ((0.0, NodeClass.POSITIVE), (1.0, NodeClass.NEGATIVE)):
        settings = SETTINGS.model_copy(update={"threshold": threshold})
        called = identify_nodes(fresh, image, ct, nodes, settings)
        assert {node.node_class for node in called.nodes} == {expected}
        assert all(0.0 < (node.probability or 0.0) < 1.0 for node in called.nodes)


def test_nodes_are_called_alike_alone_and_together(
    fresh: IdentificationNetwork, case: IdentificationCase
) -> None:
    together = predict_nodes(fresh, case, SETTINGS).classes
    alone = predict_nodes(fresh, case, SETTINGS.model_copy(update={"prediction_batch": 1})).classes
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1.0)


def test_a_patient_without_nodes_comes_back_unchanged(
    fresh: IdentificationNetwork, image: Multiphase, ct: Multiphase, nodes: NodeMap
) -> None:
    empty = NodeMap(instances=nodes.instances.with_array(np.zeros_like(nodes.instances.array)), nodes=())
    assert identify_nodes(fresh, image, ct, empty, SETTINGS).nodes == ()


def test_a_missing_arterial_phase_is_zero_and_its_features_the_mean(
    fresh: IdentificationNetwork, image: Multiphase, ct: Multiphase, nodes: NodeMap
) -> None:
    called = identify_nodes(
        fresh, Multiphase(venous=image.venous), Multiphase(venous=ct.venous), nodes, SETTINGS
    )
    both = identify_nodes(fresh, image, ct, nodes, SETTINGS)
    assert all(np.isfinite(node.probability or np.nan) for node in called.nodes)
    assert [n.probability for n in called.nodes] != [n.probability for n in both.nodes]


def test_statistics_belong_to_the_training_patients(case: IdentificationCase) -> None:
    other = replace(case, patient="p2", features=case.features + 1.0)
    fitted = fit_statistics([case])
    assert fitted.patients == frozenset({"p1"})
    network = build_identification_network(SETTINGS)
    fit_identification(network, [case], [other], SETTINGS, seed=0)
    np.testing.assert_allclose(network.feature_mean, fitted.value.mean, rtol=1e-6)


def test_statistics_travel_with_the_weights(fresh: IdentificationNetwork) -> None:
    again = build_identification_network(SETTINGS)
    again.load_state_dict(fresh.state_dict())
    assert torch.equal(again.feature_mean, fresh.feature_mean)
    assert bool((again.feature_mean != 0).any())


def test_training_without_positive_nodes_is_refused(case: IdentificationCase) -> None:
    network = build_identification_network(SETTINGS)
    with pytest.raises(InputError, match="got 4 negative, 0 positive"):
        fit_identification(network, [replace(case, classes=(0,) * 4)], [], SETTINGS, seed=0)


def test_one_class_in_validation_is_scored_by_cross_entropy(
    fresh: IdentificationNetwork, case: IdentificationCase
) -> None:
    negative = replace(case, classes=(0, 0, 0, 0))
    expected = np.log(predict_nodes(fresh, case, SETTINGS).classes[:, 0]).mean()
    assert validation_score(fresh, [negative], SETTINGS) == pytest.approx(expected)
    assert 0.0 <= validation_score(fresh, [case], SETTINGS) <= 1.0


def test_with_three_classes_what_is_no_lymph_node_is_dropped(
    image: Multiphase, ct: Multiphase, nodes: NodeMap, case: IdentificationCase
) -> None:
    blob = nodes.nodes[3]
    training = replace(case, classes=(*case.classes[:3], NOT_A_NODE))
    network = build_identification_network(THREE)
    *_, last = fit_identification(network, [training], [training], THREE, seed=0)
    network.load_state_dict(best_weights(last.state))
    called = identify_nodes(network, image, ct, nodes, THREE)
    assert blob.label not in {node.label for node in called.nodes}
    assert not (called.instances.array == blob.label).any()
    assert [n.node_class for n in called.nodes] == [n.node_class for n in nodes.nodes[:3]]
    scores = predict_nodes(network, case, THREE).classes
    assert scores.shape == (4, 3)
    assert_allclose([n.node_probability or 0.0 for n in called.nodes], 1 - scores[:3, NOT_A_NODE])
    found = replace(
        nodes, nodes=tuple(replace(node, detection=0.7, detection_mean=0.6) for node in nodes.nodes)
    )
    kept = identify_nodes(network, image, ct, found, THREE).nodes
    assert {(node.detection, node.detection_mean) for node in kept} == {(0.7, 0.6)}


@pytest.mark.parametrize("outputs", [2, 3])
def test_a_drawn_node_without_class_is_left_out_of_training_and_validation_but_predicted(
    outputs: Literal[2, 3],
    image: Multiphase,
    ct: Multiphase,
    nodes: NodeMap,
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = IdentificationHeadSettings(classes=outputs, logistic_start=True)
    short = SETTINGS.training.model_copy(update={"iterations_per_epoch": 3})
    settings = SETTINGS.model_copy(update={"head": head, "training": short})
    undecided = nodes.nodes[0]
    partly = NodeMap(instances=nodes.instances, nodes=(replace(undecided, node_class=None), *nodes.nodes[1:]))
    channels = network_channels(image)
    judged = identification_case("p1", channels, partly, ct)
    never_drawn = NodeMap(instances=nodes.instances, nodes=nodes.nodes[1:])
    without = identification_case("p1", channels, never_drawn, ct)
    false_positives = [as_no_nodes(replace(without, patient="p2"))][: outputs - 2]
    results = []
    for case in (judged, without):
        network = build_identification_network(settings)
        with caplog.at_level("INFO", logger="lymphct.nodes.crops"):
            *_, last = fit_identification(network, [case, *false_positives], [case], settings, seed=1)
        results.append((network, last))
    (network, one), (_, other) = results
    assert (one.loss, one.score) == (other.loss, other.score)
    assert all(torch.equal(one.state.tensors[name], other.state.tensors[name]) for name in one.state.tensors)
    told = [record.getMessage() for record in caplog.records if "have no class" in record.getMessage()]
    assert len(told) == 2  # a line for the training patient and one for the same patient in validation
    assert predict_nodes(network, judged, settings).classes.shape == (4, outputs)
    called = identify_nodes(network, image, ct, partly, settings.model_copy(update=KEEP_ALL))
    assert {node.label for node in called.nodes} == {node.label for node in nodes.nodes}


def test_a_network_can_be_rebuilt_from_the_settings_in_json() -> None:
    again = IdentificationSettings.model_validate_json(SETTINGS.model_dump_json())
    assert again == SETTINGS
    weights = build_identification_network(SETTINGS, seed=3).state_dict()
    build_identification_network(again).load_state_dict(weights, strict=True)


def test_the_defaults_are_those_of_the_paper() -> None:
    settings = IdentificationSettings()
    assert settings.sampling.crop_size == (96, 96, 80)
    training = settings.training
    assert (training.learning_rate, training.momentum, training.weight_decay) == (5e-4, 0.95, 1e-4)
    assert (training.epochs, training.iterations_per_epoch) == (500, 50)
    augmentation = settings.sampling.augmentation
    assert (augmentation.rotation_degrees, augmentation.scaling_probability) == (30.0, 0.0)
    assert augmentation.mirror_axes == (True, True, True)


def test_a_network_of_robust_features_keeps_their_statistics_and_calls_every_node(
    image: Multiphase, ct: Multiphase, nodes: NodeMap
) -> None:
    head = IdentificationHeadSettings(feature_set="robust", logistic_start=True)
    settings = SETTINGS.model_copy(update={"head": head})
    case = identification_case("p1", network_channels(image), nodes, ct, feature_set=ROBUST)
    network = build_identification_network(settings)
    assert list(fit_identification(network, [case], [], settings, seed=0))
    assert network.feature_mean.shape == (len(ROBUST.names),)
    assert_allclose(network.feature_mean.numpy(), np.nanmean(case.features, axis=0), rtol=1e-5)
    called = identify_nodes(network, image, ct, nodes, settings)
    assert all(node.probability is not None for node in called.nodes)
