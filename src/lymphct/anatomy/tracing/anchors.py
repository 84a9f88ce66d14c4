"""Where the paths lead: which opening is the coeliac trunk, which the SMA, and the ends of each artery."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from lymphct.anatomy.tracing.ostia import Wall, levels_of
from lymphct.anatomy.tracing.routes import Routes, cheapest_of, opening_of, reach_of, touching, volumes_of
from lymphct.anatomy.tracing.scene import Scene
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.core.arrays import BoolArray, IntArray
from lymphct.core.terms import Structure

LARGEST_DISTANCE: Final = 40.0
"""mm between the openings of coeliac trunk and SMA, at most; 5 to 25 are usual."""
TRUNK_REACH: Final = 50.0
"""mm of a trunk that are followed where no organ says where it leads."""

_ALONG_HILUM: Final = 25.0
"""Cost, in mm of bright artery, for which the splenic artery is followed once it has reached the spleen."""
_BORDER: Final = 4.0
"""mm from the border of the image at which an opening counts as cut."""
_MESENTERY: Final = (30.0, 70.0)
"""mm beside and before the aorta within which the SMA stays."""
_DEARNESS: Final = (5.0, 30.0)
"""Cost per mm of depth, and once, up to which a voxel may belong to the SMA: it is thick and bright."""
_SKIPPED: Final = 12.0
"""mm along which the SMA may go unseen between two levels."""
_RIGHT: Final = 10.0
"""mm to the right of the aorta from which on the hepatic artery can reach the liver."""
_HILUM: Final = 50.0
"""mm above the coeliac trunk up to which the hilum of the liver is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Openings:
    """Which opening is which; 0 where it was not found.

    Attributes:
        celiac: number of the opening of the coeliac trunk.
        mesenteric: that of the SMA.
        spleen: flat index of the voxel at which the spleen is reached from the coeliac trunk; None if not.

    """

    celiac: int = 0
    mesenteric: int = 0
    spleen: int | None = None


def found_openings(scene: Scene, wall: Wall, routes: Routes, settings: TracingSettings) -> Openings:
    """Tell the openings apart: from the coeliac trunk leads the way to the spleen, below lies the SMA."""
    count = int(wall.openings.max())
    usable = _usable(scene, wall, routes, settings)
    levels = levels_of(wall.openings)
    spleen = None
    if scene.holds(Structure.SPLEEN):
        spleen = _end_at_spleen(scene, routes)
    celiac = opening_of(routes, spleen)
    if celiac not in usable:
        celiac, spleen = 0, None
    volume = volumes_of(routes, count)
    if not celiac:
        return _pair(usable, levels, volume, scene.step)
    below = [n for n in usable if 0 < (levels[celiac] - levels[n]) * scene.step <= LARGEST_DISTANCE]
    mesenteric = max(below, key=lambda n: int(volume[n]), default=0)
    return Openings(celiac=celiac, mesenteric=mesenteric, spleen=spleen)


def _end_at_spleen(scene: Scene, routes: Routes) -> int | None:
    """Return where the way that reaches the spleen first ends, a little on along its hilum."""
    where = routes.visible & touching(scene, Structure.SPLEEN)
    first = cheapest_of(routes, where)
    if first is None:
        return None
    total, start = routes.tree.total, routes.tree.start
    where &= start == opening_of(routes, first)
    where &= total <= float(total.reshape(-1)[first]) + _ALONG_HILUM
    flat = np.flatnonzero(where)
    return int(flat[int(total.reshape(-1)[flat].argmax())])


def _usable(scene: Scene, wall: Wall, routes: Routes, settings: TracingSettings) -> list[int]:
    """Return the openings that lead away from the aorta; those cut by the border half as far."""
    count = int(wall.openings.max())
    reach = reach_of(routes, count)
    usable = []
    for number in range(1, count + 1):
        own = np.flatnonzero((wall.openings == number).any(axis=(0, 1)))
        edge = min(int(own[0]), wall.openings.shape[2] - 1 - int(own[-1])) * scene.step
        wanted = settings.ostium_reach * (0.5 if edge <= _BORDER else 1.0)
        if reach[number] >= wanted:
            usable.append(number)
    return usable


def _pair(usable: list[int], levels: IntArray, volume: IntArray, step: float) -> Openings:
    """Take the two neighbours with the most blood behind them: coeliac trunk above, SMA below."""
    ordered = sorted(usable, key=lambda n: -int(levels[n]))
    pairs = [
        (upper, lower)
        for upper, lower in pairwise(ordered)
        if (levels[upper] - levels[lower]) * step <= LARGEST_DISTANCE
    ]
    if not pairs:
        return Openings()
    upper, lower = max(pairs, key=lambda pair: int(volume[pair[0]] + volume[pair[1]]))
    return Openings(celiac=upper, mesenteric=lower)


def end_of_mesenteric(scene: Scene, wall: Wall, routes: Routes, opening: int) -> int | None:
    """Return the deepest voxel down to which the SMA is seen before the aorta (flat index)."""
    own = routes.visible & (routes.tree.start == opening) & _before_aorta(scene)
    top = int(levels_of(wall.openings)[opening])
    depth = np.maximum(top - np.arange(own.shape[2]), 0) * scene.step
    own &= routes.tree.total <= _DEARNESS[0] * depth + _DEARNESS[1]
    levels = np.flatnonzero(own[:, :, : top + 1].any(axis=(0, 1)))[::-1]
    if not levels.size:
        return None
    skipped = np.flatnonzero(-np.diff(levels) * scene.step > _SKIPPED)
    lowest = int(levels[int(skipped[0])] if skipped.size else levels[-1])
    slab = np.zeros_like(own)
    slab[:, :, lowest] = own[:, :, lowest]
    if (wall.openings[:, :, lowest] == opening).any():  # the border of the image cuts it off at once
        flat = np.flatnonzero(own)
        return int(flat[int(routes.apart.reshape(-1)[flat].argmax())])
    return cheapest_of(routes, slab)


def _before_aorta(scene: Scene) -> BoolArray:
    i, j = np.ogrid[: scene.hu.shape[0], : scene.hu.shape[1]]
    beside = np.abs(i[..., None] - scene.middle[:, 0]) * scene.step
    before = (scene.middle[:, 1] - j[..., None]) * scene.step
    inside: BoolArray = (beside <= _MESENTERY[0]) & (before > 0) & (before <= _MESENTERY[1])
    return inside


def end_of_hepatic(scene: Scene, routes: Routes, opening: int, level: int) -> int | None:
    """Return the voxel farthest to the right at which the liver is reached before the aorta (flat index)."""
    i, j, k = np.ogrid[: scene.hu.shape[0], : scene.hu.shape[1], : scene.hu.shape[2]]
    right = (scene.middle[:, 0] - i) * scene.step
    where = routes.visible & (routes.tree.start == opening) & touching(scene, Structure.LIVER)
    where &= (right >= _RIGHT) & (j < scene.middle[:, 1])
    where &= (k - level) * scene.step <= _HILUM
    flat = np.flatnonzero(where)
    if not flat.size:
        return None
    places = np.unravel_index(flat, where.shape)
    progress = places[2] / 2 - places[0]
    return int(flat[int(progress.argmax())])


def end_of_trunk(routes: Routes, opening: int) -> int | None:
    """Return the voxel to the far left that is seen within a few centimetres of an opening (flat index)."""
    own = routes.visible & (routes.tree.start == opening) & (routes.tree.gap == 0)
    own &= routes.tree.total <= TRUNK_REACH
    far = own & (routes.tree.total >= 0.8 * float(routes.tree.total[own].max(initial=0.0)))
    flat = np.flatnonzero(far)
    if not flat.size:
        return None
    return int(flat[int(np.unravel_index(flat, own.shape)[0].argmax())])


def seen_at_stomach(scene: Scene, routes: Routes, opening: int, level: int) -> IntArray:
    """Return the voxels (n, 3) in which blood is seen at the stomach, above and before an opening."""
    where = routes.visible & (routes.tree.start == opening) & touching(scene, Structure.STOMACH)
    where &= _before_aorta(scene)
    where[:, :, : level + 1] = False
    return np.argwhere(where).astype(np.int64)
