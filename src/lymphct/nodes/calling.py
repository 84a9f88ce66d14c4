"""Stage 2 in prediction: lymph nodes are called positive or negative (Sec. III-A.2)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from lymphct.core.arrays import DoubleArray
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.learning.augmentation import SpatialTransform
from lymphct.learning.channels import network_channels
from lymphct.nodes.crops import (
    NEGATIVE,
    NOT_A_NODE,
    POSITIVE,
    IdentificationCase,
    collate,
    cut_crop,
    identification_case,
)
from lymphct.nodes.features import feature_set_of
from lymphct.nodes.instances import without_nodes
from lymphct.nodes.network import IdentificationNetwork
from lymphct.nodes.settings import IdentificationHeadSettings, IdentificationSettings


@dataclass(frozen=True, slots=True, eq=False)
class NodeScores:
    """What the network says of nodes.

    Attributes:
        classes: (nodes, classes) probabilities, rows sum to 1.
        ious: (nodes,) predicted IoU of each mask with the true node; None where the network predicts none.

    """

    classes: DoubleArray
    ious: DoubleArray | None = None


def predict_nodes(
    network: nn.Module, case: IdentificationCase, settings: IdentificationSettings
) -> NodeScores:
    """Return what the network says of each node of a case."""
    outputs = _outputs(network, case, settings)
    count = settings.head.classes
    return NodeScores(
        classes=torch.softmax(outputs[:, :count], dim=1).numpy(),
        ious=torch.sigmoid(outputs[:, count]).numpy() if settings.head.predict_iou else None,
    )


def _outputs(network: nn.Module, case: IdentificationCase, settings: IdentificationSettings) -> Tensor:
    """Return the outputs of the network for each node, in double precision on the CPU."""
    if not case.labels:
        return torch.zeros(0, settings.head.classes + settings.head.predict_iou, dtype=torch.float64)
    margins = np.full((2, 3), settings.sampling.box_margin)
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    rows = []
    with torch.inference_mode():
        for first in range(0, len(case.labels), settings.prediction_batch):
            numbers = range(first, min(first + settings.prediction_batch, len(case.labels)))
            crops = [
                cut_crop(case, n, settings.sampling.crop_size, SpatialTransform(), margins) for n in numbers
            ]
            classes, ious = [case.classes[n] for n in numbers], [case.ious[n] for n in numbers]
            batch = collate(crops, case.features[list(numbers)], classes, ious).to(device)
            rows.append(network(batch.image, batch.mask, batch.box, batch.features).double().cpu())
    network.train(was_training)
    return torch.cat(rows)


def positive_share(probabilities: DoubleArray) -> DoubleArray:
    """Return the probability of being positive given that it is a lymph node, of rows (n, classes)."""
    nodes = probabilities[:, NEGATIVE] + probabilities[:, POSITIVE]
    share: DoubleArray = probabilities[:, POSITIVE] / np.maximum(nodes, 1e-12)
    return share


def positive_scores(scores: NodeScores, head: IdentificationHeadSettings) -> DoubleArray:
    """Return the probability by which each node is called: of being positive, given that it is a lymph node.

    With `scale_by_iou` times the predicted IoU: what is hardly a node, or hardly drawn, counts less.
    """
    share = positive_share(scores.classes)
    return share * scores.ious if head.scale_by_iou and scores.ious is not None else share


def identify_nodes(
    network: IdentificationNetwork,
    image: Multiphase,
    ct: Multiphase,
    nodes: NodeMap,
    settings: IdentificationSettings,
) -> NodeMap:
    """Call each node positive or negative (Sec. III-A.2).

    With three classes, nodes that are rather no lymph nodes are dropped from records and map. A patient
    without nodes comes back unchanged. A missing arterial phase is zero for the network, the training mean
    for its features.

    Args:
        network: trained; holds the statistics of the node features.
        image: normalised CT.
        ct: the same in HU.
        nodes: found or given; all on one grid. Measured, where the settings ask for the place of each.
        settings: crops, threshold.

    Raises:
        GeometryMismatchError: image, CT and node map lie on different grids.
        UsageError: the place of a node is asked for and was not measured.

    """
    feature_set = feature_set_of(settings.head)
    case = identification_case("", network_channels(image), nodes, ct, feature_set=feature_set)
    scores = predict_nodes(network, case, settings)
    positive = positive_scores(scores, settings.head)
    ious = [None] * len(nodes.nodes) if scores.ious is None else scores.ious.tolist()
    called = tuple(
        replace(_called(node, float(p), settings.threshold), predicted_iou=iou)
        for node, p, iou in zip(nodes.nodes, positive, ious, strict=True)
    )
    if settings.head.classes == 2:
        return NodeMap(instances=nodes.instances, nodes=called)
    # The rows sum to 1 up to rounding.
    is_node = 1.0 - np.minimum(scores.classes[:, NOT_A_NODE], 1.0)
    judged = tuple(replace(n, node_probability=float(p)) for n, p in zip(called, is_node, strict=True))
    rejected = scores.classes[:, NOT_A_NODE] > settings.rejection_threshold
    return without_nodes(
        NodeMap(instances=nodes.instances, nodes=judged),
        frozenset(n.label for n, drop in zip(nodes.nodes, rejected, strict=True) if drop),
    )


def _called(node: Node, probability: float, threshold: float) -> Node:
    node_class = NodeClass.POSITIVE if probability >= threshold else NodeClass.NEGATIVE
    return replace(node, probability=probability, node_class=node_class)
