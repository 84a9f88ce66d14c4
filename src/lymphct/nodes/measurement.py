"""Size, density and place of each lymph node, as reported per patient (nodes.csv)."""

from dataclasses import replace

import numpy as np
from scipy.spatial import ConvexHull, distance

from lymphct.core.arrays import BoolArray, DoubleArray, LabelArray
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.volume import Volume
from lymphct.imaging.components import Box, components_by_label
from lymphct.nodes.proximity import Surroundings, find_surroundings
from lymphct.nodes.station_shares import station_shares
from lymphct.nodes.stations import guess_station, nearest_structure


def measure_nodes(nodes: NodeMap, ct: Multiphase, structures: Volume, tumor: Volume | None = None) -> NodeMap:
    """Fill in volume, center, short axis, mean HU of each phase, nearest guiding structure and stations.

    With a mask of the tumor, the distance to it as well. All images share the grid of the instance map.
    Class, probability and a station that is already known stay as they are.

    Raises:
        GeometryMismatchError: CT, structures or tumor lie on another grid.

    """
    nodes.instances.require_same_grid(ct.venous, name="node map", reference="venous phase")
    structures.require_same_grid(nodes.instances, name="structures", reference="node map")
    if tumor is not None:
        tumor.require_same_grid(nodes.instances, name="tumor", reference="node map")
    measured = _measure_voxels(nodes, ct)
    points = np.array([node.center for node in measured], dtype=np.float64).reshape(-1, 3)
    around = find_surroundings(structures, points)
    placed = tuple(_place(node, row, around) for row, node in enumerate(measured))
    if tumor is not None:
        placed = _off_tumor(placed, points, tumor)
    return NodeMap(instances=nodes.instances, nodes=placed)


def node_boxes(instances: LabelArray) -> dict[int, Box]:
    """Return the smallest box of each instance in a node map, by label."""
    parts = components_by_label(instances)
    return {label: parts.box(part) for part, label in enumerate(parts.values.tolist())}


def _measure_voxels(nodes: NodeMap, ct: Multiphase) -> list[Node]:
    geometry = nodes.instances.geometry
    parts = components_by_label(nodes.instances.array)
    part_of = {label: part for part, label in enumerate(parts.values.tolist())}
    measured = []
    for node in nodes.nodes:
        part = part_of.get(node.label)
        if part is None:  # a record without voxels keeps what it says
            measured.append(node)
            continue
        box = parts.box(part)
        mask = nodes.instances.array[box] == node.label
        center = geometry.world(parts.centers[part])
        arterial = None if ct.arterial is None else float(ct.arterial.array[box][mask].mean())
        measured.append(
            replace(
                node,
                volume=float(parts.voxels[part] * geometry.voxel_volume),
                center=(float(center[0]), float(center[1]), float(center[2])),
                short_axis=short_axis(mask, geometry),
                hu_arterial=arterial,
                hu_venous=float(ct.venous.array[box][mask].mean()),
            )
        )
    return measured


def short_axis(mask: BoolArray, geometry: Geometry) -> float:
    """Return the short axis of one node, mm, as measured on axial images (RECIST 1.1).

    On the axial slice with the largest area (the first of equal ones): the longest chord of the convex hull
    perpendicular to its longest diameter. Pixels count with the middles of their edges, so a disc of diameter
    D measures about D.
    """
    outline = _axial_outline(mask, geometry)
    lengths = distance.cdist(outline, outline)
    start, stop = np.unravel_index(int(np.argmax(lengths)), lengths.shape)
    x, y = (outline[stop] - outline[start]) / lengths[start, stop]
    # From one end of the longest diameter to the other, the outline rises along x on both sides of it.
    turned = np.roll(outline @ np.array([[x, -y], [y, x]]), -start, axis=0)
    end = (stop - start) % len(turned)
    side = np.interp(turned[:, 0], turned[: end + 1, 0], turned[: end + 1, 1])
    other = np.concatenate([turned[:1], turned[:end:-1], turned[end : end + 1]])
    return float(np.abs(side - np.interp(turned[:, 0], other[:, 0], other[:, 1])).max())


def long_axis(mask: BoolArray, geometry: Geometry) -> float:
    """Return the longest diameter of one node, mm, on the slice that `short_axis` measures (RECIST 1.1)."""
    return float(distance.pdist(_axial_outline(mask, geometry)).max())


def _axial_outline(mask: BoolArray, geometry: Geometry) -> DoubleArray:
    """Return the corners (n, 2), mm, of the convex hull on the axial slice of largest area, in order."""
    axial = int(np.argmax(np.abs(np.asarray(geometry.direction)[2])))
    slices = np.moveaxis(mask, axial, 0)
    plane = slices[int(np.argmax(slices.sum(axis=(1, 2))))]
    spacing = np.delete(np.asarray(geometry.spacing), axial)
    half = spacing * np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
    edges = ((np.argwhere(plane) * spacing)[:, None] + half).reshape(-1, 2)
    outline: DoubleArray = edges[ConvexHull(edges).vertices]
    return outline


def _place(node: Node, row: int, around: Surroundings) -> Node:
    nearest = nearest_structure(around.distances[row])
    if nearest is None:
        return replace(node, nearest_structure=None, distance=None)
    placed = replace(node, nearest_structure=nearest[0], distance=nearest[1])
    if node.station:  # somebody said it
        return placed
    place = (node.center, around.distances[row], around.extents)
    return replace(placed, station=guess_station(*place), station_shares=station_shares(*place))


def _off_tumor(nodes: tuple[Node, ...], points: DoubleArray, tumor: Volume) -> tuple[Node, ...]:
    mask = tumor.with_array((tumor.array > 0).astype(np.uint8))
    distances = find_surroundings(mask, points).distances[:, 0]  # the tumor is structure 1 of this map
    return tuple(
        replace(node, tumor_distance=float(mm) if np.isfinite(mm) else None)
        for node, mm in zip(nodes, distances, strict=True)
    )
