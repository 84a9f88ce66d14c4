"""Reading an image on a grid with parallel axes: interpolation falls apart into three short tables.

Where the axes of two grids are parallel (whatever their order and direction), each output index along an axis
has its own input indices and weights, the same for all rows: nothing is computed per voxel but the weighted
sum. The numbers are SimpleITK's: nearest, linear, and cubic B-splines with mirrored ends.
"""

from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray, DoubleArray, FloatArray
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder, order_towards
from lymphct.core.volume import Volume
from lymphct.imaging.resampling_kernels import (
    cubic_along_columns,
    cubic_in_planes,
    linear,
    nearest,
    reorder,
)

Interpolation = Literal["nearest", "linear", "cubic"]

_PARALLEL: Final = 1e-4
"""Voxels by which positions may miss those of exactly parallel axes, anywhere: rounding of headers."""
_ON_THE_FACE: Final = 1e-6
"""Voxels beyond the face of the image that still count as inside: rounding of positions."""


class _Table(NamedTuple):
    """One axis of the output.

    Attributes:
        inside: the output indices that lie in the image.
        taps: input indices for each of them, (n, taps).
        weights: their weights, (n, taps).

    """

    inside: slice
    taps: npt.NDArray[np.int64]
    weights: DoubleArray


def resample_parallel(
    volume: Volume, grid: Geometry, *, fill: float, interpolation: Interpolation
) -> AnyArray | None:
    """Read `volume` at the voxel centres of `grid`; None where the axes of both are not parallel.

    Up to half a voxel beyond the outermost centres counts as inside the image; farther out lies `fill`.
    `nearest` keeps the type of the values (halfway between two, the voxel nearer to the middle of the image
    counts), `linear` and `cubic` give float32. A cubic spline needs four voxels along each axis.
    """
    order = order_towards(volume.geometry, grid)
    positions = _positions(volume.geometry, grid, order)
    if positions is None:
        return None
    image = volume.array.transpose(order.axes)
    tables = [_table(p, n, interpolation) for p, n in zip(positions, image.shape, strict=True)]
    kind = image.dtype.newbyteorder("=") if interpolation == "nearest" else np.dtype(np.float32)
    out = np.full(grid.shape, fill, dtype=kind)
    inside = tuple(table.inside for table in tables)
    if out[inside].size:
        _interpolate(_rows_of(image), tables, out[inside], interpolation)
    return out


def _positions(geometry: Geometry, grid: Geometry, order: AxisOrder) -> list[DoubleArray] | None:
    """Return where each output index lies along its input axis, in input indices; None if not parallel."""
    start = geometry.index(grid.world((0, 0, 0)))
    positions = []
    for axis, (old, flipped) in enumerate(zip(order.axes, order.flipped, strict=True)):
        step = grid.spacing[axis] / geometry.spacing[old] * (-1 if flipped else 1)
        positions.append(start[old] + step * np.arange(grid.shape[axis]))
    corners = np.indices((2, 2, 2)).reshape(3, -1).T
    exact = geometry.index(grid.world(corners * (np.asarray(grid.shape) - 1)))
    for axis, old in enumerate(order.axes):
        ends = positions[axis][[0, -1]]
        if np.abs(exact[:, old] - ends[corners[:, axis]]).max() > _PARALLEL:
            return None
    return positions


def _table(positions: DoubleArray, size: int, interpolation: Interpolation) -> _Table:
    beyond = 0.5 + _ON_THE_FACE
    within = np.flatnonzero((positions >= -beyond) & (positions <= size - 1 + beyond))
    inside = slice(int(within[0]), int(within[-1]) + 1) if within.size else slice(0, 0)
    place = positions[inside]
    if interpolation == "cubic":
        lower = np.floor(place)
        taps = np.abs(lower[:, None].astype(np.int64) + np.arange(-1, 3))
        taps = np.where(taps > size - 1, 2 * (size - 1) - taps, taps)
        return _Table(inside, taps, _spline_weights(place - lower))
    place = np.clip(place, 0, size - 1)
    if interpolation == "nearest":
        taps = np.clip(_rounded(place, (size - 1) / 2), 0, size - 1)[:, None]
        return _Table(inside, taps, np.ones(taps.shape))
    lower = np.minimum(np.floor(place), max(size - 2, 0))
    taps = np.minimum(lower[:, None].astype(np.int64) + np.arange(2), size - 1)
    return _Table(inside, taps, np.stack((1 - (place - lower), place - lower), axis=1))


def _rounded(place: DoubleArray, center: float) -> npt.NDArray[np.int64]:
    """Return the nearest index; halfway, the one nearer to the center, so that reversed axes agree."""
    offset = np.round(place - center, 9)
    return np.floor(center + offset - _ON_THE_FACE * np.sign(offset) + 0.5).astype(np.int64)


def _spline_weights(t: DoubleArray) -> DoubleArray:
    """Return the cubic B-spline at the four knots around a place, `t` in [0, 1) behind the second."""
    weights: DoubleArray = np.stack(
        ((1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3), axis=1
    )
    return weights / 6


def _rows_of(image: AnyArray) -> AnyArray:
    """Return the image with k fastest in memory, copied tile by tile where it has another order."""
    if image.dtype == np.bool_:
        image = image.view(np.uint8)
    if image.flags.c_contiguous and image.flags.aligned and image.dtype.isnative:
        return image
    native = image if image.dtype.isnative else image.astype(image.dtype.newbyteorder("="))
    rows = np.empty(native.shape, dtype=native.dtype)
    # The last axis is contiguous in the copy; of the other two, take the one contiguous in the source.
    fast = 0 if abs(native.strides[0]) < abs(native.strides[1]) else 1
    reorder(np.moveaxis(native, fast, 1), np.moveaxis(rows, fast, 1))
    return rows


def _interpolate(image: AnyArray, tables: list[_Table], out: AnyArray, interpolation: Interpolation) -> None:
    """Fill `out`, the part of the output that lies inside the image."""
    taps = tuple(table.taps for table in tables)
    weights = tuple(table.weights for table in tables)
    if interpolation == "nearest":
        nearest(image, taps, out.view(np.uint8) if out.dtype == np.bool_ else out)
    elif interpolation == "linear":
        linear(image, taps, weights, out)
    else:
        planes: FloatArray = np.empty((image.shape[0], *out.shape[1:]), dtype=np.float32)
        cubic_in_planes(image, taps, weights, planes)
        cubic_along_columns(planes, taps[0], weights[0], out)
