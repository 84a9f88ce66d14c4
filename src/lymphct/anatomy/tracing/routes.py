"""Which way arteries may go through the box, and the cheapest ways from the openings of the aorta."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.anatomy.tracing.ostia import NEIGHBOURS, Wall, radial
from lymphct.anatomy.tracing.scene import Scene
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from lymphct.core.terms import Structure
from lymphct.imaging.paths import PathTree, cheapest_paths

DIM: Final = 0.3
"""Brightness below which a voxel of a path shows no blood of arteries."""
SEEN: Final = 0.4
"""Brightness from which on an artery may end at a voxel."""

_FLOOR: Final = 0.02
_CENTRE: Final = 1.2
"""SD of the Gaussian that makes the middle of a vessel brighter than its edge, mm."""
_VEINS: Final = (Structure.PORTAL_AND_SPLENIC_VEIN, Structure.SUPERIOR_MESENTERIC_VEIN)
_VENOUS: Final = 3.0
"""Factor of the cost inside veins, whose masks are often too wide to be closed."""
_CLOSED: Final = (
    Structure.SPLEEN,
    Structure.ESOPHAGUS,
    Structure.STOMACH,
    Structure.DUODENUM,
    Structure.LIVER,
    Structure.RIGHT_KIDNEY,
    Structure.LEFT_KIDNEY,
    Structure.GALLBLADDER,
    Structure.INFERIOR_VENA_CAVA,
)
"""Organs through which no artery is followed, but for their rim."""
_RIM: Final = 2.0
_TOUCH: Final = 4.0
"""mm from an organ within which a path has reached it."""
_SPINE: Final = (20.0, 0.8)
"""Half the width of the spine, mm, and the slope of what lies beside it: no path leads behind the aorta."""


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """Every cheapest way from the openings.

    Attributes:
        tree: ways and costs.
        visible: where an artery can be seen and reached without a long gap.
        apart: distance from the wall of the aorta at that level, mm.

    """

    tree: PathTree
    visible: BoolArray
    apart: AnyArray


def found_routes(scene: Scene, wall: Wall, settings: TracingSettings) -> Routes:
    """Find the cheapest way from the openings to everywhere."""
    step = scene.step
    cost = _cost(scene, wall)
    dim = scene.brightness < DIM
    tree = cheapest_paths(cost, wall.openings, (step, step, step), dim, settings.largest_gap)
    visible = (tree.start > 0) & (scene.brightness > SEEN)
    return Routes(tree=tree, visible=visible, apart=radial(scene))


def touching(scene: Scene, structure: Structure) -> BoolArray:
    """Return the rim around an organ in which a path has reached it."""
    organ = scene.mask(structure)
    reach = max(round(_TOUCH / scene.step), 1)
    near = ndimage.binary_dilation(organ, structure=NEIGHBOURS, iterations=reach)
    rim: BoolArray = near & ~ndimage.binary_erosion(organ, iterations=max(round(_RIM / scene.step), 1))
    return rim


def cheapest_of(routes: Routes, where: BoolArray) -> int | None:
    """Return the flat index of the voxel that is reached most cheaply; None if none is reached."""
    flat = np.flatnonzero(where)
    if not flat.size:
        return None
    return int(flat[int(routes.tree.total.reshape(-1)[flat].argmin())])


def opening_of(routes: Routes, target: int | None) -> int:
    """Return the number of the opening from which a voxel is reached; 0 for none."""
    return 0 if target is None else int(routes.tree.start.reshape(-1)[target])


def reach_of(routes: Routes, count: int) -> FloatArray:
    """Return how far from the wall visible blood is reached from each opening, mm; index 0 is none."""
    near = routes.visible & (routes.tree.total <= _NEARBY)
    reach = ndimage.maximum(np.where(near, routes.apart, 0.0), routes.tree.start, np.arange(count + 1))
    return np.asarray(reach, dtype=np.float32)


_NEARBY: Final = 60.0


def volumes_of(routes: Routes, count: int) -> IntArray:
    """Return how many visible voxels are reached from each opening; index 0 is none."""
    near = routes.visible & (routes.tree.total <= _NEARBY)
    return np.bincount(routes.tree.start[near], minlength=count + 1)[: count + 1]


def _cost(scene: Scene, wall: Wall) -> FloatArray:
    """Return the cost per mm: 1 in bright blood, 50 in tissue, inf where no artery leads."""
    sd = _CENTRE / scene.step
    middle = ndimage.gaussian_filter(scene.brightness, sd, mode="nearest")
    mouths = middle[wall.openings > 0]
    most = max(float(mouths.mean()), 0.3) if mouths.size else 1.0
    light = 0.5 * (scene.brightness + middle / most)
    cost: FloatArray = (1.0 / (_FLOOR + np.clip(light, 0.0, 1.2) ** 3)).astype(np.float32)
    cost[np.isin(scene.labels, _VEINS)] *= _VENOUS
    cost[_closed(scene, wall)] = np.inf
    return cost


def _closed(scene: Scene, wall: Wall) -> BoolArray:
    rim = max(round(_RIM / scene.step), 1)
    closed = np.zeros(scene.labels.shape, dtype=np.bool_)
    boxes = ndimage.find_objects(scene.labels, max_label=max(Structure))
    for structure in _CLOSED:
        box = boxes[structure - 1]
        if box is not None:
            organ = scene.labels[box] == structure
            closed[box] |= ndimage.binary_erosion(organ, iterations=rim, border_value=1)
    i, j = np.ogrid[: scene.hu.shape[0], : scene.hu.shape[1]]
    beside = np.abs(i[..., None] - scene.middle[:, 0]) * scene.step - _SPINE[0]
    behind = (j[..., None] - scene.middle[:, 1]) * scene.step
    closed |= behind > np.maximum(beside, 0.0) * _SPINE[1]
    closed |= wall.thick
    closed |= wall.aorta
    return closed
