"""Displacements on control points and on voxels: resample, compose, warp, and how much they fold.

All displacements are pull-backs in voxels: warped(x) = moving(A x + u(x)). A node of the control grid sits at
the lower corner of its block, node i of n along an axis of N voxels at voxel i·N/n. Reading is trilinear;
beyond the outermost nodes or voxels their value holds.
"""

from dataclasses import dataclass

import numba
import numpy as np

from lymphct.core.arrays import BoolArray, DoubleArray, FloatArray, Index3
from lymphct.registration.slabs import in_slabs


@dataclass(frozen=True, slots=True, eq=False)
class ControlField:
    """Displacements at the nodes of a control grid.

    Attributes:
        displacement: float32, shape (3, n0, n1, n2), voxels along i, j, k.
        spacing: voxels from node to node, before the grid is stretched over the remainder of the image.

    """

    displacement: FloatArray
    spacing: int


def resample_nodes(displacement: FloatArray, shape: Index3) -> FloatArray:
    """Read a field at the nodes of a grid of another size over the same image; (3, *shape) float32."""
    result = np.empty((3, *shape), dtype=np.float32)
    _expand(displacement, 0, shape[0], result)
    return result


def dense(control: ControlField, shape: Index3, *, threads: int = 1) -> FloatArray:
    """Return the displacement of every voxel of the image: float32 (3, N0, N1, N2), voxels."""
    result = np.empty((3, *shape), dtype=np.float32)
    in_slabs(lambda start, stop: _expand(control.displacement, start, stop, result), shape[0], threads)
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _expand(nodes: FloatArray, start: int, stop: int, result: FloatArray) -> None:
    _, n_i, n_j, _ = result.shape
    row = np.empty((3, nodes.shape[3]), dtype=np.float32)
    for i in range(start, stop):
        for j in range(n_j):
            _node_row(nodes, i * (nodes.shape[1] / n_i), j * (nodes.shape[2] / n_j), row)
            for c in range(3):
                _expand_row(row[c], result[c, i, j])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _node_row(nodes: FloatArray, x: float, y: float, row: FloatArray) -> None:
    """Interpolate between four rows of nodes along k."""
    _, n_x, n_y, n_z = nodes.shape
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, n_x - 1), min(y0 + 1, n_y - 1)
    tx, ty = np.float32(x - x0), np.float32(y - y0)
    for c in range(3):
        for z in range(n_z):
            low = nodes[c, x0, y0, z] + ty * (nodes[c, x0, y1, z] - nodes[c, x0, y0, z])
            high = nodes[c, x1, y0, z] + ty * (nodes[c, x1, y1, z] - nodes[c, x1, y0, z])
            row[c, z] = low + tx * (high - low)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _expand_row(nodes: FloatArray, row: FloatArray) -> None:
    n, n_z = row.size, nodes.size
    scale = n_z / n
    for k in range(n):
        z = k * scale
        z0 = int(z)
        z1 = min(z0 + 1, n_z - 1)
        row[k] = nodes[z0] + np.float32(z - z0) * (nodes[z1] - nodes[z0])


def sample_field(control: ControlField, points: DoubleArray, shape: Index3) -> DoubleArray:
    """Read the displacement at points of an image of `shape`, voxels; points and result (m, 3)."""
    grid = np.asarray(control.displacement.shape[1:]) / np.asarray(shape)
    at_nodes = np.ascontiguousarray(np.asarray(points, dtype=np.float64) * grid)
    result = np.empty(at_nodes.shape, dtype=np.float64)
    _sample(control.displacement, at_nodes, result)
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sample(nodes: FloatArray, points: DoubleArray, result: DoubleArray) -> None:
    for p in range(len(points)):
        for c in range(3):
            result[p, c] = _read(nodes[c], points[p, 0], points[p, 1], points[p, 2])


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _read(image: FloatArray, x: float, y: float, z: float) -> float:
    """Trilinear value; beyond the outermost voxel centres that of the border."""
    n_x, n_y, n_z = image.shape
    x = min(max(x, type(x)(0)), type(x)(n_x - 1))
    y = min(max(y, type(y)(0)), type(y)(n_y - 1))
    z = min(max(z, type(z)(0)), type(z)(n_z - 1))
    x0, y0, z0 = int(x), int(y), int(z)
    x1, y1, z1 = min(x0 + 1, n_x - 1), min(y0 + 1, n_y - 1), min(z0 + 1, n_z - 1)
    tx, ty, tz = np.float32(x - x0), np.float32(y - y0), np.float32(z - z0)
    a = image[x0, y0, z0] + tz * (image[x0, y0, z1] - image[x0, y0, z0])
    b = image[x0, y1, z0] + tz * (image[x0, y1, z1] - image[x0, y1, z0])
    c = image[x1, y0, z0] + tz * (image[x1, y0, z1] - image[x1, y0, z0])
    d = image[x1, y1, z0] + tz * (image[x1, y1, z1] - image[x1, y1, z0])
    a += ty * (b - a)
    c += ty * (d - c)
    value: float = a + tx * (c - a)
    return value


def make_consistent(
    forward: FloatArray, backward: FloatArray, iterations: int
) -> tuple[FloatArray, FloatArray]:
    """Pull two fields on one control grid towards being inverse to each other; units of the grid.

    Each round replaces a by (a - b(id + a)) / 2 and b by (b - a(id + b)) / 2 at once.
    """
    a, b = forward, backward
    for _ in range(iterations):
        following = np.empty_like(a), np.empty_like(b)
        _half_difference(a, b, following[0])
        _half_difference(b, a, following[1])
        a, b = following
    return a, b


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _half_difference(own: FloatArray, other: FloatArray, result: FloatArray) -> None:
    _, n_x, n_y, n_z = own.shape
    for x in range(n_x):
        for y in range(n_y):
            for z in range(n_z):
                px, py, pz = x + own[0, x, y, z], y + own[1, x, y, z], z + own[2, x, y, z]
                for c in range(3):
                    value = _read(other[c], px, py, pz)
                    result[c, x, y, z] = np.float32(0.5) * (own[c, x, y, z] - np.float32(value))


def warp(
    image: FloatArray,
    field: ControlField | None,
    affine: DoubleArray | None = None,
    *,
    outside: float | None = None,
    threads: int = 1,
) -> FloatArray:
    """Return image(A x + u(x)) for every voxel x, trilinear; float32.

    Args:
        image: C order.
        field: u; None = 0.
        affine: A, shape (4, 4), voxels; None = identity.
        outside: value beyond the image; None = that of the border.
        threads: how many share the work.

    """
    nodes = np.zeros((3, 1, 1, 1), dtype=np.float32) if field is None else field.displacement
    matrix = np.ascontiguousarray(np.eye(4) if affine is None else affine, dtype=np.float64)
    result = np.empty(image.shape, dtype=np.float32)
    fill = np.float32(np.nan if outside is None else outside)
    in_slabs(
        lambda start, stop: _warp(image, (nodes, matrix), fill, (start, stop), result), len(image), threads
    )
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _warp(
    image: FloatArray,
    where: tuple[FloatArray, DoubleArray],
    fill: float,
    part: tuple[int, int],
    result: FloatArray,
) -> None:
    n_i, n_j, n_k = image.shape
    at = np.empty((3, n_k), dtype=np.float32)
    for i in range(part[0], part[1]):
        for j in range(n_j):
            _positions(where, (i, j), image.shape, at)
            row = result[i, j]
            for k in range(n_k):
                row[k] = _read(image, at[0, k], at[1, k], at[2, k])
            if not np.isnan(fill):
                for k in range(n_k):
                    x, y, z = at[0, k], at[1, k], at[2, k]
                    if min(x, y, z) < 0 or x > n_i - 1 or y > n_j - 1 or z > n_k - 1:
                        row[k] = fill


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _positions(
    where: tuple[FloatArray, DoubleArray], row: tuple[int, int], shape: Index3, at: FloatArray
) -> None:
    """Write A x + u(x) of the voxels of one row."""
    nodes, affine = where
    i, j = row
    node_row = np.empty((3, nodes.shape[3]), dtype=np.float32)
    _node_row(nodes, i * (nodes.shape[1] / shape[0]), j * (nodes.shape[2] / shape[1]), node_row)
    for c in range(3):
        _expand_row(node_row[c], at[c])
        base = affine[c, 0] * i + affine[c, 1] * j + affine[c, 3]
        for k in range(shape[2]):
            at[c, k] += np.float32(base + affine[c, 2] * k)


def lands_on(
    seen: BoolArray, field: ControlField | None, affine: DoubleArray | None = None, *, threads: int = 1
) -> BoolArray:
    """Return for every voxel x whether the voxel nearest to A x + u(x) exists and is one of `seen`."""
    nodes = np.zeros((3, 1, 1, 1), dtype=np.float32) if field is None else field.displacement
    matrix = np.ascontiguousarray(np.eye(4) if affine is None else affine, dtype=np.float64)
    result = np.zeros(seen.shape, dtype=np.bool_)
    in_slabs(lambda start, stop: _look(seen, (nodes, matrix), (start, stop), result), len(seen), threads)
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look(
    seen: BoolArray, where: tuple[FloatArray, DoubleArray], part: tuple[int, int], result: BoolArray
) -> None:
    n_i, n_j, n_k = seen.shape
    at = np.empty((3, n_k), dtype=np.float32)
    for i in range(part[0], part[1]):
        for j in range(n_j):
            _positions(where, (i, j), seen.shape, at)
            for c in range(3):
                for k in range(n_k):
                    at[c, k] = np.rint(at[c, k])
            row = result[i, j]
            for k in range(n_k):
                row[k] = (
                    (at[0, k] >= 0)
                    & (at[0, k] < n_i)
                    & (at[1, k] >= 0)
                    & (at[1, k] < n_j)
                    & (at[2, k] >= 0)
                    & (at[2, k] < n_k)
                )
            for k in range(n_k):
                if row[k]:
                    row[k] = seen[int(at[0, k]), int(at[1, k]), int(at[2, k])]


def jacobian_determinant(displacement: FloatArray) -> FloatArray:
    """Return the local change of volume of x + u(x): 1 = none, at or below 0 = folded; float32.

    Derivatives are central differences, one-sided at the border.

    Args:
        displacement: shape (3, N0, N1, N2), in units of the grid's step; at least two nodes per axis.

    """
    j = [list(np.gradient(component)) for component in displacement]
    for axis in range(3):
        j[axis][axis] += 1
    determinant: FloatArray = (
        j[0][0] * (j[1][1] * j[2][2] - j[1][2] * j[2][1])
        - j[0][1] * (j[1][0] * j[2][2] - j[1][2] * j[2][0])
        + j[0][2] * (j[1][0] * j[2][1] - j[1][1] * j[2][0])
    )
    return determinant
