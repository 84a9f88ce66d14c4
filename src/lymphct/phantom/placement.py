"""Finding room: nodes in the fat of their station, look-alikes where no node can be."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import BoolArray, FloatArray, Index3
from lymphct.core.terms import NodeClass
from lymphct.phantom.nodes import LOG_VOLUME, Look, NodePlan, Sculpture, sculpt
from lymphct.phantom.stations import draw_station
from lymphct.phantom.surroundings import Surroundings
from lymphct.phantom.tumor import TumorSite

SHAPES_TRIED: Final = 4
PLACES_TRIED: Final = 30
STATIONS_TRIED: Final = 5
BODIES_TRIED: Final = 60
SHRINK: Final = 0.8
LARGEST_DISTRACTOR: Final = 2500.0

Looks = dict[NodeClass, Look]


@dataclass(frozen=True)
class Placed:
    """A small body with its place: `start` is the voxel where its arrays begin."""

    sculpture: Sculpture
    start: Index3
    node_class: NodeClass
    station: str = ""


class Placer:
    """Puts bodies into the free fat, one after another; each takes its place and a gap of one voxel.

    Args:
        rng: draws shapes and places.
        surroundings: where there is room; what is placed is taken out of it.
        looks: of both classes.
        touching: share of the nodes that touch the one before, where there is room for it.

    """

    def __init__(
        self, rng: np.random.Generator, surroundings: Surroundings, looks: Looks, *, touching: float = 0.0
    ) -> None:
        self._rng = rng
        self._around = surroundings
        self._looks = looks
        self._touching = touching
        self._last: BoolArray | None = None
        self._room = surroundings.free.copy()
        self._clearance: FloatArray = ndimage.distance_transform_edt(
            surroundings.free, sampling=surroundings.spacing
        ).astype(np.float32)

    def nodes(self, plans: list[NodePlan], site: TumorSite) -> list[Placed]:
        """Place nodes by station; without room a node tries other stations, shrinks, at last is left out."""
        placed: list[Placed] = []
        for plan in plans:
            body = None
            if placed and self._touching and self._rng.random() < self._touching:
                body = self._beside(plan, placed[-1].station)
            body = body or self._node(plan, site)
            if body is not None:
                self._around.occupy(body.start, body.sculpture.mask)
                if self._touching:
                    self._remember(body)
                placed.append(body)
        return placed

    def _remember(self, body: Placed) -> None:
        """Keep the voxels of the last node, and take them, without a gap, out of the room of the next."""
        self._last = np.zeros(self._room.shape, dtype=np.bool_)
        voxels = np.argwhere(body.sculpture.mask) + np.asarray(body.start)
        self._last[tuple(voxels.T)] = True
        self._room &= ~self._last

    def _beside(self, plan: NodePlan, station: str) -> Placed | None:
        """Try shapes and places until a node touches the last one; it lies at the same station."""
        look, last = self._looks[plan.node_class], self._last
        if last is None:
            return None
        rim = ndimage.distance_transform_edt(~last, sampling=self._around.spacing)
        radius = float(np.cbrt(3 * plan.volume / (4 * np.pi)))
        allowed = self._room & self._around.inner & (self._around.attention > 0)
        places = np.flatnonzero(allowed & (rim > 0) & (rim <= 1.2 * radius))
        if len(places) == 0:
            return None
        touched = ndimage.binary_dilation(last)
        for _ in range(SHAPES_TRIED):
            body = sculpt(self._rng, plan, look, self._around.spacing)
            for place in self._rng.choice(places, PLACES_TRIED):
                middle = np.unravel_index(int(place), allowed.shape)
                start = tuple(int(m) - n // 2 for m, n in zip(middle, body.mask.shape, strict=True))
                at = (start[0], start[1], start[2])
                if body.mask.any() and fits(body.mask, at, allowed) and not fits(body.mask, at, ~touched):
                    return Placed(body, at, plan.node_class, station)
        return None

    def distractors(self, count: int) -> list[Placed]:
        """Place node-like blobs whose voxels, faintest edge included, all have attention 0."""
        placed = []
        for _ in range(count):
            cold = self._around.free & (self._around.attention == 0)
            node_class = NodeClass.NEGATIVE if self._rng.random() < 0.7 else NodeClass.POSITIVE
            volume = float(np.exp(self._rng.normal(*LOG_VOLUME[node_class])))
            plan = NodePlan(node_class=node_class, volume=min(volume, LARGEST_DISTRACTOR))
            body = None
            while body is None and plan.volume > 0.3 * min(volume, LARGEST_DISTRACTOR):
                body = self._somewhere(plan, cold, cold, whole_edge=True)
                plan = replace(plan, volume=plan.volume * SHRINK)
            if body is not None:
                self._around.occupy(body.start, body.sculpture.share > 0)
                placed.append(body)
        return placed

    def _node(self, plan: NodePlan, site: TumorSite) -> Placed | None:
        smaller = plan
        while smaller.volume > 0.25 * plan.volume:
            for _ in range(STATIONS_TRIED):
                station = draw_station(self._rng, site)
                allowed = self._around.within_band(station)
                body = self._somewhere(smaller, allowed & self._around.belongs_to(station), allowed)
                if body is not None:
                    return replace(body, station=station.number)
            smaller = replace(smaller, volume=smaller.volume * SHRINK)
        return None

    def _somewhere(
        self, plan: NodePlan, centers: BoolArray, allowed: BoolArray, *, whole_edge: bool = False
    ) -> Placed | None:
        """Try shapes and places until all voxels of the body (also its faint edge) are allowed ones."""
        look = self._looks[plan.node_class]
        shortest = np.cbrt(3 * plan.volume / (4 * np.pi)) * np.sqrt(look.roundness[0])
        places = np.flatnonzero(centers & (self._clearance >= 0.8 * shortest))
        if len(places) == 0:
            return None
        for _ in range(SHAPES_TRIED):
            body = sculpt(self._rng, plan, look, self._around.spacing)
            needed = body.share > 0 if whole_edge else body.mask
            for place in self._rng.choice(places, PLACES_TRIED):
                middle = np.unravel_index(int(place), allowed.shape)
                start = tuple(int(m) - n // 2 for m, n in zip(middle, needed.shape, strict=True))
                if needed.any() and fits(needed, (start[0], start[1], start[2]), allowed):
                    return Placed(body, (start[0], start[1], start[2]), plan.node_class)
        return None


def find_room(
    rng: np.random.Generator,
    draw: Callable[[], Sculpture],
    allowed: BoolArray,
    needed: Callable[[Sculpture], BoolArray] = lambda body: body.mask,
) -> Placed | None:
    """Draw body after body, each at another place, until one fits; None where none does.

    Args:
        rng: chooses the places.
        draw: a body.
        allowed: where its voxels may lie.
        needed: those of its voxels that must; by default the half filled ones.

    """
    places = np.flatnonzero(allowed)
    for place in rng.choice(places, BODIES_TRIED) if len(places) else ():
        body = draw()
        mask = needed(body)
        middle = np.unravel_index(int(place), allowed.shape)
        i, j, k = (int(m) - n // 2 for m, n in zip(middle, mask.shape, strict=True))
        if mask.any() and fits(mask, (i, j, k), allowed):
            return Placed(body, (i, j, k), NodeClass.NEGATIVE)
    return None


def fits(mask: BoolArray, start: Index3, allowed: BoolArray) -> bool:
    """Tell whether all voxels of a small mask that begins at voxel `start` are allowed."""
    stop = tuple(s + n for s, n in zip(start, mask.shape, strict=True))
    if min(start) < 0 or any(s > size for s, size in zip(stop, allowed.shape, strict=True)):
        return False
    part = allowed[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    return bool(part[mask].all())
