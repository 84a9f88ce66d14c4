"""Nodes outside the body, in gas or of impossible density are flagged; others are not."""

import numpy as np
import pytest

from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import IMPLAUSIBLE, Node, NodeMap
from lymphct.core.volume import Volume
from lymphct.nodes.plausibility import PLAUSIBLE_HU, flag_implausible

GRID = Geometry(
    shape=(60, 50, 30),
    spacing=(1.1, 1.3, 2.0),
    direction=((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
)


def ct() -> Volume:
    """A body of fat in air, with a loop of gas in it and a table below."""
    hu = np.full(GRID.shape, -1000, np.int16)
    hu[10:50, 10:40] = -100
    hu[20:28, 20:28, 10:20] = -950  # gas
    hu[5:55, 45:47] = 40  # table
    return Volume(array=hu, geometry=GRID)


def one(box: tuple[slice, slice, slice], hu: float) -> tuple[NodeMap, Volume]:
    image = ct()
    array = image.array.copy()
    array[box] = hu
    instances = np.zeros(GRID.shape, np.int32)
    instances[box] = 7
    node = Node(label=7, volume=100.0, center=(0.0, 0.0, 0.0), hu_venous=hu)
    return NodeMap(instances=image.with_array(instances), nodes=(node,)), image.with_array(array)


INSIDE = (slice(32, 36), slice(30, 34), slice(8, 11))


def flags(box: tuple[slice, slice, slice], hu: float) -> tuple[str, ...]:
    nodes, image = one(box, hu)
    (node,) = flag_implausible(nodes, image).nodes
    return node.flags


@pytest.mark.parametrize("hu", [*PLAUSIBLE_HU, 80.0])
def test_a_node_in_the_fat_of_the_body_is_plausible(hu: float) -> None:
    assert flags(INSIDE, hu) == ()


@pytest.mark.parametrize("hu", [PLAUSIBLE_HU[0] - 1, PLAUSIBLE_HU[1] + 1, -900.0])
def test_a_node_as_dark_or_bright_as_no_node_is_flagged(hu: float) -> None:
    assert flags(INSIDE, hu) == (IMPLAUSIBLE,)


def test_a_node_on_the_table_or_in_the_air_is_flagged_whatever_its_density() -> None:
    assert flags((slice(20, 24), slice(45, 47), slice(8, 11)), 60.0) == (IMPLAUSIBLE,)
    assert flags((slice(54, 58), slice(2, 6), slice(8, 11)), 60.0) == (IMPLAUSIBLE,)


def test_a_node_in_gas_is_flagged() -> None:
    image = ct()
    instances = np.zeros(GRID.shape, np.int32)
    instances[22:26, 22:26, 12:16] = 7
    node = Node(label=7, volume=100.0, center=(0.0, 0.0, 0.0), hu_venous=-950.0)
    found = flag_implausible(NodeMap(instances=image.with_array(instances), nodes=(node,)), image)
    assert not found.nodes[0].is_plausible


def test_a_flag_is_set_once_and_nothing_else_changes() -> None:
    nodes, image = one(INSIDE, 400.0)
    once = flag_implausible(nodes, image)
    assert flag_implausible(once, image) == once
    assert once.instances is nodes.instances
    assert once.nodes[0].volume == 100.0


def test_without_nodes_or_without_voxels_there_is_nothing_to_flag() -> None:
    nodes, image = one(INSIDE, 60.0)
    assert flag_implausible(NodeMap(instances=nodes.instances, nodes=()), image).nodes == ()
    lost = Node(label=9, volume=0.0, center=(0.0, 0.0, 0.0))
    assert flag_implausible(NodeMap(instances=nodes.instances, nodes=(lost,)), image).nodes == (lost,)


def test_another_grid_is_refused() -> None:
    nodes, image = one(INSIDE, 60.0)
    other = Geometry(shape=GRID.shape, spacing=(1.0, 1.3, 2.0))
    with pytest.raises(GeometryMismatchError, match="node map"):
        flag_implausible(nodes, Volume(array=image.array, geometry=other))
