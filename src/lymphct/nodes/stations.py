"""A guess of a node's station (Japan Pancreas Society) from the structures around it.

The nearest guiding structure gives the candidates (`core.terms.STATIONS`); which side of it the node lies
on chooses among them. Not from the paper: a reading aid for reports, not an input of any model.
Radiologists name stations by vessels and planes that these rules only approximate.
"""

from collections.abc import Mapping

import numpy as np

from lymphct.core.arrays import DoubleArray, Vector3
from lymphct.core.terms import GUIDING_STRUCTURES, STATIONS, Structure
from lymphct.nodes.proximity import Extent

S = Structure
Extents = Mapping[Structure, Extent]

TRUNK_REACH = 10.0
"""mm to the left of the aorta's axis up to which a node at the celiac trunk is 9, beyond it 11."""
LIGAMENT_REACH = 20.0
"""mm from the hepatic artery within which a node above the pancreatic head is 12."""
PYLORUS_REACH = 8.0
"""mm from the stomach within which a node before the duodenum is 5 or 6."""
PYLORUS_SHARE = 0.2
"""Right-most part of the stomach's width that counts as pylorus."""


def nearest_structure(distances: DoubleArray) -> tuple[Structure, float] | None:
    """Return the guiding structure with the smallest signed distance and that distance; None: all absent."""
    best = int(np.argmin(distances))
    if not distances[best] < np.inf:
        return None
    return GUIDING_STRUCTURES[best], float(distances[best])


def guess_station(center: Vector3, distances: DoubleArray, extents: Extents) -> str:
    """Guess the station of a node at `center` (LPS+ mm); empty when no guiding structure is present.

    `distances` are its signed distances to the ten structures, `extents` say where these lie.
    """
    nearest = nearest_structure(distances)
    if nearest is None:
        return ""
    match nearest[0]:
        case S.PANCREAS:
            station = _around_pancreas(center, distances, extents)
        case S.DUODENUM:
            station = _around_head(center, distances, extents, S.DUODENUM)
        case S.STOMACH:
            station = _around_stomach(center, extents)
        case S.ESOPHAGUS:
            station = _cardia(center, extents[S.ESOPHAGUS])
        case S.CELIAC_TRUNK_AND_SPLENIC_ARTERY:
            station = _around_celiac_trunk(center, extents)
        case structure:
            station = STATIONS[structure][0]
    return station


def _around_pancreas(center: Vector3, distances: DoubleArray, extents: Extents) -> str:
    """Head: as around the duodenum; neck, body and tail: 18."""
    pancreas = extents[S.PANCREAS]
    # The head lies to the right of the superior mesenteric artery; without it, the right third of the gland.
    artery = extents.get(S.SUPERIOR_MESENTERIC_ARTERY)
    border = pancreas.low[0] + (pancreas.high[0] - pancreas.low[0]) / 3
    if artery is not None:
        border = artery.center[0]
    if center[0] < border:
        return _around_head(center, distances, extents, S.PANCREAS)
    return "18"


def _around_head(center: Vector3, distances: DoubleArray, extents: Extents, structure: Structure) -> str:
    """Hepatoduodenal ligament 12, behind the head 13, pylorus 5 and 6, before the head 17."""
    duodenum = extents.get(S.DUODENUM, extents[structure])
    is_above = center[2] > (duodenum.center[2] + duodenum.high[2]) / 2
    if is_above and distances[S.HEPATIC_ARTERY_COMMON_AND_PROPER - 1] < LIGAMENT_REACH:
        return "12"
    is_before = center[1] <= extents[structure].center[1]
    if is_before and structure is S.DUODENUM and distances[S.STOMACH - 1] < PYLORUS_REACH:
        return "5" if is_above else "6"
    # Stations 13 and 17 lie on the head of the pancreas, which ends below the top of the duodenum.
    if S.DUODENUM in extents and center[2] > duodenum.high[2]:
        return "12"
    return "17" if is_before else "13"


def _around_stomach(center: Vector3, extents: Extents) -> str:
    """Cardia 1 and 2, pylorus 5 and 6, lesser curvature 3, greater curvature 4."""
    stomach = extents[S.STOMACH]
    esophagus = extents.get(S.ESOPHAGUS)
    if esophagus is not None and center[2] > esophagus.low[2]:
        return _cardia(center, esophagus)
    width = stomach.high[0] - stomach.low[0]
    if center[0] < stomach.low[0] + PYLORUS_SHARE * width:
        duodenum = extents.get(S.DUODENUM)
        pylorus = stomach.center[2] if duodenum is None else duodenum.high[2]
        return "5" if center[2] > pylorus else "6"
    # The lesser curvature faces right and up, the greater one left and down.
    to_left, to_top = center[0] - stomach.center[0], center[2] - stomach.center[2]
    return "4" if to_left > to_top else "3"


def _cardia(center: Vector3, esophagus: Extent) -> str:
    return "1" if center[0] < esophagus.center[0] else "2"


def _around_celiac_trunk(center: Vector3, extents: Extents) -> str:
    """Around the trunk 9, along the splenic artery 11."""
    aorta = extents.get(S.AORTA)
    vessel = extents[S.CELIAC_TRUNK_AND_SPLENIC_ARTERY]
    # Without the aorta the right end of the vessel stands for the trunk.
    trunk = vessel.low[0] if aorta is None else aorta.center[0]
    return "11" if center[0] > trunk + TRUNK_REACH else "9"
