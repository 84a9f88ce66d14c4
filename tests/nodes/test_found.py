"""What stage 1 found, told apart by what was drawn."""

import numpy as np
import pytest

from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.core.volume import Volume
from lymphct.nodes.crops import NEGATIVE, NOT_A_NODE, POSITIVE, UNKNOWN
from lymphct.nodes.found import told_apart

GRID = Geometry(shape=(40, 8, 8), spacing=(1.0, 1.0, 1.0))
Spans = dict[int, tuple[int, int]]


def node_map(spans: Spans, classes: dict[int, NodeClass | None] | None = None) -> NodeMap:
    """Return bars along i, from voxel to voxel."""
    array = np.zeros(GRID.shape, dtype=np.uint16)
    for label, (first, last) in spans.items():
        array[first:last, 2:6, 2:6] = label
    known = classes or {}
    nodes = tuple(
        Node(label=label, volume=1.0, center=(0.0, 0.0, 0.0), node_class=known.get(label)) for label in spans
    )
    return NodeMap(instances=Volume(array=array, geometry=GRID), nodes=nodes)


DRAWN = node_map(
    {1: (0, 6), 2: (10, 16), 3: (20, 26)},
    {1: NodeClass.POSITIVE, 2: NodeClass.NEGATIVE, 3: None},
)


@pytest.mark.parametrize(
    ("found", "classes"),
    [
        ({5: (1, 6), 6: (10, 15)}, (POSITIVE, NEGATIVE)),
        ({5: (30, 34)}, (NOT_A_NODE,)),
        ({5: (20, 25)}, (UNKNOWN,)),  # a node of which nobody said a class
        ({5: (0, 1)}, (UNKNOWN,)),  # a piece of a node: IoU 1/6
        ({5: (0, 4), 6: (4, 6)}, (POSITIVE, UNKNOWN)),  # a node in two pieces
        ({}, ()),
    ],
)
def test_a_found_node_has_the_class_of_the_drawn_one_it_is(found: Spans, classes: tuple[int, ...]) -> None:
    assert told_apart(node_map(found), DRAWN, iou=0.3).classes == classes


@pytest.mark.parametrize(
    ("found", "ious"),
    [
        ({5: (1, 6), 6: (10, 16)}, (5 / 6, 1.0)),
        ({5: (30, 34)}, (0.0,)),
        ({5: (20, 25)}, (5 / 6,)),  # of unknown class, yet a node
        ({5: (0, 1)}, (1 / 6,)),
        ({5: (0, 4), 6: (4, 6)}, (4 / 6, 2 / 6)),
        ({5: (4, 12)}, (2 / 12,)),  # over two nodes: the larger share counts
    ],
)
def test_a_found_mask_has_an_iou_with_the_drawn_one_it_lies_on(found: Spans, ious: tuple[float, ...]) -> None:
    assert told_apart(node_map(found), DRAWN, iou=0.3).ious == pytest.approx(ious)


def test_how_much_they_must_share_is_a_setting() -> None:
    found = node_map({5: (0, 3)})
    assert told_apart(found, DRAWN, iou=0.5).classes == (POSITIVE,)
    assert told_apart(found, DRAWN, iou=0.6).classes == (UNKNOWN,)


def test_without_drawn_nodes_everything_is_none() -> None:
    assert told_apart(node_map({1: (0, 4), 2: (8, 9)}), node_map({}), iou=0.3).classes == (
        NOT_A_NODE,
        NOT_A_NODE,
    )


def test_maps_on_different_grids_are_refused() -> None:
    other = Geometry(shape=GRID.shape, spacing=(2.0, 1.0, 1.0))
    moved = NodeMap(instances=Volume(array=DRAWN.instances.array, geometry=other), nodes=DRAWN.nodes)
    with pytest.raises(GeometryMismatchError):
        told_apart(node_map({}), moved, iou=0.3)
