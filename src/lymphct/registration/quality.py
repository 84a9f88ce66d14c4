"""How good is a registration? Folding, invertibility, and what the descriptors still disagree about."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.arrays import DoubleArray, FloatArray
from lymphct.registration.descriptor import describe
from lymphct.registration.field import (
    ControlField,
    dense,
    jacobian_determinant,
    sample_field,
    warp,
)
from lymphct.registration.work_grid import LEAST_VOXELS, WorkPair

LEAST_JACOBIAN: Final = 1e-3
"""Determinants below it are raised to it before the logarithm."""
DESCRIPTOR_RADIUS: Final = 1
"""Voxels; that of the finest level of DEEDS."""

_EVERY: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a method found between the images of a work pair.

    Attributes:
        forward: u, voxels: warped(x) = moving(A x + u(x)).
        backward: v, voxels: fixed(x + v(x)) shows what moving(A x) shows; None where the method has no way
            back.
        affine: A, 4×4, voxels.

    """

    forward: ControlField
    backward: ControlField | None
    affine: DoubleArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Numbers of a `RegistrationReport`, which explains them; None = not measured."""

    min_jacobian: float
    folding_percent: float
    sd_log_jacobian: float
    consistency_mean_mm: float | None
    consistency_p95_mm: float | None
    distance_before: float | None
    distance_after: float | None


def measure(pair: WorkPair, found: Solution, *, threads: int = 1) -> Quality:
    """Measure a solution in the body inside the moving field of view."""
    folding = _folding(pair, found, threads)
    consistency = (None, None) if found.backward is None else _inconsistency(pair, found, found.backward)
    distances = _distances(pair, found, threads)
    return Quality(
        min_jacobian=folding[0],
        folding_percent=folding[1],
        sd_log_jacobian=folding[2],
        consistency_mean_mm=consistency[0],
        consistency_p95_mm=consistency[1],
        distance_before=distances[0],
        distance_after=distances[1],
    )


def _folding(pair: WorkPair, found: Solution, threads: int) -> tuple[float, float, float]:
    where = pair.measured
    if min(pair.grid.shape) < 2 or not where.any():
        return 1.0, 0.0, 0.0
    displacement = dense(found.forward, pair.grid.shape, threads=threads)
    _add_affine(displacement, found.affine)
    determinants = jacobian_determinant(displacement)[where]
    return (
        float(determinants.min()),
        float(100.0 * np.mean(determinants <= 0.0)),
        float(np.std(np.log(np.maximum(determinants, LEAST_JACOBIAN), dtype=np.float64))),
    )


def _add_affine(displacement: FloatArray, affine: DoubleArray) -> None:
    """Add A x - x to a dense field in place."""
    matrix = affine - np.eye(4)
    if not matrix.any():
        return
    axes = [np.arange(n, dtype=np.float32) for n in displacement.shape[1:]]
    i, j, k = np.meshgrid(*axes, indexing="ij", sparse=True)
    for component, row in enumerate(matrix.astype(np.float32)[:3]):
        displacement[component] += row[0] * i + row[1] * j + row[2] * k + row[3]


def _inconsistency(
    pair: WorkPair, found: Solution, backward: ControlField
) -> tuple[float | None, float | None]:
    """Return mean and 95th percentile of the way off after going forward and back, mm.

    Every second voxel along each axis is asked: the field is smooth over four.
    """
    points = _EVERY * np.argwhere(pair.measured[::_EVERY, ::_EVERY, ::_EVERY]).astype(np.float64)
    if len(points) == 0:
        return None, None
    shape, affine = pair.grid.shape, found.affine
    there = points @ affine[:3, :3].T + affine[:3, 3] + sample_field(found.forward, points, shape)
    aligned = (there - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    back = aligned + sample_field(backward, aligned, shape)
    off = np.linalg.norm(back - points, axis=1) * pair.grid.spacing[0]
    return float(off.mean()), float(np.percentile(off, 95))


def _distances(pair: WorkPair, found: Solution, threads: int) -> tuple[float | None, float | None]:
    where = pair.measured
    if min(pair.grid.shape) < LEAST_VOXELS or not where.any():
        return None, None
    words = describe(pair.fixed, DESCRIPTOR_RADIUS, threads=threads)
    moved = warp(pair.moving, found.forward, found.affine, threads=threads)
    before, after = (
        float(np.bitwise_count(words ^ describe(image, DESCRIPTOR_RADIUS, threads=threads))[where].mean())
        for image in (pair.moving, moved)
    )
    return before, after
