"""Align two arrays as wholes before DEEDS: block matching and least trimmed squares."""

from typing import Final, NamedTuple

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from lymphct.registration.cost import data_cost, grid_shape
from lymphct.registration.deeds_settings import DeedsSettings, Level
from lymphct.registration.descriptor import describe
from lymphct.registration.field import warp

AIR: Final = -1024.0
"""HU; what lies outside an image, and the zero from which blocks are called empty."""
_EMPTY_BELOW: Final = AIR + 5.0
_BORDER: Final = 2


class _Matches(NamedTuple):
    """Block centres and where they were found, voxels, (m, 3) each."""

    source: DoubleArray
    found: DoubleArray


def align_affine(
    fixed: FloatArray, moving: FloatArray, settings: DeedsSettings, *, threads: int = 1
) -> DoubleArray:
    """Return A, (4, 4) in voxels, such that moving(A x) lies on fixed(x).

    A level without enough matches leaves what the levels before it found, at first the identity.

    Args:
        fixed: HU, C order.
        moving: HU, on the same grid.
        settings: the affine stage's levels.
        threads: how many share the work.

    """
    affine: DoubleArray = np.eye(4)
    for level in settings.affine_levels:
        inverse: DoubleArray = np.linalg.inv(affine).astype(np.float64)
        there = _match(fixed, warp(moving, None, affine, outside=AIR, threads=threads), level, threads)
        back = _match(moving, warp(fixed, None, inverse, outside=AIR, threads=threads), level, threads)
        # A block of the moving image at y, found at y + d in the warped fixed one, says that the sought
        # correction of A leads from A⁻¹(y + d) to A⁻¹ y.
        source = np.concatenate([there.source, _apply(inverse, back.found)])
        target = np.concatenate([there.found, _apply(inverse, back.source)])
        if len(source) < settings.affine_least_points:
            continue  # a small image; finer levels have more blocks
        affine = affine @ fit_trimmed(source, target, settings.affine_rounds)
    return affine


def _apply(affine: DoubleArray, points: DoubleArray) -> DoubleArray:
    moved: DoubleArray = points @ affine[:3, :3].T + affine[:3, 3]
    return moved


def _match(image: FloatArray, warped: FloatArray, level: Level, threads: int) -> _Matches:
    """Find the better half of the blocks of `image` in `warped`."""
    radius, g = level.descriptor_radius, level.spacing
    n = grid_shape((image.shape[0], image.shape[1], image.shape[2]), g)
    words = describe(image, radius, threads=threads), describe(warped, radius, threads=threads)
    cost = _smooth(data_cost(*words, level, threads=threads).reshape(*n, -1))
    label, least = cost.argmin(axis=-1), cost.min(axis=-1)
    usable = _inner_blocks_with_tissue(image, g)
    usable &= least <= np.median(least[usable]) if usable.any() else usable
    nodes = np.argwhere(usable)
    source: DoubleArray = nodes * np.float64(g) + (g - 1) // 2
    steps = np.stack(np.unravel_index(label[usable], (level.labels,) * 3), axis=1) - level.radius
    return _Matches(source, source + steps * level.step)


def _smooth(cost: FloatArray) -> FloatArray:
    """Add half of each neighbor's cost, along one axis of the grid after the other."""
    for axis in range(3):
        along = np.moveaxis(cost, axis, 0)
        sides = np.zeros_like(along)
        sides[1:] += along[:-1]
        sides[:-1] += along[1:]
        sides *= 0.5
        cost = np.moveaxis(along + sides, 0, axis)
    return cost


def _inner_blocks_with_tissue(image: FloatArray, g: int) -> BoolArray:
    n = grid_shape((image.shape[0], image.shape[1], image.shape[2]), g)
    part = image[: n[0] * g, : n[1] * g, : n[2] * g]
    means: AnyArray = part.reshape(n[0], g, n[1], g, n[2], g).mean(axis=(1, 3, 5))
    usable = means >= _EMPTY_BELOW
    inner = np.zeros_like(usable)
    inner[(slice(_BORDER, -_BORDER),) * 3] = True
    usable &= inner
    return usable


def fit_trimmed(source: DoubleArray, target: DoubleArray, rounds: int) -> DoubleArray:
    """Fit the affine matrix from source to target points (m, 3) by least trimmed squares.

    Least squares over all points, then `rounds` times over the half with the smaller residuals.
    """
    homogeneous = np.column_stack([source, np.ones(len(source))])
    keep = np.ones(len(source), dtype=np.bool_)
    affine = np.eye(4)
    for _ in range(rounds + 1):
        affine[:3] = np.linalg.lstsq(homogeneous[keep], target[keep], rcond=None)[0].T
        residual = ((homogeneous @ affine[:3].T - target) ** 2).sum(axis=1)
        keep = residual <= np.median(residual)
    return affine
