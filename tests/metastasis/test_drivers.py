"""What drove a score: the same network asked again without a node, the nodes, the tumor."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import UNKNOWN, Node
from lymphct.core.score import NodeChange
from lymphct.core.terms import NodeClass
from lymphct.metastasis.drivers import score_drivers
from lymphct.metastasis.fusing import fused_number
from lymphct.metastasis.heads import status_score
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.prediction import build_status_network, predict_status
from lymphct.metastasis.settings import Fused, MetastasisSettings, StatusNetworkSettings

torch.set_num_threads(1)


def settings_of(fused: Fused = "volume", **network: Any) -> MetastasisSettings:
    return MetastasisSettings(fused=fused, network=StatusNetworkSettings(width=0.125, **network))


def trained(settings: MetastasisSettings) -> StatusNetwork:
    """A network to which the number of the nodes matters."""
    network = build_status_network(settings, seed=2)
    if network.fusion is not None:
        network.fusion.norm.running_var = torch.full((1,), 1e5 if settings.fused == "volume" else 1.0)
        with torch.no_grad():
            network.fusion.expand.weight.abs_()
    return network.eval()


def node(label: int, volume: float, probability: float) -> Node:
    called = NodeClass.POSITIVE if probability >= 0.5 else NodeClass.NEGATIVE
    return Node(
        label=label, volume=volume, center=(0.0, 0.0, 0.0), node_class=called, probability=probability
    )


def evidence(*nodes: Node, has_tumor: bool = True) -> Evidence:
    patches = np.random.default_rng(1).normal(size=(3, 3, 24, 24)).astype(np.float32)
    return Evidence(
        patient="p0",
        patches=patches if has_tumor else None,
        tumor_volume=1000.0 * has_tumor,
        nodes=nodes,
        features=np.zeros((len(nodes), 7)),
        clinical=UNKNOWN,
        fitted_on=FittedOn(),
    )


THREE = (node(3, 200.0, 0.8), node(5, 900.0, 0.7), node(8, 5000.0, 0.1))


@pytest.mark.parametrize("fused", ["volume", "max_probability", "noisy_or", "expected_count"])
def test_the_changes_are_those_of_the_score_without_the_node(fused: Fused) -> None:
    settings = settings_of(fused)
    network, patient = trained(settings), evidence(*THREE)
    found = score_drivers(network, settings, patient)
    assert found is not None
    score = status_score(network, settings)
    assert found.score == score(patient)
    assert found.without_nodes == score(evidence())
    for change in found.nodes:
        others = [item for item in THREE if item.label != change.node]
        left = score(evidence(*others))
        assert left is not None
        assert change.change == found.score - left
    assert sorted(item.node for item in found.nodes) == [3, 5, 8]
    sizes = [abs(item.change) for item in found.nodes]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0


def test_with_the_largest_volume_only_the_largest_positive_node_changes_anything() -> None:
    settings = settings_of()
    found = score_drivers(trained(settings), settings, evidence(*THREE))
    assert found is not None
    assert found.nodes[0].node == 5
    assert found.nodes[0].change != 0
    assert found.nodes[1:] == (NodeChange(node=3, change=0.0), NodeChange(node=8, change=0.0))


def test_without_the_tumor_the_patches_are_empty() -> None:
    settings = settings_of()
    network, patient = trained(settings), evidence(*THREE)
    found = score_drivers(network, settings, patient)
    assert found is not None
    blank = np.zeros((3, 3, 24, 24), np.float32)
    assert found.without_tumor == predict_status(network, blank, fused_number(patient, settings))
    assert found.without_both == predict_status(network, blank, 0.0)
    assert found.tumor_part + found.node_part == pytest.approx(found.score - found.without_both)
    share = found.tumor_share
    assert share is not None
    assert 0 < share < 1


def test_a_patient_without_nodes_is_driven_by_the_tumor_alone() -> None:
    settings = settings_of()
    found = score_drivers(trained(settings), settings, evidence())
    assert found is not None
    assert (found.nodes, found.node_part, found.tumor_share) == ((), 0.0, 1.0)
    assert found.without_nodes == found.score


def test_a_network_that_sees_no_volume_is_not_driven_by_nodes() -> None:
    settings = settings_of(volume_fusion=False)
    found = score_drivers(trained(settings), settings, evidence(*THREE))
    assert found is not None
    assert {item.change for item in found.nodes} == {0.0}
    assert [item.node for item in found.nodes] == [3, 5, 8]
    assert found.tumor_share == 1.0


def test_without_a_tumor_there_is_nothing_to_tell() -> None:
    settings = settings_of()
    assert score_drivers(trained(settings), settings, evidence(*THREE, has_tumor=False)) is None


def test_sixty_nodes_take_two_looks_at_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("expected_count")
    network = trained(settings)
    looks = []
    real = network.patch_features

    def counted(patches: torch.Tensor) -> torch.Tensor:
        looks.append(len(patches))
        return real(patches)

    monkeypatch.setattr(network, "patch_features", counted)
    many = [node(label, 100.0 + label, 0.01 * label) for label in range(1, 61)]
    found = score_drivers(network, settings, evidence(*many))
    assert found is not None
    assert looks == [3, 3]
    assert len(found.nodes) == 60
    assert found.nodes[0].node == 60  # the most probable


def test_a_network_in_training_is_left_in_training() -> None:
    settings = settings_of()
    network = trained(settings).train()
    before = {name: x.clone() for name, x in network.state_dict().items()}
    first = score_drivers(network, settings, evidence(*THREE))
    assert network.training
    assert all(bool((before[name] == x).all()) for name, x in network.state_dict().items())
    assert first == score_drivers(network.eval(), settings, replace(evidence(*THREE), tumor_volume=1.0))
