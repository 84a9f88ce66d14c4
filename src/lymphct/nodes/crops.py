"""Crops centred on lymph nodes, as stage 2 sees them (Sec. III-A.2)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lymphct.core.arrays import DoubleArray, FloatArray, Index3, LabelArray
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.core.volume import Volume
from lymphct.imaging.components import Box
from lymphct.imaging.crop import crop
from lymphct.learning.augmentation import SpatialTransform, move
from lymphct.learning.lazy_array import NetworkImage, NetworkLabels
from lymphct.learning.tensors import reversed_axes, to_network
from lymphct.nodes.features import CORE, FeatureSet, node_features
from lymphct.nodes.measurement import node_boxes
from lymphct.nodes.place_features import place_features

logger = logging.getLogger(__name__)

NEGATIVE, POSITIVE, NOT_A_NODE = 0, 1, 2
"""Numbers of the classes in the output of the network."""
UNKNOWN = -1
"""Class of a node of which nobody said one: it can be predicted, but nothing learns from it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdentificationCase:
    """One patient's lymph nodes, ready for stage 2; axes k, j, i.

    Attributes:
        patient: pseudonymous id.
        image: (c, k, j, i) normalised intensities, arterial before venous.
        instances: (k, j, i) node numbers.
        boxes: smallest box of each node.
        labels: number of each node.
        classes: class of each node (0 negative, 1 positive, 2 not a lymph node, −1 unknown).
        features: (nodes, columns of the feature set), NaN where missing.
        ious: IoU of each mask with the true node it is: 1 as drawn, 0 for what is none, NaN where the mask
            teaches nothing of it.
        fill: normalised intensity outside the image by channel, the lower clip value of each.
        feature_set: what the features are.

    """

    patient: str
    image: NetworkImage
    instances: NetworkLabels
    boxes: tuple[Box, ...]
    labels: tuple[int, ...]
    classes: tuple[int, ...]
    features: DoubleArray
    ious: tuple[float, ...]
    fill: tuple[float, ...]
    feature_set: FeatureSet = CORE


def identification_case(  # noqa: PLR0913 - fill and feature set are keywords
    patient: str,
    channels: Sequence[Volume],
    nodes: NodeMap,
    ct: Multiphase,
    *,
    fill: Sequence[float] | None = None,
    feature_set: FeatureSet = CORE,
) -> IdentificationCase:
    """Bring a patient's nodes into the order of the networks.

    Args:
        patient: pseudonymous id.
        channels: normalised phases on one grid, arterial before venous.
        nodes: instance map and records; the class may be missing. Measured, where the feature set asks for
            the place of each.
        ct: HU on the same grid, for the node features.
        fill: normalised intensity outside the image by channel; by default the lowest of each channel, which
            is the lower clip value wherever there is air.
        feature_set: what to measure of each node.

    Raises:
        GeometryMismatchError: an image lies on another grid.
        InputError: a record without a voxel in the map.
        UsageError: the place of a node is asked for and was not measured.

    """
    for channel in channels:
        channel.require_same_grid(nodes.instances, name="channel", reference="node map")
    image = np.stack([to_network(channel.array.astype(np.float32, copy=False)) for channel in channels])
    features = node_features(nodes, ct, feature_set)
    if feature_set.place:
        features = np.hstack([features, place_features(nodes.nodes)])
    instances = to_network(nodes.instances.array)
    boxes = node_boxes(instances)
    classes = tuple(class_number(node) for node in nodes.nodes)
    return IdentificationCase(
        patient=patient,
        image=image,
        instances=instances,
        boxes=tuple(boxes[node.label] for node in nodes.nodes),
        labels=tuple(node.label for node in nodes.nodes),
        classes=classes,
        features=features,
        ious=drawn_ious(classes),
        fill=tuple(float(channel.min()) for channel in image) if fill is None else tuple(fill),
        feature_set=feature_set,
    )


def class_number(node: Node) -> int:
    """Return the number of a node's class in the output of the network, `UNKNOWN` without one."""
    if node.node_class is None:
        return UNKNOWN
    return POSITIVE if node.node_class is NodeClass.POSITIVE else NEGATIVE


def drawn_ious(classes: Sequence[int]) -> tuple[float, ...]:
    """Return the IoU that drawn nodes of these classes teach: their masks are the true ones.

    Those of unknown class teach none: of masks as drawn there are enough.
    """
    return tuple(np.nan if number == UNKNOWN else 1.0 for number in classes)


def as_no_nodes(case: IdentificationCase) -> IdentificationCase:
    """Say of all nodes of a case that they are none: false positives of stage 1, for the third class."""
    count = len(case.classes)
    return replace(case, classes=(NOT_A_NODE,) * count, ious=(0.0,) * count)


def with_known_class(case: IdentificationCase) -> IdentificationCase:
    """Leave out the nodes of which nobody said a class; a line of the log says how many teach nothing."""
    known = [n for n, number in enumerate(case.classes) if number != UNKNOWN]
    if len(known) == len(case.classes):
        return case
    idle = sum(
        number == UNKNOWN and np.isnan(iou) for number, iou in zip(case.classes, case.ious, strict=True)
    )
    if idle:
        logger.info(
            "%s: %d of %d lymph nodes have no class, identification does not learn from them",
            case.patient,
            idle,
            len(case.classes),
        )
    return _nodes_of(case, known)


def with_known_iou(case: IdentificationCase) -> IdentificationCase:
    """Leave out the nodes whose masks teach no IoU."""
    return _nodes_of(case, np.flatnonzero(np.isfinite(case.ious)).tolist())


def _nodes_of(case: IdentificationCase, numbers: Sequence[int]) -> IdentificationCase:
    return replace(
        case,
        boxes=tuple(case.boxes[n] for n in numbers),
        labels=tuple(case.labels[n] for n in numbers),
        classes=tuple(case.classes[n] for n in numbers),
        features=case.features[list(numbers)],
        ious=tuple(case.ious[n] for n in numbers),
    )


@dataclass(frozen=True, slots=True)
class NodeBatch:
    """Nodes for one pass; the arguments of `IdentificationNetwork`, and what it is to say of them.

    Attributes:
        image: (b, c, k, j, i) float32.
        mask: (b, 1, k, j, i) float32, 1 within the node.
        box: (b, 2, 3) int64, first and last + 1 voxel along k, j, i.
        features: (b, features) float32, NaN where missing.
        classes: (b,) int64; −1 where the class is unknown.
        ious: (b,) float32, of the mask with the true node it is; NaN where unknown.

    """

    image: Tensor
    mask: Tensor
    box: Tensor
    features: Tensor
    classes: Tensor
    ious: Tensor

    def to(self, device: torch.device) -> "NodeBatch":
        """Return the batch on another device."""
        return NodeBatch(
            self.image.to(device, non_blocking=True),
            self.mask.to(device, non_blocking=True),
            self.box.to(device, non_blocking=True),
            self.features.to(device, non_blocking=True),
            self.classes.to(device, non_blocking=True),
            self.ious.to(device, non_blocking=True),
        )


@dataclass(frozen=True, slots=True)
class Crop:
    """One node in its surroundings, axes k, j, i: image (c, …), mask of the node, box (2, 3) around it."""

    image: FloatArray
    mask: LabelArray
    box: LabelArray


def cut_crop(
    case: IdentificationCase, number: int, size: Index3, transform: SpatialTransform, margins: LabelArray
) -> Crop:
    """Cut the crop of `size` voxels (i, j, k) centred on node `number` of a case.

    `margins` (2, 3), voxels along k, j, i, widen the box on its lower and upper sides; it ends at the crop.
    """
    patch = reversed_axes(size)
    middle = [(part.start + part.stop) // 2 for part in case.boxes[number]]
    wide = transform.source_size(patch)
    start = [m - n // 2 - (w - n) // 2 for m, n, w in zip(middle, patch, wide, strict=True)]
    outside = np.array(case.fill).reshape(-1, 1, 1, 1)
    image = crop(case.image, start, wide, outside).astype(np.float32, copy=False)
    instances = crop(case.instances, start, wide, 0)
    mask = (instances == case.labels[number]).astype(np.uint8)
    image, mask = move(transform, patch, image, mask)
    found = np.argwhere(mask)
    if len(found) == 0 and transform.matrix is not None:
        # Turning can lose a node of a few voxels; it is then shown as it lies.
        return cut_crop(case, number, size, SpatialTransform(None, transform.mirrored), margins)
    if len(found) == 0:
        # A component wider than the crop can be hollow in the middle: then the whole crop is its box.
        found = np.array([[0, 0, 0], [n - 1 for n in patch]])
    low = np.maximum(found.min(axis=0) - margins[0], 0)
    high = np.minimum(found.max(axis=0) + 1 + margins[1], patch)
    return Crop(image, mask, np.stack([low, high]))


def collate(
    crops: Sequence[Crop], features: DoubleArray, classes: Sequence[int], ious: Sequence[float]
) -> NodeBatch:
    """Stack crops, features (b, features), classes and IoU into a batch."""
    return NodeBatch(
        image=torch.from_numpy(np.stack([crop.image for crop in crops])),
        mask=torch.from_numpy(np.stack([crop.mask for crop in crops])[:, None].astype(np.float32)),
        box=torch.from_numpy(np.stack([crop.box for crop in crops]).astype(np.int64)),
        features=torch.from_numpy(features.astype(np.float32)),
        classes=torch.tensor(list(classes), dtype=torch.int64),
        ious=torch.tensor(list(ious), dtype=torch.float32),
    )
