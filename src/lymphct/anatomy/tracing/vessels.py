"""From a path to an artery: a smooth centre line, its radius, its voxels."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.anatomy.tracing.scene import Scene
from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, FloatArray, IntArray
from lymphct.core.geometry import Geometry

_SMOOTHING: Final = 1.5
"""SD along the path, mm."""
_DISC: Final = 6.0
"""mm around the path that are looked at for its radius."""
_RING: Final = 4.5
"""mm from which on what surrounds the artery is measured."""
_ANGLES: Final = 16
_FINE: Final = 0.5
_THINNEST: Final = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Centreline:
    """Points along an artery, about 1 mm apart.

    Attributes:
        points: (n, 3) LPS+ mm.
        radius: (n,) mm.
        brightness: (n,) 0 to 1.
        hu: (n,) HU of the arterial phase.

    """

    points: DoubleArray
    radius: FloatArray
    brightness: FloatArray
    hu: FloatArray

    @property
    def length(self) -> float:
        """Return the length, mm."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def part(self, first: int, last: int | None = None) -> "Centreline":
        """Return the points from `first` to before `last`."""
        piece = slice(first, last)
        return Centreline(self.points[piece], self.radius[piece], self.brightness[piece], self.hu[piece])


def centreline(path: IntArray, scene: Scene, largest_radius: float) -> Centreline:
    """Smooth a path of voxels (n, 3) and measure the artery along it."""
    points = _even(path.astype(np.float64), 1.0 / scene.step)
    sd = _SMOOTHING
    smooth = ndimage.gaussian_filter1d(points, sd, axis=0, mode="nearest")
    smooth[0], smooth[-1] = points[0], points[-1]
    radius = _radii(smooth, scene, largest_radius)
    return Centreline(
        points=scene.grid.world(smooth),
        radius=radius,
        brightness=_read(scene.brightness, smooth),
        hu=_read(scene.hu, smooth),
    )


def extended(path: IntArray, scene: Scene, by: float) -> IntArray:
    """Return the path led on backwards into the aorta, towards its middle at that level."""
    first = path[0]
    i, j = scene.middle[int(first[2])]
    way = np.array([i - first[0], j - first[1], 0.0])
    length = float(np.linalg.norm(way))
    count = int(min(by / scene.step, length))
    steps = np.arange(count, 0, -1)[:, None] * way / max(length, 1e-9)
    return np.concatenate((np.rint(first + steps).astype(np.int64), path))


def painted(line: Centreline, mouth: DoubleArray, mouth_radius: float, grid: Geometry) -> BoolArray:
    """Return the voxels of a grid whose centres lie in an artery, and those its centre line crosses.

    Args:
        line: its centre line.
        mouth: points (n, 3) of its opening in the aorta, LPS+ mm.
        mouth_radius: mm around each of them that belong to it.
        grid: on which the mask is made.

    """
    mask = np.zeros(grid.shape, dtype=np.bool_)
    spacing = np.asarray(grid.spacing)
    index = _even(grid.index(line.points), 0.5, spacing)
    along = np.linspace(0, 1, len(index))
    radius = np.interp(along, np.linspace(0, 1, len(line.radius)), line.radius)
    centres = np.concatenate((index, grid.index(mouth).reshape(-1, 3)))
    reaches = np.concatenate((radius, np.full(len(mouth), mouth_radius)))
    for place, reach in zip(centres, reaches, strict=True):
        _paint_ball(mask, place, reach, spacing)
    nearest = np.rint(index).astype(int)
    inside = ((nearest >= 0) & (nearest < grid.shape)).all(axis=1)
    mask[tuple(nearest[inside].T)] = True
    return mask


def _paint_ball(mask: BoolArray, place: DoubleArray, reach: float, spacing: DoubleArray) -> None:
    shape = np.asarray(mask.shape)
    low = np.clip(np.ceil(place - reach / spacing), 0, shape).astype(int)
    high = np.clip(np.floor(place + reach / spacing) + 1, low, shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = [(np.arange(a, b) - p) * s for a, b, p, s in zip(low, high, place, spacing, strict=True)]
    i, j, k = np.ix_(*axes)
    mask[box] |= i**2 + j**2 + k**2 <= reach**2


def _even(points: DoubleArray, step: float, spacing: AnyArray | float = 1.0) -> DoubleArray:
    """Return points at even steps along a row of points; `step` in units of `points` × `spacing`."""
    lengths = np.linalg.norm(np.diff(points, axis=0) * spacing, axis=1)
    along = np.concatenate(([0.0], np.cumsum(lengths)))
    count = int(np.ceil(along[-1] / step)) + 1
    where = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(where, along, points[:, axis]) for axis in range(3)], axis=1)


def _read(image: FloatArray, index: DoubleArray) -> FloatArray:
    values: FloatArray = ndimage.map_coordinates(
        image, index.reshape(-1, 3).T, order=1, mode="nearest", output=np.float32
    ).reshape(index.shape[:-1])
    return values


def _radii(points: DoubleArray, scene: Scene, largest: float) -> FloatArray:
    """Return the radius at each point from the light in its cross-section: partial volume counts in part.

    The median over all directions at each distance leaves out vessels beside it and plaque in its wall.
    """
    distances = np.arange(0.0, _DISC + _FINE / 2, _FINE)
    one, other = _across(points)
    angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    spokes = np.cos(angles)[:, None, None] * one + np.sin(angles)[:, None, None] * other
    steps = distances / scene.step
    profile = _read(scene.hu, points + steps[:, None, None, None] * spokes)  # distance, angle, point
    around = profile[distances >= _RING]
    outside = np.percentile(around.reshape(-1, len(points)), 25, axis=0)
    light = (np.median(profile, axis=1) - outside) / np.maximum(scene.blood - outside, 1.0)
    light = np.minimum.accumulate(np.clip(light, 0.0, 1.0), axis=0)
    area = (light * (2 * np.pi * distances)[:, None]).sum(axis=0) * _FINE
    radius = ndimage.median_filter(np.sqrt(area / np.pi), size=min(7, len(points)), mode="nearest")
    clipped: FloatArray = np.clip(radius, _THINNEST, largest).astype(np.float32)
    return clipped


def _across(points: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Return two unit vectors across the path at each point."""
    along = np.gradient(points, axis=0)
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    helper = np.eye(3)[np.abs(along).argmin(axis=1)]
    one = np.cross(along, helper)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    return one, np.cross(along, one)
