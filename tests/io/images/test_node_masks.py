import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.core.volume import Volume
from lymphct.io.images.node_masks import read_nodes, sidecar, write_nodes

Maker = Callable[..., Path]
GRID = Geometry(shape=(8, 7, 6), spacing=(4.0, 4.5, 5.0))


def class_map() -> AnyArray:
    array = np.zeros((8, 7, 6), np.uint8)
    array[1, 1, 1] = array[2, 2, 2] = NodeClass.NEGATIVE  # joined at a corner: one node
    array[5, 5, 4:6] = NodeClass.POSITIVE
    array[5, 4, 4] = NodeClass.NEGATIVE  # touches a node of the other class
    return array


def test_parts_of_a_class_map_are_nodes(make_nifti: Maker) -> None:
    nodes = read_nodes(make_nifti(class_map()), GRID)
    assert [(n.label, n.node_class, n.volume) for n in nodes.nodes] == [
        (1, NodeClass.POSITIVE, 180.0),
        (2, NodeClass.NEGATIVE, 180.0),
        (3, NodeClass.NEGATIVE, 90.0),
    ]
    assert_allclose(nodes.nodes[0].center, GRID.world((5, 5, 4.5)))
    assert_array_equal(nodes.instances.array > 0, class_map() > 0)
    assert nodes.instances.array.dtype == np.int32


def test_a_map_without_nodes_is_a_documented_case(make_nifti: Maker) -> None:
    assert read_nodes(make_nifti(np.zeros((8, 7, 6), np.uint8)), GRID).nodes == ()


def described(make_nifti: Maker, content: object) -> Path:
    array = np.zeros((8, 7, 6), np.uint16)
    array[1, 1, 1], array[5, 5, 5] = 3, 700
    path = make_nifti(array, name="nodes.nii.gz")
    sidecar(path).write_text(json.dumps(content))
    return path


def test_an_instance_map_takes_class_and_station_from_its_json(make_nifti: Maker) -> None:
    path = described(make_nifti, {"instances": {"3": {"class": "positive", "station": "8a"}, "700": {}}})
    nodes = read_nodes(path, GRID).nodes
    assert [(n.label, n.node_class, n.station) for n in nodes] == [
        (3, NodeClass.POSITIVE, "8a"),
        (700, None, ""),
    ]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([], 'has no "instances"'),
        ({"instances": {"x": {}}}, "'x' is no instance number"),
        ({"instances": {"0": {}}}, "'0' is no instance number"),
        ({"instances": {"3": "positive"}}, "is no instance number with a record"),
        ({"instances": {"3": {"class": "N1"}}}, "class of instance 3"),
        ({"instances": {"3": {"station": "<b>"}}}, "station of instance 3"),
        ({"instances": {"4": {"class": "positive"}}}, "instance 4 is not in the mask"),
    ],
)
def test_a_json_file_that_contradicts_the_map_is_refused(
    make_nifti: Maker, content: object, word: str
) -> None:
    with pytest.raises(InputError, match=word):
        read_nodes(described(make_nifti, content), GRID)


def test_larger_numbers_need_a_json_file(make_nifti: Maker) -> None:
    with pytest.raises(InputError, match="values up to 3, a class map only 1 and 2"):
        read_nodes(make_nifti(class_map() + (class_map() > 1)), GRID)


def test_a_huge_instance_number_is_refused(make_nifti: Maker) -> None:
    path = make_nifti(np.full((2, 2, 2), 2**31 - 1, np.int32), name="nodes.nii.gz")
    sidecar(path).write_text('{"instances": {}}')
    with pytest.raises(InputError, match="limit 10000"):
        read_nodes(path)


def test_written_nodes_read_back(tmp_path: Path) -> None:
    instances = np.zeros((8, 7, 6), np.int32)
    instances[1, 1, 1], instances[5, 5, 5] = 1, 2
    center = GRID.world((1, 1, 1)).tolist(), GRID.world((5, 5, 5)).tolist()
    nodes = (
        Node(label=1, volume=90.0, center=tuple(center[0]), node_class=NodeClass.NEGATIVE, station="14"),
        Node(label=2, volume=90.0, center=tuple(center[1])),
    )
    written = NodeMap(instances=Volume(array=instances, geometry=GRID), nodes=nodes)
    write_nodes(tmp_path / "nodes.nii.gz", written)
    back = read_nodes(tmp_path / "nodes.nii.gz", GRID)
    assert_array_equal(back.instances.array, instances)
    assert [(n.label, n.node_class, n.station, n.volume) for n in back.nodes] == [
        (1, NodeClass.NEGATIVE, "14", 90.0),
        (2, None, "", 90.0),
    ]
