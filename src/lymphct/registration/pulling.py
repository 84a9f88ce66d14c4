"""Read an image where a displacement field says: one pass, one interpolation, nothing of full size beside it.

For each voxel of the output the field is looked up in its control grid and the image is read at the place it
names. The field never exists at the resolution of the output, so the memory needed is that of the output.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numba
import numpy as np

from lymphct.core.arrays import AnyArray, DoubleArray, FloatArray, Index3, LabelArray

SLAB_VOXELS: Final = 1_000_000
"""Voxels of the output a thread takes at a time; bounds what `read_nearest` holds beside its output."""

NO_CONTROL: Final = np.zeros((3, 1, 1, 1), dtype=np.float32)
"""The field of a mapping that is affine alone."""

_ON_THE_FACE: Final = 1e-6


Rows = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
"""Three rows of a matrix as numbers: a compiled loop keeps them in registers, an array it reads again."""


class Mapping(NamedTuple):
    """Where output voxel x is read: `base @ (x, 1) + turn @ u(nodes @ (x, 1))`.

    Attributes:
        base: rows of 3 × 4, output indices → coordinates sought, without the field.
        turn: rows of 3 × 3, unit of the field → unit of the coordinates sought.
        nodes: rows of 3 × 4, output indices → indices of the control grid.
        control: (3, n0, n1, n2) float32; read trilinearly, the edge holds beyond it.

    """

    base: Rows
    turn: Rows
    nodes: Rows
    control: FloatArray


def mapping_of(base: DoubleArray, turn: DoubleArray, nodes: DoubleArray, control: FloatArray) -> Mapping:
    """Assemble a mapping from matrices of three rows (further rows are left out)."""
    return Mapping(_rows(base), _rows(turn), _rows(nodes), control)


def affine_mapping(matrix: DoubleArray) -> Mapping:
    """Return the mapping of a 4×4 matrix alone."""
    return mapping_of(matrix, np.eye(3), np.zeros((3, 4)), NO_CONTROL)


def _rows(matrix: DoubleArray) -> Rows:
    first, second, third = (tuple(float(value) for value in row) for row in matrix[:3])
    return first, second, third


def read_linear(
    image: AnyArray, mapping: Mapping, shape: Index3, *, fill: float, threads: int = 1
) -> FloatArray:
    """Interpolate `image` trilinearly at the places of `mapping` (indices of `image`), float32.

    Up to half a voxel beyond the outermost centres the edge value holds; farther out lies `fill`.
    """
    if image.dtype not in (np.int16, np.float32):
        image = image.astype(np.float32)
    image = _read_only(image)
    output = np.empty(shape, dtype=np.float32)
    _by_slabs(shape, threads, lambda start, end: _linear(image, mapping, fill, start, output[start:end]))
    return output


def read_nearest(image: AnyArray, mapping: Mapping, shape: Index3, *, threads: int = 1) -> AnyArray:
    """Read the voxel nearest to each place of `mapping` (half rounds up); 0 outside, the type is kept."""
    flat = image.reshape(-1)
    output = np.empty(shape, dtype=image.dtype)

    def read(start: int, end: int) -> None:
        index: LabelArray = np.empty((end - start, *shape[1:]), dtype=np.int64)
        _nearest(image.shape, mapping, start, index)
        values = flat[np.maximum(index, 0)]
        values[index < 0] = 0
        output[start:end] = values

    _by_slabs(shape, threads, read)
    return output


def places(mapping: Mapping, shape: Index3, *, threads: int = 1) -> FloatArray:
    """Return the places themselves, float32, shape (*shape, 3)."""
    output = np.empty((*shape, 3), dtype=np.float32)
    _by_slabs(shape, threads, lambda start, end: _places(mapping, start, output[start:end]))
    return output


def inside(size: Index3, mapping: Mapping, shape: Index3, *, threads: int = 1) -> AnyArray:
    """Tell, per output voxel, whether its place lies in an image of `size` voxels (faces included)."""
    output = np.empty(shape, dtype=np.bool_)

    def look(start: int, end: int) -> None:
        index: LabelArray = np.empty((end - start, *shape[1:]), dtype=np.int64)
        _nearest(size, mapping, start, index)
        np.greater_equal(index, 0, out=output[start:end])

    _by_slabs(shape, threads, look)
    return output


def _read_only(image: AnyArray) -> AnyArray:
    # One number type and one kind of array: the kernel is compiled once for images from everywhere.
    view = np.ascontiguousarray(image).view()
    view.flags.writeable = False
    return view


def _by_slabs(shape: Index3, threads: int, work: Callable[[int, int], None]) -> None:
    thickness = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    starts = range(0, shape[0], thickness)
    ends = [min(start + thickness, shape[0]) for start in starts]
    if threads == 1:
        for start, end in zip(starts, ends, strict=True):
            work(start, end)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, starts, ends))


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _cell(position, size):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - numba infers the types
    """Return the two neighbors of a position on an axis, clamped, and the share of the second."""
    position = min(max(position, 0.0), size - 1.0)
    low = np.uint64(position)  # an index without sign is never taken as counted from the end
    high = np.uint64(min(low + 1, size - 1))
    return low, high, position - low


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _between(image, c0, c1, c2):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - numba infers the types
    """Interpolate trilinearly between the eight voxels that three cells name."""
    a0, b0, f0 = c0
    a1, b1, f1 = c1
    a2, b2, f2 = c2
    v00 = image[a0, a1, a2] * (1.0 - f2) + image[a0, a1, b2] * f2
    v01 = image[a0, b1, a2] * (1.0 - f2) + image[a0, b1, b2] * f2
    v10 = image[b0, a1, a2] * (1.0 - f2) + image[b0, a1, b2] * f2
    v11 = image[b0, b1, a2] * (1.0 - f2) + image[b0, b1, b2] * f2
    v0 = v00 * (1.0 - f1) + v01 * f1
    v1 = v10 * (1.0 - f1) + v11 * f1
    return v0 * (1.0 - f0) + v1 * f0


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _along(row, k):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - numba infers the types
    """Return the three coordinates of step k of a row."""
    start, step = row
    return start[0] + step[0] * k, start[1] + step[1] * k, start[2] + step[2] * k


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _row(matrix, i, j):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - numba infers the types
    """Return the start of row (i, j) and the step along it, in numbers the processor can keep at hand."""
    a, b, c = matrix[0], matrix[1], matrix[2]
    start = (
        a[0] * i + a[1] * j + a[3],
        b[0] * i + b[1] * j + b[3],
        c[0] * i + c[1] * j + c[3],
    )
    return start, (a[2], b[2], c[2])


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _displaced(place, node, control, turn):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - as above
    """Add the field at a node coordinate to a place."""
    _, m0, m1, m2 = control.shape
    c0, c1, c2 = _cell(node[0], m0), _cell(node[1], m1), _cell(node[2], m2)
    u0 = _between(control[0], c0, c1, c2)
    u1 = _between(control[1], c0, c1, c2)
    u2 = _between(control[2], c0, c1, c2)
    t0, t1, t2 = turn
    return (
        place[0] + t0[0] * u0 + t0[1] * u1 + t0[2] * u2,
        place[1] + t1[0] * u0 + t1[1] * u1 + t1[2] * u2,
        place[2] + t2[0] * u0 + t2[1] * u1 + t2[2] * u2,
    )


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _is_outside(position: float, size: int) -> bool:
    # Rounding must not push a place on the very face of the image outside.
    return not (-0.5 - _ON_THE_FACE <= position <= size - 0.5 + _ON_THE_FACE)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _linear(image: AnyArray, mapping: Mapping, fill: float, first: int, output: FloatArray) -> None:
    n0, n1, n2 = image.shape
    for i in range(output.shape[0]):
        for j in range(output.shape[1]):
            row, nodes = _row(mapping.base, first + i, j), _row(mapping.nodes, first + i, j)
            for k in range(output.shape[2]):
                p0, p1, p2 = _displaced(_along(row, k), _along(nodes, k), mapping.control, mapping.turn)
                if _is_outside(p0, n0) or _is_outside(p1, n1) or _is_outside(p2, n2):
                    output[i, j, k] = fill
                else:
                    output[i, j, k] = _between(image, _cell(p0, n0), _cell(p1, n1), _cell(p2, n2))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _nearest(size: Index3, mapping: Mapping, first: int, output: LabelArray) -> None:
    n0, n1, n2 = size
    for i in range(output.shape[0]):
        for j in range(output.shape[1]):
            row, nodes = _row(mapping.base, first + i, j), _row(mapping.nodes, first + i, j)
            for k in range(output.shape[2]):
                p0, p1, p2 = _displaced(_along(row, k), _along(nodes, k), mapping.control, mapping.turn)
                if _is_outside(p0, n0) or _is_outside(p1, n1) or _is_outside(p2, n2):
                    output[i, j, k] = -1
                else:
                    q0 = min(max(int(np.floor(p0 + 0.5)), 0), n0 - 1)
                    q1 = min(max(int(np.floor(p1 + 0.5)), 0), n1 - 1)
                    q2 = min(max(int(np.floor(p2 + 0.5)), 0), n2 - 1)
                    output[i, j, k] = (q0 * n1 + q1) * n2 + q2


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _places(mapping: Mapping, first: int, output: FloatArray) -> None:
    for i in range(output.shape[0]):
        for j in range(output.shape[1]):
            row, nodes = _row(mapping.base, first + i, j), _row(mapping.nodes, first + i, j)
            for k in range(output.shape[2]):
                p0, p1, p2 = _displaced(_along(row, k), _along(nodes, k), mapping.control, mapping.turn)
                output[i, j, k, 0] = p0
                output[i, j, k, 1] = p1
                output[i, j, k, 2] = p2
