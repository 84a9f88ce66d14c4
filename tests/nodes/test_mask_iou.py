"""Stage 2 says how well the mask it is shown fits a true node, and may count that in its score."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from pydantic import ValidationError
from torch import Tensor, nn

from lymphct.core.patient import Multiphase, NodeMap
from lymphct.learning.channels import network_channels
from lymphct.learning.settings import ClassifierTrainingSettings, UNetSettings
from lymphct.learning.training import best_weights
from lymphct.nodes.calling import identify_nodes, positive_scores, positive_share, predict_nodes
from lymphct.nodes.crops import UNKNOWN, IdentificationCase, NodeBatch, identification_case, with_known_iou
from lymphct.nodes.identification import (
    build_identification_network,
    fit_identification,
    fit_statistics,
    identification_loss,
    set_statistics,
)
from lymphct.nodes.sampling import NodeSampler
from lymphct.nodes.settings import (
    FoundNodesSettings,
    IdentificationHeadSettings,
    IdentificationSettings,
    NodeSamplingSettings,
)

PLAIN = IdentificationSettings(
    unet=UNetSettings(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1),
    sampling=NodeSamplingSettings(crop_size=(16, 16, 12), batch_size=6, box_jitter=(1, 2), box_margin=1),
    found=FoundNodesSettings(learn=True),
    training=ClassifierTrainingSettings(epochs=1, iterations_per_epoch=24, learning_rate=5e-2, momentum=0.9),
)
SCALED = PLAIN.model_copy(update={"head": IdentificationHeadSettings(predict_iou=True, scale_by_iou=True)})


@pytest.fixture
def drawn(image: Multiphase, nodes: NodeMap, ct: Multiphase) -> IdentificationCase:
    return identification_case("p1", network_channels(image), nodes, ct)


@pytest.fixture
def mixed(drawn: IdentificationCase) -> IdentificationCase:
    """The last node is none, as two classes cannot say."""
    return replace(drawn, classes=(*drawn.classes[:3], UNKNOWN), ious=(1.0, 1.0, 1.0, 0.0))


def test_a_drawn_mask_is_the_true_one_and_teaches_so_where_its_class_is_known(
    image: Multiphase, nodes: NodeMap, ct: Multiphase
) -> None:
    first, *others = nodes.nodes
    partly = NodeMap(instances=nodes.instances, nodes=(replace(first, node_class=None), *others))
    case = identification_case("p1", network_channels(image), partly, ct)
    assert_allclose(case.ious, [np.nan, 1.0, 1.0, 1.0])
    assert with_known_iou(case).labels == case.labels[1:]


def test_masks_without_a_class_take_their_turn_after_the_classes(mixed: IdentificationCase) -> None:
    sampler = NodeSampler([mixed], PLAIN.sampling, 2, seed=1, learns_iou=True)
    batch = sampler.batch(0)
    assert batch.classes.tolist() == [0, 1, UNKNOWN, 0, 1, UNKNOWN]
    assert batch.ious.tolist() == [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    plain = NodeSampler([mixed], PLAIN.sampling, 2, seed=1)
    assert plain.batch(0).classes.tolist() == [0, 1, 0, 1, 0, 1]


class Fixed(nn.Module):
    """Says the same whatever it is shown."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, image: Tensor, mask: Tensor, box: Tensor, features: Tensor) -> Tensor:
        del image, mask, box, features
        return self.outputs


def test_the_loss_is_that_of_known_classes_and_of_known_ious() -> None:
    nothing = torch.zeros(3, 1)
    network = Fixed(torch.tensor([[0.0, 2.0, 1.0], [9.0, 0.0, -1.0], [0.0, 0.0, 0.0]]))
    classes, ious = torch.tensor([1, UNKNOWN, 0]), torch.tensor([1.0, 0.25, torch.nan])
    batch = NodeBatch(nothing, nothing, nothing, nothing, classes, ious)
    of_classes = (np.log1p(np.exp(-2.0)) + np.log(2.0)) / 2
    of_ious = (np.log1p(np.exp(-1.0)) + 0.25 * np.log1p(np.exp(1.0)) + 0.75 * np.log1p(np.exp(-1.0))) / 2
    loss = identification_loss(network, batch, iou_weight=3.0)
    assert loss.item() == pytest.approx(of_classes + 3.0 * of_ious, rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call] # as torch has it
    assert bool(torch.isfinite(network.outputs.grad).all())  # type: ignore[arg-type] # set by backward


def test_what_is_no_node_is_said_to_have_a_mask_of_none(mixed: IdentificationCase) -> None:
    network = build_identification_network(SCALED)
    *_, last = fit_identification(network, [mixed], [mixed], SCALED, seed=0)
    network.load_state_dict(best_weights(last.state))
    ious = predict_nodes(network, mixed, SCALED).ious
    assert ious is not None
    assert ious[3] < ious[:3].min()


def test_the_predicted_iou_scales_the_score_and_stays_with_the_node(
    drawn: IdentificationCase, image: Multiphase, ct: Multiphase, nodes: NodeMap
) -> None:
    network = build_identification_network(SCALED)
    set_statistics(network, fit_statistics([drawn]).value)
    scores = predict_nodes(network, drawn, SCALED)
    assert scores.ious is not None
    assert scores.classes.shape == (4, 2)
    assert_allclose(positive_scores(scores, SCALED.head), positive_share(scores.classes) * scores.ious)
    kept = SCALED.head.model_copy(update={"scale_by_iou": False})
    assert_allclose(positive_scores(scores, kept), positive_share(scores.classes))
    called = identify_nodes(network, image, ct, nodes, SCALED).nodes
    assert [node.predicted_iou for node in called] == scores.ious.tolist()
    assert [node.probability for node in called] == positive_scores(scores, SCALED.head).tolist()


def test_the_other_weights_begin_as_without_this_output() -> None:
    plain, scaled = (build_identification_network(s, seed=3).state_dict() for s in (PLAIN, SCALED))
    assert set(scaled) - set(plain) == {"iou.weight", "iou.bias"}
    assert all(torch.equal(plain[name], scaled[name]) for name in plain)


def test_an_iou_needs_found_nodes_to_learn_it_from() -> None:
    with pytest.raises(ValidationError, match=r"set found\.learn"):
        IdentificationSettings(head=IdentificationHeadSettings(predict_iou=True))
    with pytest.raises(ValidationError, match="set predict_iou"):
        IdentificationHeadSettings(scale_by_iou=True)
