"""Area of the surface that passes between 2×2×2 voxel centres, one value for each of the 256 cases.

Between eight neighbouring voxel centres the surface is the polygon through the midpoints of the cube's edges
that join an inside to an outside centre (marching cubes). Choices that marching cubes leaves open are taken
as in DeepMind's surface-distance, whose areas these are: on a face with two diagonal inside corners each is
cut off alone; a cube with more than four inside corners has the area of its complement; a polygon that is not
flat is cut into the triangles of largest area, measured in voxels.
"""

from functools import lru_cache
from itertools import product

import numpy as np

from lymphct.core.arrays import DoubleArray, Vector3

Corner = tuple[int, int, int]
Edge = frozenset[Corner]

CORNERS: tuple[Corner, ...] = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))
"""Corner n of the cube; bit n of a case tells whether it is inside (n = 4i + 2j + k)."""


def element_areas(spacing: Vector3) -> DoubleArray:
    """Return the area of the surface in each of the 256 cases, mm².

    >>> areas = element_areas((1.0, 1.0, 1.0))
    >>> float(areas[0b00001111])  # the lower four corners inside: one face of a voxel
    1.0
    """
    si, sj, sk = spacing
    scale = np.array([sj * sk, si * sk, si * sj])
    areas = np.zeros(256)
    for case in range(256):
        normals = _normals(case)
        areas[case] = np.linalg.norm(normals * scale, axis=1).sum()
    return areas


@lru_cache(maxsize=256)
def _normals(case: int) -> DoubleArray:
    """Return the area vectors of the triangles of a case, shape (n, 3), on the unit cube."""
    inside = frozenset(corner for bit, corner in enumerate(CORNERS) if case >> bit & 1)
    if len(inside) > 4:
        return _normals(255 - case)
    best = [_triangulate(np.array([_midpoint(edge) for edge in polygon])) for polygon in _polygons(inside)]
    return np.concatenate(best) if best else np.zeros((0, 3))


def _polygons(inside: frozenset[Corner]) -> list[list[Edge]]:
    """Link the segments on the six faces to closed polygons of cut edges."""
    neighbours: dict[Edge, list[Edge]] = {}
    for ring in _faces():
        edges = [frozenset((ring[n], ring[(n + 1) % 4])) for n in range(4)]
        cut = [n for n in range(4) if (ring[n] in inside) != (ring[(n + 1) % 4] in inside)]
        if len(cut) == 4:  # two diagonal corners inside: each is cut off by the two edges that meet in it
            segments = [(edges[n - 1], edges[n]) for n in range(4) if ring[n] in inside]
        else:
            segments = [(edges[cut[0]], edges[cut[1]])] if cut else []
        for first, second in segments:
            neighbours.setdefault(first, []).append(second)
            neighbours.setdefault(second, []).append(first)
    polygons: list[list[Edge]] = []
    while neighbours:
        start = next(iter(neighbours))
        polygon = [start]
        while onward := [edge for edge in neighbours.pop(polygon[-1]) if edge in neighbours]:
            polygon.append(onward[0])
        polygons.append(polygon)
    return polygons


def _faces() -> list[list[Corner]]:
    faces = []
    for axis, side in product(range(3), (0, 1)):
        u, v = (other for other in range(3) if other != axis)
        ring = []
        for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)):
            corner = [0, 0, 0]
            corner[axis], corner[u], corner[v] = side, a, b
            ring.append((corner[0], corner[1], corner[2]))
        faces.append(ring)
    return faces


def _midpoint(edge: Edge) -> DoubleArray:
    middle: DoubleArray = np.mean(sorted(edge), axis=0)
    return middle


def _triangulate(polygon: DoubleArray) -> DoubleArray:
    """Return the area vectors of the triangles of largest total area."""

    def cuts(corners: tuple[int, ...]) -> list[list[DoubleArray]]:
        if len(corners) < 3:
            return [[]]
        first, last = corners[0], corners[-1]
        ways = []
        for n in range(1, len(corners) - 1):
            a, b = polygon[corners[n]] - polygon[first], polygon[last] - polygon[first]
            normal = np.cross(a, b) / 2
            ways += [
                [*left, normal, *right] for left, right in product(cuts(corners[: n + 1]), cuts(corners[n:]))
            ]
        return ways

    triangulations = [np.array(way) for way in cuts(tuple(range(len(polygon))))]
    # Rounded: of triangulations with equal areas the first is meant, not the luckiest in the last bit.
    return max(triangulations, key=lambda normals: round(float(np.linalg.norm(normals, axis=1).sum()), 9))
