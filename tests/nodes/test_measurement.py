from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.nodes.measurement import long_axis, measure_nodes, node_boxes, short_axis

FINE = Geometry(shape=(60, 60, 5), spacing=(0.68, 0.5, 0.8))


def ellipse(long: float, short: float, turned: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    i, j, _ = np.indices(FINE.shape)
    x, y = (i - 29.7) * 0.68, (j - 29.2) * 0.5
    along, across = x * np.cos(turned) + y * np.sin(turned), y * np.cos(turned) - x * np.sin(turned)
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (2 * along / long) ** 2 + (
        2 * across / short
    ) ** 2 <= 1
    return mask


@pytest.mark.parametrize("turned", [0.0, 0.5, 1.2, 2.5])
def test_the_short_axis_of_an_ellipse_is_its_short_diameter(turned: float) -> None:
    assert_allclose(short_axis(ellipse(18.0, 9.0, turned), FINE), 9.0, atol=0.7)


@pytest.mark.parametrize("turned", [0.0, 0.5, 1.2, 2.5])
def test_the_long_axis_of_an_ellipse_is_its_long_diameter(turned: float) -> None:
    assert_allclose(long_axis(ellipse(18.0, 9.0, turned), FINE), 18.0, atol=0.7)


def test_the_short_axis_is_taken_on_the_axial_slice_with_the_largest_area() -> None:
    mask = np.zeros((9, 9, 5), dtype=bool)
    mask[4, 4] = True  # a column along k
    mask[1:8, 3:6, 2] = True  # and a plate of 7 × 3 voxels
    sagittal = Geometry(
        shape=(9, 5, 9),
        spacing=(1.0, 3.0, 1.0),
        direction=((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    )
    axial = Geometry(shape=(9, 9, 5), spacing=(1.0, 1.0, 3.0))
    assert_allclose(short_axis(mask, axial), 3.0, atol=0.6)
    assert_allclose(long_axis(mask, axial), np.hypot(7.0, 2.0), atol=1e-9)
    assert_allclose(short_axis(mask.swapaxes(1, 2), sagittal), short_axis(mask, axial))


def test_a_single_voxel_measures_its_own_size() -> None:
    one = Geometry(shape=(1, 1, 1), spacing=(1.0, 1.0, 3.0))
    assert_allclose(short_axis(np.ones((1, 1, 1), dtype=bool), one), 1.0, atol=1e-9)


def test_density_is_the_mean_over_the_node_in_each_phase(
    nodes: NodeMap, ct: Multiphase, structures: Volume
) -> None:
    assert ct.arterial is not None
    for node in measure_nodes(nodes, ct, structures).nodes:
        inside = nodes.instances.array == node.label
        assert node.hu_venous == pytest.approx(ct.venous.array[inside].mean(), rel=1e-5)
        assert node.hu_arterial == pytest.approx(ct.arterial.array[inside].mean(), rel=1e-5)


def test_place_and_size_are_measured_and_the_class_is_kept(
    nodes: NodeMap, ct: Multiphase, structures: Volume
) -> None:
    measured = measure_nodes(nodes, ct, structures)
    radii = {1: 6.2, 2: 6.0, 3: 5.2, 4: 4.8}
    for before, after in zip(nodes.nodes, measured.nodes, strict=True):
        assert after.node_class is before.node_class
        assert after.volume == pytest.approx(before.volume)
        assert after.center == pytest.approx(before.center)
        assert after.short_axis == pytest.approx(2 * radii[after.label], abs=1.6)
    # The lowest node, 6 voxels of 2 mm up: 5 of them above the pancreas.
    assert (measured.nodes[3].nearest_structure, measured.nodes[3].distance) == (Structure.PANCREAS, 10.0)
    assert {node.station for node in measured.nodes} <= {"13", "17", "18", "16"}


def test_a_station_that_is_known_stays(nodes: NodeMap, ct: Multiphase, structures: Volume) -> None:
    told = NodeMap(
        instances=nodes.instances, nodes=tuple(replace(node, station="8a") for node in nodes.nodes)
    )
    assert {node.station for node in measure_nodes(told, ct, structures).nodes} == {"8a"}


def test_without_arterial_phase_and_structures_these_stay_empty(nodes: NodeMap, ct: Multiphase) -> None:
    nothing = ct.venous.with_array(np.zeros(ct.venous.array.shape, dtype=np.uint8))
    node = measure_nodes(nodes, Multiphase(venous=ct.venous), nothing).nodes[0]
    assert (node.hu_arterial, node.nearest_structure, node.distance, node.station) == (None, None, None, "")
    assert node.hu_venous is not None


def test_a_patient_without_nodes_has_nothing_to_measure(ct: Multiphase, structures: Volume) -> None:
    empty = NodeMap(instances=structures.with_array(np.zeros_like(structures.array)), nodes=())
    assert measure_nodes(empty, ct, structures).nodes == ()
    assert node_boxes(empty.instances.array) == {}


def test_a_record_without_voxels_keeps_what_it_says(ct: Multiphase, structures: Volume) -> None:
    empty = structures.with_array(np.zeros_like(structures.array))
    node = Node(label=2, volume=77.0, center=ct.venous.geometry.origin)
    measured = measure_nodes(NodeMap(instances=empty, nodes=(node,)), ct, structures).nodes[0]
    assert (measured.volume, measured.short_axis) == (77.0, None)


def test_images_on_another_grid_are_refused(nodes: NodeMap, ct: Multiphase, structures: Volume) -> None:
    small = crop_volume(structures, (0, 0, 0), (5, 5, 5))
    with pytest.raises(GeometryMismatchError, match="the structures lies on another voxel grid"):
        measure_nodes(nodes, ct, small)
    other = Multiphase(venous=crop_volume(ct.venous, (0, 0, 0), (5, 5, 5)))
    with pytest.raises(GeometryMismatchError, match="the node map lies on another voxel grid"):
        measure_nodes(nodes, other, structures)
