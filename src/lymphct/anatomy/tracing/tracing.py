"""From an arterial phase and six organ masks to the arteries between them, or the reason why not."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from lymphct.anatomy.tracing.anchors import (
    Openings,
    end_of_hepatic,
    end_of_mesenteric,
    end_of_trunk,
    found_openings,
    seen_at_stomach,
)
from lymphct.anatomy.tracing.ostia import Wall, found_wall, levels_of
from lymphct.anatomy.tracing.outcome import TRACEABLE, Artery, Traced
from lymphct.anatomy.tracing.plausibility import judged
from lymphct.anatomy.tracing.routes import Routes, found_routes
from lymphct.anatomy.tracing.scene import Scene, found_scene
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.anatomy.tracing.vessels import Centreline, centreline, extended, painted
from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume

logger = logging.getLogger(__name__)

SMA: Final = Structure.SUPERIOR_MESENTERIC_ARTERY
TRUNK: Final = Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY
HEPATIC: Final = Structure.HEPATIC_ARTERY_COMMON_AND_PROPER
LGA: Final = Structure.LEFT_GASTRIC_ARTERY

DEFAULT_SETTINGS: Final = TracingSettings()

_INTO_AORTA: Final = 3.0
"""mm that an artery is led back into the aorta, whose own mask wins."""
_BESIDE: Final = 8.0
"""mm from the other arteries beyond which blood at the stomach is that of the LGA."""
_SHARED: Final = 3.0
"""mm from the splenic artery within which the hepatic one still runs in the coeliac trunk."""


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What all arteries of a patient are looked for in."""

    scene: Scene
    wall: Wall
    routes: Routes
    openings: Openings
    settings: TracingSettings

    def line(self, target: int) -> Centreline:
        path = extended(self.routes.tree.path(target), self.scene, _INTO_AORTA)
        return centreline(path, self.scene, self.settings.largest_radius)

    def mouth(self, opening: int) -> DoubleArray:
        """Return the points of an opening, LPS+ mm."""
        return self.scene.grid.world(np.argwhere(self.wall.openings == opening))


def trace_arteries(
    arterial: Volume, structures: Volume, settings: TracingSettings = DEFAULT_SETTINGS
) -> Traced:
    """Trace coeliac trunk and splenic artery, SMA, common and proper hepatic artery, and the LGA if asked to.

    Of the organs the aorta is needed; spleen and liver say where arteries lead, and where one is missing its
    artery is traced in part or withheld. Arteries that the map holds already are left alone.

    Args:
        arterial: HU, in the patient's coordinates of the structures, on any grid.
        structures: label map, numbers of `Structure`.
        settings: limits.

    Raises:
        InputError: no aorta in the map (`E_NO_AORTA`), or no arterial contrast in it (`E_NOT_ARTERIAL`).

    """
    scene = found_scene(arterial, structures, settings)
    wall = found_wall(scene, settings)
    routes = found_routes(scene, wall, settings)
    openings = found_openings(scene, wall, routes, settings)
    search = _Search(scene, wall, routes, openings, settings)
    trunk = _trunk(search)
    found: dict[Structure, Artery] = {
        SMA: _mesenteric(search),
        TRUNK: trunk,
        HEPATIC: _hepatic(search, trunk.line),
    }
    if settings.left_gastric_artery:
        lines = [a.line for a in (trunk, found[HEPATIC]) if a.line is not None]
        found[LGA] = _left_gastric(search, lines)
    arteries: dict[Structure, Artery] = {
        s: found[s] for s in TRACEABLE if s in found and not np.any(structures.array == s)
    }
    for structure, artery in arteries.items():
        said = f"confidence {artery.confidence:g}" if artery.is_traced else f"withheld: {artery.note}"
        logger.debug("traced %s: %s", structure.label, said)
    return Traced(structures=_painted(arteries, structures, search), arteries=arteries, blood=scene.blood)


def _mesenteric(search: _Search) -> Artery:
    opening = search.openings.mesenteric
    if not opening:
        return Artery(note="no opening of the SMA was found in the front of the aorta")
    end = end_of_mesenteric(search.scene, search.wall, search.routes, opening)
    if end is None:
        return Artery(note="its opening leads nowhere before the aorta")
    line = search.line(end)
    is_cut = int(np.unravel_index(end, search.scene.hu.shape)[2]) == 0
    return judged(line, SMA, search.settings, is_whole=not is_cut or line.length > 60)


def _trunk(search: _Search) -> Artery:
    opening = search.openings.celiac
    if not opening:
        return Artery(note="no opening of the coeliac trunk was found in the front of the aorta")
    if search.openings.spleen is not None:
        whole = judged(search.line(search.openings.spleen), TRUNK, search.settings)
        if whole.is_traced:
            return whole
    end = end_of_trunk(search.routes, opening)
    if end is None:
        return Artery(note="its opening leads nowhere")
    part = judged(search.line(end), TRUNK, search.settings, is_whole=False)
    return replace(part, note=part.note or "the trunk alone: no way to the spleen was found")


def _hepatic(search: _Search, trunk: Centreline | None) -> Artery:
    opening = search.openings.celiac
    if not opening or trunk is None:
        return Artery(note="no coeliac trunk from which it could leave")
    if not search.scene.holds(Structure.LIVER):
        return Artery(note="no liver to which it could lead")
    level = int(levels_of(search.wall.openings)[opening])
    end = end_of_hepatic(search.scene, search.routes, opening, level)
    if end is None:
        return Artery(note="no way through blood leads from the coeliac trunk to the liver")
    line = search.line(end)
    own = _branch(line, cKDTree(trunk.points))
    return judged(own, HEPATIC, search.settings)


def _left_gastric(search: _Search, others: list[Centreline]) -> Artery:
    """Follow what leaves the coeliac trunk upwards and runs along the stomach; experimental."""
    opening = search.openings.celiac
    if not opening or not others or not search.scene.holds(Structure.STOMACH):
        return Artery(note="no coeliac trunk or no stomach between which it could run")
    tree = cKDTree(np.concatenate([line.points for line in others]))
    level = int(levels_of(search.wall.openings)[opening])
    places = seen_at_stomach(search.scene, search.routes, opening, level)
    free = (
        places[np.asarray(tree.query(search.scene.grid.world(places))[0]) > _BESIDE]
        if len(places)
        else places
    )
    if not len(free):
        return Artery(note="no way through blood leads from the coeliac trunk to the stomach")
    flat = np.ravel_multi_index(tuple(free.T), search.scene.hu.shape)
    line = search.line(int(flat[int(search.routes.tree.total.reshape(-1)[flat].argmax())]))
    return judged(_branch(line, tree), LGA, search.settings)


def _branch(line: Centreline, others: cKDTree) -> Centreline:
    """Return the part of a line from where it leaves the others for the last time."""
    shared = np.flatnonzero(np.asarray(others.query(line.points)[0]) <= _SHARED)
    return line.part(int(shared[-1]) if shared.size else 0)


def _painted(arteries: Mapping[Structure, Artery], structures: Volume, search: _Search) -> Volume:
    """Draw what was traced; of two arteries that touch, the one that branches off gives way."""
    labels: AnyArray = np.zeros(structures.geometry.shape, dtype=np.uint8)
    mouths = {SMA: search.openings.mesenteric, TRUNK: search.openings.celiac}
    for structure in reversed(TRACEABLE):
        artery = arteries.get(structure)
        if artery is not None and artery.line is not None:
            mouth = search.mouth(mouths[structure]) if structure in mouths else np.empty((0, 3))
            mask = painted(artery.line, mouth, search.scene.step, structures.geometry)
            labels[mask] = structure
    labels[structures.array == Structure.AORTA] = 0
    return structures.with_array(labels)


def with_traced(structures: Volume, traced: Volume) -> Volume:
    """Return the label map with traced arteries where it is empty or holds pancreas, in which they run."""
    free = (structures.array == 0) | (structures.array == Structure.PANCREAS)
    labels: AnyArray = np.where(free & (traced.array > 0), traced.array, structures.array)
    return structures.with_array(labels.astype(structures.array.dtype))
