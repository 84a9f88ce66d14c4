import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Node, NodeMap, Prediction
from lymphct.core.terms import NodeClass, Structure
from lymphct.core.volume import Volume
from lymphct.report.figures import Scene
from lymphct.report.gallery import (
    BODY_MARGIN,
    CROP_SIDE,
    LARGEST_CROP,
    body_frame,
    crop_side,
    node_pictures,
    overview,
    ranked,
)
from lymphct.report.planes import Plane


@pytest.fixture(scope="module")
def scene(prediction: Prediction, ct: Multiphase) -> Scene:
    return Scene.of(prediction, ct)


def emptied(volume: Volume) -> Volume:
    return volume.with_array(np.zeros_like(volume.array))


def node(label: int, node_class: NodeClass | None = None, probability: float | None = None) -> Node:
    return Node(label=label, volume=100.0, center=(0, 0, 0), node_class=node_class, probability=probability)


def test_predicted_positive_nodes_come_first_then_the_more_probable() -> None:
    nodes = (
        node(1, NodeClass.NEGATIVE, 0.4),
        node(2, NodeClass.POSITIVE, 0.6),
        node(3),
        node(4, NodeClass.POSITIVE, 0.9),
        node(5, NodeClass.POSITIVE, None),
        node(6, NodeClass.NEGATIVE, 0.4),
    )
    assert [n.label for n in ranked(nodes)] == [4, 2, 5, 1, 6, 3]


def test_overviews_pass_through_the_most_tumor(scene: Scene) -> None:
    found = overview(scene)
    assert found.target == "the tumor"
    assert [pair[0].frame.plane for pair in found.rows] == [Plane.AXIAL, Plane.CORONAL]
    assert [pair[0].frame.index for pair in found.rows] == [18, 18]
    assert found.rows[0][0].title == "Axial, slice 22 of 40, z = 15 mm: structures"
    assert found.rows[1][1].title == "Coronal, slice 32 of 50, y = 2 mm: attention"
    assert found.rows[0][1].heat is not None
    assert Structure.PANCREAS in found.structures


def test_a_slice_below_zero_carries_a_minus_sign(scene: Scene) -> None:
    lower = replace(scene, tumor=scene.tumor.with_array(np.roll(scene.tumor.array, -10, axis=2)))
    assert overview(lower).rows[0][0].title.startswith("Axial, slice 32 of 40, z = −10 mm")


def test_without_a_tumor_the_overview_says_what_it_goes_through(scene: Scene) -> None:
    no_tumor = replace(scene, tumor=emptied(scene.tumor))
    assert overview(no_tumor).target == "the pancreas (no tumor was found)"
    organs = scene.structures.array
    no_pancreas = replace(
        no_tumor, structures=scene.structures.with_array(np.where(organs == Structure.PANCREAS, 0, organs))
    )
    assert overview(no_pancreas).target.startswith("the lymph nodes")
    no_nodes = replace(no_pancreas, instances=emptied(scene.instances))
    assert overview(no_nodes).target.startswith("the guiding structures")
    only_kidney = np.where(organs == Structure.LEFT_KIDNEY, organs, 0)
    nothing = replace(no_nodes, structures=scene.structures.with_array(only_kidney))
    found = overview(nothing)
    assert found.target.startswith("the middle of the image")
    assert [pair[0].frame.index for pair in found.rows] == [20, 25]


def test_overviews_show_the_body_and_what_is_outlined_and_no_air(scene: Scene) -> None:
    table = scene.venous.array.copy()
    table[:, 44:] = -1000
    table[5:55, 49] = 200
    lying = replace(scene, venous=scene.venous.with_array(table))
    inside = lying.venous.array[:, :, 18] > -300
    inside[:, 44:] = False
    columns, rows = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    axial, _ = overview(lying).rows[0]
    left, top = columns[0] * 1.6, rows[0] * 2.0
    right, bottom = (columns[-1] + 1) * 1.6, (rows[-1] + 1) * 2.0
    frame = axial.frame
    assert_allclose((frame.left, frame.top), (max(left - BODY_MARGIN, 0), max(top - BODY_MARGIN, 0)))
    ends = (min(right + BODY_MARGIN, 96), min(bottom + BODY_MARGIN, 100))
    assert_allclose((frame.left + frame.width, frame.top + frame.height), ends)
    assert frame.top + frame.height < 98  # the table begins there
    assert overview(lying).rows[0][1].frame == frame
    # A finding away from the body is not cut off.
    stray = scene.instances.array.copy()
    stray[58:60, 48:50, 18] = 9
    wide = overview(replace(lying, instances=scene.instances.with_array(stray))).rows[0][0].frame
    assert_allclose((wide.left + wide.width, wide.top + wide.height), (96.0, 100.0))


def test_an_image_without_a_body_is_shown_whole(scene: Scene) -> None:
    air = replace(scene, venous=scene.venous.with_array(np.full_like(scene.venous.array, -1000)))
    frame = body_frame(air, Plane.CORONAL, 3)
    assert (frame.left, frame.top, frame.width, frame.height) == (0.0, 0.0, 96.0, 100.0)


def test_a_node_is_shown_plain_in_both_phases_before_it_is_outlined(scene: Scene) -> None:
    pictures = node_pictures(scene, scene.nodes[2])
    assert [p.frame.plane for p in pictures] == [*[Plane.AXIAL] * 3, Plane.CORONAL, Plane.SAGITTAL]
    assert [p.frame.index for p in pictures] == [25, 25, 25, 30, 40]
    assert [p.title.split(": ")[1] for p in pictures] == [
        "venous phase", "arterial phase", "structures and attention", "venous phase", "venous phase",
    ]  # fmt: skip
    # No tint and no contour hides the grey values of the first two; brackets say where the node is.
    for shown in pictures[:2]:
        assert shown.heat is None
        assert [outline.kind for outline in shown.outlines] == ["node positive brackets"]
        assert shown.labels == ()
    assert [shown.heat is None for shown in pictures] == [True, True, False, True, True]
    assert "structure" in {outline.kind for outline in pictures[2].outlines}
    assert all("2" in [label.text for label in p.labels] for p in pictures[2:])
    assert all((p.frame.width, p.frame.height) == (CROP_SIDE, CROP_SIDE) for p in pictures)


def test_without_arterial_phase_a_node_has_four_pictures(scene: Scene) -> None:
    pictures = node_pictures(replace(scene, arterial=None), scene.nodes[2])
    assert [p.frame.plane for p in pictures] == [Plane.AXIAL, *Plane]


def test_a_bent_node_is_shown_where_it_has_voxels(scene: Scene) -> None:
    instances = np.zeros_like(scene.instances.array)
    instances[20:23, 20, 10:19] = 1
    instances[20:23, 20:30, 18] = 1
    bent = replace(scene, instances=scene.instances.with_array(instances))
    x, y, z = scene.instances.geometry.world((21, 26, 13)).tolist()
    pictures = node_pictures(bent, replace(node(1), center=(x, y, z)))
    assert [p.frame.index for p in pictures] == [13, 13, 13, 26, 21]
    assert all(p.outlines for p in pictures)


def test_a_record_without_voxels_is_shown_at_its_center(scene: Scene) -> None:
    x, y, z = scene.instances.geometry.world((30, 25, 20)).tolist()
    pictures = node_pictures(scene, replace(node(99), center=(x, y, z)))
    assert [p.frame.index for p in pictures] == [20, 20, 20, 25, 30]
    assert pictures[0].outlines == ()
    assert "99" not in [label.text for p in pictures for label in p.labels]


def test_a_node_at_the_edge_or_beyond_is_shown_at_the_edge(scene: Scene) -> None:
    pictures = node_pictures(scene, replace(node(99), center=(1e4, 1e4, 1e4)))
    assert [p.frame.index for p in pictures] == [39, 39, 39, 49, 59]
    assert all(p.ct is not None for p in pictures)


def test_large_nodes_get_larger_pictures_up_to_a_limit() -> None:
    assert crop_side(replace(node(1), volume=500.0)) == CROP_SIDE
    # A ball of 40 mm: 33,510 mm³.
    assert crop_side(replace(node(1), volume=33510.3)) == pytest.approx(80.0, abs=0.01)
    assert crop_side(replace(node(1), volume=1e7)) == LARGEST_CROP
    assert crop_side(replace(node(1), volume=0.0)) == CROP_SIDE


def test_pictures_need_little_memory_beyond_the_images(prediction: Prediction) -> None:
    grid = Geometry(
        shape=(150, 160, 140), spacing=(1.0, 1.2, 0.9), direction=((0, -1, 0), (-1, 0, 0), (0, 0, -1))
    )
    hu = Volume(array=np.zeros(grid.shape, dtype=np.int16), geometry=grid)
    mask = hu.with_array(np.ones(grid.shape, dtype=np.uint8))
    large = replace(
        prediction,
        structures=mask,
        tumor=mask,
        attention=hu.with_array(np.ones(grid.shape, dtype=np.float32)),
        nodes=NodeMap(instances=hu.with_array(np.zeros(grid.shape, dtype=np.int32)), nodes=()),
    )
    tracemalloc.start()
    overview(Scene.of(large, Multiphase(venous=hu, arterial=hu)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # One mask of the volume is looked through; copies of all images would be 14 bytes a voxel.
    assert peak < 2.5 * hu.array.size
