"""From a probability map to single lymph nodes (Sec. III-A.1): 26-connected components, numbered by size."""

from dataclasses import replace

import numpy as np

from lymphct.core.errors import InputError
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.core.volume import Volume
from lymphct.imaging.components import find_components
from lymphct.nodes.growth import grown


def find_instances(
    probability: Volume, *, threshold: float = 0.5, min_volume: float = 30.0, growth: float | None = None
) -> NodeMap:
    """Split the voxels above `threshold` into nodes of at least `min_volume` mm³.

    Nodes are numbered from 1, the largest first; equal sizes in scan order (k fastest). Volume, center and
    detection (the highest and the mean probability in the node) are filled in.

    Args:
        probability: of each voxel, 0 to 1.
        threshold: above which a voxel belongs to a node; with `growth` the peak of a node lies above it.
        min_volume: mm³.
        growth: a node grows from its peak down to peak/growth (`growth.grown`); None for one threshold.

    """
    if growth is not None:
        labels = grown(probability.array, peak=threshold, ratio=growth)
        return _with_detection(_nodes_of(probability.with_array(labels), min_volume), probability)
    above = probability.with_array(probability.array > threshold)
    return _with_detection(_nodes_of(above, min_volume), probability)


def _with_detection(found: NodeMap, probability: Volume) -> NodeMap:
    """Fill in how sure the network is of each node: peak and mean of its voxels."""
    inside = found.instances.array > 0
    labels, values = found.instances.array[inside], probability.array[inside].astype(np.float64)
    size = len(found.nodes) + 1
    peaks = np.zeros(size)
    np.maximum.at(peaks, labels, values)
    sums = np.bincount(labels, weights=values, minlength=size)
    means = sums / np.maximum(np.bincount(labels, minlength=size), 1)
    # Windows that overlap are averaged in single precision: a certain voxel may exceed 1 by rounding.
    peaks, means = np.minimum(peaks, 1.0), np.minimum(means, 1.0)
    nodes = tuple(
        replace(node, detection=float(peaks[node.label]), detection_mean=float(means[node.label]))
        for node in found.nodes
    )
    return replace(found, nodes=nodes)


def instances_from_class_map(classes: Volume, *, min_volume: float = 0.0) -> NodeMap:
    """Split a class map (1 positive, 2 negative) into nodes; touching nodes of unlike class stay apart.

    Numbering as in `find_instances`.

    Raises:
        InputError: a value other than 0, 1, 2.

    """
    known = [0, *(int(c) for c in NodeClass)]
    values = np.unique(classes.array)
    if not np.isin(values, known).all():
        msg = f"a class map of lymph nodes holds 0, 1 (positive) and 2 (negative), found {values.max():g}"
        raise InputError(msg, code="E_LABELS", cure="give instance maps together with their JSON file")
    found = _nodes_of(classes.with_array(classes.array.astype(np.uint8)), min_volume)
    labels = found.instances.array
    class_of_label = np.zeros(len(found.nodes) + 1, dtype=np.uint8)
    inside = labels > 0
    class_of_label[labels[inside]] = classes.array[inside]
    nodes = tuple(
        replace(node, node_class=NodeClass(int(class_of_label[node.label]))) for node in found.nodes
    )
    return replace(found, nodes=nodes)


def _nodes_of(labels: Volume, min_volume: float) -> NodeMap:
    geometry = labels.geometry
    components = find_components(labels.array)
    volumes = components.voxels * geometry.voxel_volume
    # Stable: components of one size keep their scan order.
    order = np.argsort(-components.voxels, kind="stable")
    # A volume is a sum of voxels: rounding must not drop a node that has exactly the smallest one.
    order = order[volumes[order] >= min_volume * (1 - 1e-9)]
    numbers = np.zeros(len(volumes), dtype=np.int64)
    numbers[order] = np.arange(1, len(order) + 1)
    centers = geometry.world(components.centers)
    nodes = tuple(
        Node(
            label=int(numbers[c]),
            volume=float(volumes[c]),
            center=(float(centers[c, 0]), float(centers[c, 1]), float(centers[c, 2])),
        )
        for c in order
    )
    return NodeMap(instances=labels.with_array(components.paint(numbers)), nodes=nodes)


def class_map(nodes: NodeMap) -> Volume:
    """Paint the class of each node: uint8, 1 positive, 2 negative, 0 elsewhere.

    Raises:
        InputError: a node has no class yet.

    """
    unknown = [node.label for node in nodes.nodes if node.node_class is None]
    if unknown:
        msg = f"lymph node {unknown[0]} has no class"
        raise InputError(msg, code="E_CLASS", cure="identify the nodes first")
    class_of_label = np.zeros(largest_label(nodes) + 1, dtype=np.uint8)
    for node in nodes.nodes:
        class_of_label[node.label] = node.node_class or 0
    return nodes.instances.with_array(class_of_label[nodes.instances.array])


def largest_label(nodes: NodeMap) -> int:
    """Return the largest number in use, in the records or in the map."""
    return max([int(nodes.instances.array.max(initial=0)), *(node.label for node in nodes.nodes)])


def without_nodes(nodes: NodeMap, labels: frozenset[int]) -> NodeMap:
    """Take nodes out of records and map; the others keep their numbers."""
    keep = np.arange(largest_label(nodes) + 1)
    keep[list(labels)] = 0
    array = keep.astype(nodes.instances.array.dtype)[nodes.instances.array]
    kept = tuple(node for node in nodes.nodes if node.label not in labels)
    return NodeMap(instances=nodes.instances.with_array(array), nodes=kept)
