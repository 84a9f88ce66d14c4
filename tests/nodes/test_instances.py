import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.core.volume import Volume
from lymphct.nodes.instances import class_map, find_instances, instances_from_class_map, without_nodes


@pytest.fixture
def probability(grid: Geometry) -> Volume:
    """Three blobs of 8, 12 and 1 voxels of 4.5 mm³: 36, 54 and 4.5 mm³."""
    array = np.full(grid.shape, 0.2, dtype=np.float32)
    array[2:4, 2:4, 2:4] = 0.9
    array[10:12, 10:13, 5:7] = 0.51
    array[20, 20, 20] = 1.0
    return Volume(array=array, geometry=grid)


def test_nodes_are_numbered_by_size_and_small_ones_dropped(probability: Volume) -> None:
    found = find_instances(probability)
    assert [node.label for node in found.nodes] == [1, 2]
    assert_allclose([node.volume for node in found.nodes], [54.0, 36.0])
    assert found.instances.array[10, 10, 5] == 1
    assert found.instances.array[2, 2, 2] == 2
    assert found.instances.array[20, 20, 20] == 0


def test_centers_are_world_positions(probability: Volume) -> None:
    expected = probability.geometry.world([[10.5, 11.0, 5.5], [2.5, 2.5, 2.5]])
    assert_allclose([node.center for node in find_instances(probability).nodes], expected)


def test_a_node_knows_the_peak_and_the_mean_of_its_voxels(probability: Volume) -> None:
    array = probability.array.copy()
    array[2, 2, 2], array[10, 10, 5] = 0.98, 0.75
    sure = find_instances(probability.with_array(array)).nodes
    assert_allclose([node.detection or 0.0 for node in sure], [0.75, 0.98], rtol=1e-6)
    means = [(11 * 0.51 + 0.75) / 12, (7 * 0.9 + 0.98) / 8]
    assert_allclose([node.detection_mean or 0.0 for node in sure], means, rtol=1e-6)
    # Grown down to a third of its peak the first node takes nothing else: around it p = 0.2.
    by_peak = find_instances(probability.with_array(array), growth=3.0).nodes
    assert_allclose([node.detection or 0.0 for node in by_peak], [0.75, 0.98], rtol=1e-6)


def test_what_exceeds_one_by_rounding_is_certain(probability: Volume) -> None:
    above = np.full_like(probability.array, np.nextafter(np.float32(1), np.float32(2)))
    (node,) = find_instances(probability.with_array(above)).nodes
    assert (node.detection, node.detection_mean) == (1.0, 1.0)


def test_nobody_detected_a_drawn_node(grid: Geometry) -> None:
    classes = Volume(array=np.full(grid.shape, NodeClass.POSITIVE, np.uint8), geometry=grid)
    (node,) = instances_from_class_map(classes).nodes
    assert (node.detection, node.detection_mean, node.node_probability) == (None, None, None)


def test_a_voxel_at_the_threshold_is_not_a_node(probability: Volume) -> None:
    flat = probability.with_array(np.full_like(probability.array, 0.5))
    assert find_instances(flat).nodes == ()
    assert not find_instances(flat).instances.array.any()


def test_a_node_of_exactly_the_smallest_volume_is_kept(probability: Volume) -> None:
    assert len(find_instances(probability, min_volume=36.0).nodes) == 2
    assert len(find_instances(probability, min_volume=36.1).nodes) == 1


def test_nodes_of_equal_size_are_numbered_in_scan_order(probability: Volume) -> None:
    array = np.zeros_like(probability.array)
    array[8, 1, 1] = array[3, 9, 1] = array[3, 1, 9] = 1.0
    found = find_instances(probability.with_array(array), min_volume=0.0)
    assert [int(found.instances.array[at]) for at in ((3, 1, 9), (3, 9, 1), (8, 1, 1))] == [1, 2, 3]


def test_touching_nodes_of_unlike_class_stay_apart(grid: Geometry) -> None:
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[3:6, 3, 3], array[6:8, 3, 3] = NodeClass.NEGATIVE, NodeClass.POSITIVE
    classes = Volume(array=array, geometry=grid)
    found = instances_from_class_map(classes)
    assert [node.node_class for node in found.nodes] == [NodeClass.NEGATIVE, NodeClass.POSITIVE]
    np.testing.assert_array_equal(class_map(found).array, array)
    assert class_map(found).array.dtype == np.uint8


def test_an_empty_class_map_has_no_nodes(grid: Geometry) -> None:
    found = instances_from_class_map(Volume(array=np.zeros(grid.shape, dtype=np.uint8), geometry=grid))
    assert found.nodes == ()
    assert not class_map(found).array.any()


def test_an_instance_map_is_not_taken_for_a_class_map(grid: Geometry) -> None:
    array = np.zeros(grid.shape, dtype=np.uint16)
    array[0, 0, 0] = 7
    with pytest.raises(InputError, match=r"holds 0, 1 .* found 7"):
        instances_from_class_map(Volume(array=array, geometry=grid))


def test_a_class_map_needs_classes(probability: Volume) -> None:
    with pytest.raises(InputError, match="lymph node 1 has no class"):
        class_map(find_instances(probability))


def test_taking_a_node_out_leaves_the_numbers_of_the_others(probability: Volume) -> None:
    left = without_nodes(find_instances(probability), frozenset({1}))
    assert [node.label for node in left.nodes] == [2]
    assert np.unique(left.instances.array).tolist() == [0, 2]


def test_a_record_without_voxels_does_not_break_the_class_map(grid: Geometry) -> None:
    empty = Volume(array=np.zeros(grid.shape, dtype=np.uint16), geometry=grid)
    node = Node(label=3, volume=0.0, center=(0.0, 0.0, 0.0), node_class=NodeClass.POSITIVE)
    assert not class_map(NodeMap(instances=empty, nodes=(node,))).array.any()
