"""What cannot be a lymph node: outside the body, in gas, or as dark or bright as no node is."""

from dataclasses import replace
from typing import Final

import numpy as np

from lymphct.core.arrays import BoolArray
from lymphct.core.patient import IMPLAUSIBLE, Node, NodeMap
from lymphct.core.volume import Volume
from lymphct.imaging.body import body_mask
from lymphct.nodes.measurement import node_boxes

PLAUSIBLE_HU: Final = (-60.0, 250.0)
"""Mean HU of a node in the venous phase. Fat is about -100, arteries reach 300, nodes 20 to 150; the range
leaves room for nodes of few voxels that share theirs with the fat around."""

LEAST_INSIDE: Final = 0.5
"""Share of a node's voxels that lie in the body."""

SAMPLED_EVERY: Final = 3.0
"""mm between the voxels looked at to find the body."""


def flag_implausible(nodes: NodeMap, venous: Volume) -> NodeMap:
    """Flag nodes that cannot be lymph nodes; they stay in the map, but no score counts them.

    Args:
        nodes: measured.
        venous: HU on the same grid.

    Raises:
        GeometryMismatchError: the image lies on another grid.

    """
    nodes.instances.require_same_grid(venous, name="node map", reference="venous phase")
    if not nodes.nodes:
        return nodes
    every = [max(int(SAMPLED_EVERY / step), 1) for step in venous.geometry.spacing]
    body = body_mask(venous.array[tuple(slice(None, None, step) for step in every)])
    boxes = node_boxes(nodes.instances.array)
    flagged = []
    for node in nodes.nodes:
        low, high = PLAUSIBLE_HU
        is_node = node.hu_venous is None or low <= node.hu_venous <= high
        if node.label in boxes:
            voxels = np.argwhere(nodes.instances.array[boxes[node.label]] == node.label)
            voxels += [part.start for part in boxes[node.label]]
            is_node = is_node and _share_inside(body, voxels // every) >= LEAST_INSIDE
        flagged.append(node if is_node else _flagged(node))
    return replace(nodes, nodes=tuple(flagged))


def _share_inside(body: BoolArray, voxels: np.ndarray) -> float:
    within = np.minimum(voxels, np.asarray(body.shape) - 1)
    return float(body[tuple(within.T)].mean())


def _flagged(node: Node) -> Node:
    return replace(node, flags=tuple(dict.fromkeys((*node.flags, IMPLAUSIBLE))))
