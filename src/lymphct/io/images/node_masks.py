"""Drawn lymph nodes: an instance map with a JSON file beside it, or a class map."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import BoolArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import Source, name_of
from lymphct.io.images.masks import read_whole_numbers
from lymphct.io.images.nifti import write_nifti
from lymphct.io.images.single_file import image_stem
from lymphct.io.results.jsonfile import JSON, read_json, write_json

_MOST_NODES: Final = 10_000
_CLASSES: Final = {node_class.label: node_class for node_class in NodeClass}


def sidecar(path: Path) -> Path:
    """Return the JSON file that belongs to an instance map: `nodes.nii.gz` → `nodes.json`."""
    return path.with_name((image_stem(path.name) or path.name) + ".json")


def read_nodes(path: Source, grid: Geometry | None = None) -> NodeMap:
    """Read lymph nodes.

    With `sidecar(path)` beside it the file is an instance map, and the JSON gives class and station:
    `{"instances": {"1": {"class": "positive", "station": "8a"}}}`. Without it the file is a class map,
    1 positive and 2 negative, and each 26-connected part of one class is a node.

    Args:
        path: a NIfTI file, or a class map in memory; may hold no node at all.
        grid: the grid it must lie on, whatever its axis order; None to keep the file's own.

    Returns:
        int32 instance map on `grid`, nodes with label, volume, center, class and station.

    Raises:
        InputError: a damaged file, values or a sidecar that contradict this.
        GeometryMismatchError: another grid.

    """
    nodes, unjudged = read_partial_nodes(path, grid)
    if unjudged is not None:
        msg = "the node mask has voxels that nobody looked at: it is not a whole one"
        cure = "such a mask can be in a manifest, to learn from; here give a whole one"
        raise InputError(msg, code="E_LABELS", cure=cure).at(file=name_of(path, "nodes"))
    return nodes


def read_partial_nodes(path: Source, grid: Geometry | None = None) -> tuple[NodeMap, BoolArray | None]:
    """Read lymph nodes as `read_nodes` does, of a mask that may say where nobody looked.

    In a class map such voxels are 255, beside nodes of 1 and 2. An instance map may have an instance 255, so
    there the JSON file must name the number: `{"instances": {…}, "unjudged": 255}`.

    Returns:
        The nodes, and where nobody looked for some; None where the mask says of no voxel so.

    Raises:
        InputError, GeometryMismatchError: as `read_nodes`.

    """
    volume = read_whole_numbers(path, grid, name="node mask")
    try:
        if isinstance(path, Path) and sidecar(path).exists():
            described, number = _described_instances(sidecar(path))
            volume, unjudged = _without(volume.with_array(volume.array.astype(np.int32)), number)
            return _node_map(volume, described), unjudged
        is_marked = np.any(volume.array == UNJUDGED) and bool(np.isin(volume.array, list(NodeClass)).any())
        volume, unjudged = _without(volume, UNJUDGED if is_marked else None)
        return _from_classes(volume), unjudged
    except InputError as error:
        raise error.at(file=error.file or name_of(path, "nodes")) from None


def _without(volume: Volume, number: int | None) -> tuple[Volume, BoolArray | None]:
    """Return an image without the voxels of a number, and where they are; None where there are none."""
    unjudged: BoolArray | None = None if number is None else volume.array == number
    if unjudged is None or not unjudged.any():
        return volume, None
    return volume.with_array(np.where(unjudged, 0, volume.array).astype(volume.array.dtype)), unjudged


def sidecar_classes(path: Path) -> tuple[NodeClass | None, ...]:
    """Return the class of each instance as the JSON file beside the map says; the map is not read.

    Raises:
        InputError: the file is missing or contradicts the format.

    """
    return tuple(node_class for node_class, _ in _described_instances(sidecar(path))[0].values())


def _from_classes(volume: Volume) -> NodeMap:
    if int(volume.array.max()) > max(NodeClass):
        msg = f"the node mask holds values up to {int(volume.array.max())}, a class map only 1 and 2"
        cure = (
            "for an instance map put a JSON file with the classes beside it; 255 is for voxels nobody looked "
            "at, beside nodes of 1 and 2"
        )
        raise InputError(msg, code="E_LABELS", cure=cure)
    instances = np.zeros(volume.geometry.shape, dtype=np.int32)
    described: dict[int, tuple[NodeClass | None, str]] = {}
    for node_class in NodeClass:
        parts, count = ndimage.label(volume.array == node_class, structure=np.ones((3, 3, 3)))
        instances[parts > 0] = parts[parts > 0] + len(described)
        first = len(described) + 1
        described |= {first + n: (node_class, "") for n in range(int(count))}
    return _node_map(volume.with_array(instances), described)


def _described_instances(path: Path) -> tuple[dict[int, tuple[NodeClass | None, str]], int | None]:
    """Return class and station of each instance, and the number of voxels that nobody looked at."""
    content = read_json(path)
    instances = content.get("instances") if isinstance(content, dict) else None
    if not isinstance(instances, dict):
        raise _bad_sidecar('has no "instances"').at(file=path.name)
    described: dict[int, tuple[NodeClass | None, str]] = {}
    for key, value in instances.items():
        if not (
            key.isascii() and key.isdigit() and len(key) < 10 and int(key) > 0 and isinstance(value, dict)
        ):
            raise _bad_sidecar(f"{key[:20]!r} is no instance number with a record").at(file=path.name)
        described[int(key)] = (
            _class(value.get("class"), key, path),
            _station(value.get("station"), key, path),
        )
    return described, _unjudged_number(content, described, path)


def _unjudged_number(content: JSON, described: Collection[int], path: Path) -> int | None:
    number = content.get("unjudged") if isinstance(content, dict) else None
    if number is None:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1 or number in described:
        cause = f'"unjudged" is {str(number)[:20]!r}, no number that is free'
        raise _bad_sidecar(cause).at(file=path.name)
    return number


def _class(value: JSON, key: str, path: Path) -> NodeClass | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in _CLASSES:
        raise _bad_sidecar(f'the class of instance {key} is not "positive" or "negative"').at(file=path.name)
    return _CLASSES[value]


def _station(value: JSON, key: str, path: Path) -> str:
    if value is None:
        return ""
    if not (
        isinstance(value, str) and len(value) <= 8 and ((value.isascii() and value.isalnum()) or not value)
    ):
        raise _bad_sidecar(f"the station of instance {key} is no name like 8a").at(file=path.name)
    return value


def _bad_sidecar(cause: str) -> InputError:
    cure = 'write {"instances": {"1": {"class": "positive", "station": "8a"}}}'
    return InputError(cause, code="E_NODES", cure=cure)


def _node_map(instances: Volume, described: dict[int, tuple[NodeClass | None, str]]) -> NodeMap:
    labels = instances.array
    boxes = ndimage.find_objects(labels) if int(labels.max()) <= _MOST_NODES else []
    present = [n for n, box in enumerate(boxes, start=1) if box is not None]
    if int(labels.max()) > _MOST_NODES:
        msg = f"the node mask holds instance numbers up to {int(labels.max())}, limit {_MOST_NODES}"
        raise InputError(msg, code="E_NODES", cure="number the instances from 1 on")
    missing = sorted(set(described) - set(present))
    if missing:
        cause = f"instance {missing[0]} is not in the mask ({len(missing)} such)"
        raise _bad_sidecar(cause)
    nodes = tuple(_node(instances, n, boxes[n - 1], described.get(n, (None, ""))) for n in present)
    return NodeMap(instances=instances, nodes=nodes)


def _node(
    instances: Volume, label: int, box: tuple[slice, ...], description: tuple[NodeClass | None, str]
) -> Node:
    inside = np.argwhere(instances.array[box] == label)
    center = instances.geometry.world(inside.mean(axis=0) + [part.start for part in box])
    return Node(
        label=label,
        volume=len(inside) * instances.geometry.voxel_volume,
        center=(float(center[0]), float(center[1]), float(center[2])),
        node_class=description[0],
        station=description[1],
    )


def write_nodes(path: Path, nodes: NodeMap) -> None:
    """Write an instance map (uint16) and its JSON file, as `read_nodes` reads them.

    Raises:
        EnvironmentProblemError: they cannot be written.

    """
    records: dict[str, JSON] = {}
    for node in nodes.nodes:
        record: dict[str, JSON] = {}
        if node.node_class is not None:
            record["class"] = node.node_class.label
        if node.station:
            record["station"] = node.station
        records[str(node.label)] = record
    write_nifti(path, nodes.instances.with_array(nodes.instances.array.astype(np.uint16)))
    write_json(sidecar(path), {"instances": records})
