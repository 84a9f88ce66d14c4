"""Where arteries leave the front of the aorta: bright openings in its wall."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.anatomy.tracing.scene import Scene
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, IntArray
from lymphct.core.terms import Structure

BRIGHT: Final = 0.5
"""Brightness from which on a voxel shows blood."""
NEIGHBOURS: Final = np.ones((3, 3, 3), dtype=np.bool_)

_EDGE: Final = 2.0
"""mm by which blood of the aorta still shows outside its mask, all around: the blur of its wall."""
_WALL: Final = 2.5
"""mm outside of that in which an opening is looked for."""
_MASK_ERROR: Final = 8.0
"""mm by which the mask may miss the wall of the aorta."""
_LEAST_OPENING: Final = 8.0
"""mm³ of bright voxels in the wall."""
_LUNG: Final = -700.0
_LUNG_SHARE: Final = 0.15
"""Share of lung around the aorta from which on a level belongs to the chest."""
_LUNG_REACH: Final = 35.0
"""mm around the wall in which lung is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Wall:
    """The aorta as the image shows it, and what is bright in its wall.

    Attributes:
        aorta: the mask, completed by the blood that it misses.
        thick: bright bodies thicker than any artery, the aorta among them.
        openings: numbers from 1 on in the front wall, 0 elsewhere.

    """

    aorta: BoolArray
    thick: BoolArray
    openings: AnyArray


def found_wall(scene: Scene, settings: TracingSettings) -> Wall:
    """Complete the aorta and number the bright spots in the front of its wall."""
    bright = scene.brightness > BRIGHT
    mask = scene.mask(Structure.AORTA)
    thick = _opened(bright | mask, settings.largest_radius + 1.0, scene.step)
    near = _grown(mask, _MASK_ERROR, scene.step)
    aorta = mask | (thick & near)
    aorta |= _grown(aorta, _EDGE, scene.step) & bright
    shell = _grown(aorta, _WALL, scene.step) & ~aorta & bright & _front(scene, settings.ostium_sector)
    shell &= _abdomen(scene)
    numbers, count = ndimage.label(shell, structure=NEIGHBOURS)
    voxels = np.bincount(numbers.ravel(), minlength=count + 1)
    least = _LEAST_OPENING / scene.step**3
    keep = np.cumsum(voxels[1:] >= least) * (voxels[1:] >= least)
    openings = np.concatenate(([0], keep)).astype(np.int16)[numbers]
    return Wall(aorta=aorta, thick=thick, openings=openings)


def radial(scene: Scene) -> DoubleArray:
    """Return the distance of each voxel from the wall of the aorta at its level, mm; negative inside."""
    i, j = np.ogrid[: scene.hu.shape[0], : scene.hu.shape[1]]
    apart: DoubleArray = (
        np.hypot(i[..., None] - scene.middle[:, 0], j[..., None] - scene.middle[:, 1]) * scene.step
        - scene.half
    )
    return apart


def _front(scene: Scene, sector: float) -> BoolArray:
    """Return what lies within so many degrees of the front of the aorta."""
    i, j = np.ogrid[: scene.hu.shape[0], : scene.hu.shape[1]]
    angle = np.arctan2(np.abs(i[..., None] - scene.middle[:, 0]), scene.middle[:, 1] - j[..., None])
    inside: BoolArray = np.rad2deg(angle) <= sector
    return inside


def _abdomen(scene: Scene) -> BoolArray:
    """Return the levels (k,) without lung beside the aorta; all of them where there is no such level."""
    around = radial(scene) < _LUNG_REACH
    share = (around & (scene.hu < _LUNG)).sum(axis=(0, 1)) / around.sum(axis=(0, 1))
    free: BoolArray = share < _LUNG_SHARE
    return free if free.any() else np.ones_like(free)


def levels_of(openings: AnyArray) -> IntArray:
    """Return the mean level k of each opening; index 0 is none."""
    count = int(openings.max())
    mean = np.asarray(ndimage.mean(_levels(openings), openings, np.arange(count + 1)))
    rounded: IntArray = np.rint(mean).astype(np.int64)
    return rounded


def _levels(image: AnyArray) -> AnyArray:
    return np.broadcast_to(np.arange(image.shape[2]), image.shape)


def _opened(mask: BoolArray, radius: float, step: float) -> BoolArray:
    """Keep what a ball of that radius fits into, across gaps as thin as the flap of a dissection.

    Found at half the resolution, for speed.
    """
    padded = np.pad(mask[::2, ::2, ::2], 8, mode="edge")
    padded = ndimage.binary_closing(padded, structure=NEIGHBOURS)
    spacing = 2 * step
    core = ndimage.distance_transform_edt(padded) * spacing > radius
    if not core.any():
        return np.zeros_like(mask)
    kept = ndimage.distance_transform_edt(~core) * spacing <= radius
    kept = kept[8:-8, 8:-8, 8:-8].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    return kept[: mask.shape[0], : mask.shape[1], : mask.shape[2]]


def _grown(mask: BoolArray, by: float, step: float) -> BoolArray:
    """Return what lies within some mm of a mask."""
    reach = int(np.ceil(by / step)) + 1
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    grown = np.zeros_like(mask)
    if boxes:
        box = tuple(slice(max(b.start - reach, 0), b.stop + reach) for b in boxes[0])
        grown[box] = ndimage.distance_transform_edt(~mask[box]) * step <= by
    return grown
