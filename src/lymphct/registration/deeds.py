"""DEEDS: dense displacement sampling on a tree (Heinrich et al., MICCAI 2013), between arrays.

Every level reads all voxels. It warps each image by what is known, describes it, lets every control point
choose among L³ displacements, in both directions, and pulls the two results towards inverses.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from lymphct.core.errors import InputError
from lymphct.registration.affine import AIR, align_affine
from lymphct.registration.belief import propagate
from lymphct.registration.chunks import UNSEEN
from lymphct.registration.cost import data_cost, grid_shape, mean_distance
from lymphct.registration.deeds_settings import DeedsSettings, Level
from lymphct.registration.descriptor import describe
from lymphct.registration.field import ControlField, lands_on, make_consistent, resample_nodes, warp
from lymphct.registration.room import Room
from lymphct.registration.tree import spanning_tree

__all__ = ["ControlField", "DeedsResult", "deeds"]

LEAST_VOXELS = 16
"""An axis with fewer voxels has no room for the coarsest control grid and its search."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class DeedsResult:
    """What was found between two arrays.

    Attributes:
        forward: u, voxels: warped(x) = moving(A x + u(x)).
        backward: v, voxels: fixed(x + v(x)) shows what the affinely aligned moving array shows at x.
        affine: A, shape (4, 4), voxels; the identity unless asked for.
        distance_before: mean descriptor distance of the two arrays, 0 … 60.
        distance_after: the same with the moving array warped.

    """

    forward: ControlField
    backward: ControlField
    affine: DoubleArray
    distance_before: float
    distance_after: float


def deeds(  # noqa: PLR0913 - two images, settings and four keywords that name their role
    fixed: FloatArray,
    moving: FloatArray,
    settings: DeedsSettings | None = None,
    *,
    affine: bool = False,
    valid: BoolArray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> DeedsResult:
    """Find the displacement that carries the moving array onto the fixed one (Sec. IV-A.2).

    Args:
        fixed: HU; nearly isotropic voxels, since displacements are counted in them.
        moving: HU, on the grid of `fixed`.
        settings: levels and smoothness; the defaults of DEEDS when left out.
        affine: whether to align the arrays as a whole first.
        valid: voxels of `moving` that were really seen; the others are padding. All when left out.
        threads: how many share the work; the result does not depend on it.
        progress: told the stage and the share done in [0, 1].

    Raises:
        InputError: the arrays do not share a shape, have an axis of fewer than 16 voxels, hold a value that
            is not finite, or show nothing (all voxels alike).

    """
    settings = settings or DeedsSettings()
    fixed, moving = _checked(fixed, "fixed"), _checked(moving, "moving")
    _require_one_grid(fixed, moving, valid)
    report = progress or (lambda _stage, _share: None)
    matrix = np.eye(4)
    if affine:
        report("affine", 0.0)
        matrix = align_affine(fixed, moving, settings, threads=threads)
    aligned = warp(moving, None, matrix, outside=AIR, threads=threads) if affine else moving
    valid = np.ones(moving.shape, dtype=np.bool_) if valid is None else np.ascontiguousarray(valid)
    pair = _Pair(fixed, moving, aligned, matrix, valid if settings.field_of_view_rule else None, threads)
    nothing = np.zeros((3, 1, 1, 1), dtype=np.float32)
    forward = backward = ControlField(nothing, settings.grid_spacing[0])
    words = pair.describe(settings.levels[0].descriptor_radius)
    for number, level in enumerate(settings.levels):
        report("deeds", number / len(settings.levels))
        if words.radius != level.descriptor_radius:
            words = pair.describe(level.descriptor_radius)
        forward, backward = _refine(pair, words, (forward, backward), level, settings)
    report("deeds", 1.0)
    before, after = _distances(pair, words, forward)
    return DeedsResult(forward, backward, matrix, before, after)


def _checked(array: FloatArray, name: str) -> FloatArray:
    if array.ndim != 3 or min(array.shape) < LEAST_VOXELS:
        msg = f"the {name} array has {array.shape} voxels; registration needs 3 axes of {LEAST_VOXELS}"
        raise InputError(msg, cure="lower the spacing of the work grid, or leave the registration out")
    image = np.ascontiguousarray(array, dtype=np.float32)
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all():
        msg = f"the {name} array holds values that are not finite"
        raise InputError(msg, cure="replace them by air, -1024 HU")
    if low == high:
        msg = f"all voxels of the {name} array are {low:g}: there is nothing to register"
        raise InputError(msg, cure="check that the image covers the body")
    return image


def _require_one_grid(fixed: FloatArray, moving: FloatArray, valid: BoolArray | None) -> None:
    for name, array in (("moving", moving), ("valid", valid)):
        if array is not None and array.shape != fixed.shape:
            msg = f"the fixed array has {fixed.shape} voxels, the {name} one {array.shape}"
            raise InputError(msg, cure="resample the moving image onto the grid of the fixed one first")


@dataclass(frozen=True, slots=True, eq=False)
class _Words:
    radius: int
    fixed: AnyArray
    aligned: AnyArray


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """What stays the same over the levels.

    `seen` are the voxels of the moving array that count, and None where the field of view is ignored. `room`
    holds the tables of one search after the other.
    """

    fixed: FloatArray
    moving: FloatArray
    aligned: FloatArray
    affine: DoubleArray
    seen: BoolArray | None
    threads: int
    room: Room = field(default_factory=Room)

    @property
    def is_aligned(self) -> bool:
        """Whether no affine map lies between the images."""
        return self.aligned is self.moving

    def describe(self, radius: int) -> _Words:
        fixed = describe(self.fixed, radius, threads=self.threads)
        aligned = describe(self.aligned, radius, threads=self.threads)
        if self.seen is not None:
            seen = self.seen
            if not self.is_aligned:
                seen = lands_on(seen, None, self.affine, threads=self.threads)
            aligned[~seen] |= np.uint64(UNSEEN)
        return _Words(radius, fixed, aligned)

    def describe_warped_moving(self, field: ControlField, words: _Words) -> AnyArray:
        if self.is_aligned and not field.displacement.any():
            return words.aligned
        warped = warp(self.moving, field, self.affine, threads=self.threads)
        described = describe(warped, words.radius, threads=self.threads)
        if self.seen is not None:
            seen = lands_on(self.seen, field, self.affine, threads=self.threads)
            described[~seen] |= np.uint64(UNSEEN)
        return described

    def describe_warped_fixed(self, field: ControlField, words: _Words) -> AnyArray:
        if not field.displacement.any():
            return words.fixed
        warped = warp(self.fixed, field, threads=self.threads)
        described = describe(warped, words.radius, threads=self.threads)
        if self.seen is not None:
            everywhere = np.ones(self.fixed.shape, dtype=np.bool_)
            described[~lands_on(everywhere, field, threads=self.threads)] |= np.uint64(UNSEEN)
        return described

    def match(
        self, target: tuple[FloatArray, AnyArray], other: AnyArray, start: ControlField, level: Level
    ) -> FloatArray:
        """Return the total displacement of one direction, (3, n0, n1, n2), voxels."""
        image, words = target
        skip = self.seen is not None
        cost = data_cost(words, other, level, skip_unseen=skip, threads=self.threads, room=self.room)
        tree = spanning_tree(image, level.spacing)
        return propagate(cost, tree, start.displacement, level, threads=self.threads)


def _refine(
    pair: _Pair,
    words: _Words,
    fields: tuple[ControlField, ControlField],
    level: Level,
    settings: DeedsSettings,
) -> tuple[ControlField, ControlField]:
    """Let one level choose its labels in both directions, then make the directions agree."""
    shape = grid_shape((pair.fixed.shape[0], pair.fixed.shape[1], pair.fixed.shape[2]), level.spacing)
    u, v = (ControlField(resample_nodes(field.displacement, shape), level.spacing) for field in fields)
    # Always the original images are warped: warping a warped one would blur it at every level.
    other = pair.describe_warped_moving(u, words)
    forward = pair.match((pair.fixed, words.fixed), other, u, level)
    other = pair.describe_warped_fixed(v, words)
    backward = pair.match((pair.aligned, words.aligned), other, v, level)
    unit = np.float32(level.spacing)
    a, b = make_consistent(forward / unit, backward / unit, settings.consistency_iterations)
    return ControlField(a * unit, level.spacing), ControlField(b * unit, level.spacing)


def _distances(pair: _Pair, words: _Words, forward: ControlField) -> tuple[float, float]:
    # `mean_distance` does not look at the mark of unseen words.
    before = words.aligned if pair.is_aligned else describe(pair.moving, words.radius, threads=pair.threads)
    warped = warp(pair.moving, forward, pair.affine, threads=pair.threads)
    after = describe(warped, words.radius, threads=pair.threads)
    return mean_distance(words.fixed, before), mean_distance(words.fixed, after)
