"""What is searched: the box of the upper abdomen on isotropic voxels, and how bright blood is in it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, FloatArray, Index3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample, resample_labels, working_grid

AIR: Final = -1024.0
SOFT_TISSUE: Final = 60.0
"""HU of soft tissue before the contrast agent reaches it."""
SMOOTHING: Final = 0.6
"""SD of the Gaussian against noise, mm: less than the radius of the thinnest artery."""
ERODED: Final = 2.0
"""mm from the wall at which blood of the aorta is measured."""
THIN: Final = 7.0
"""mm across, below which an artery may hold fat in all its voxels; splenic and portal vein are thicker."""
THIN_TRUST: Final = 0.75
"""What such a contrast is worth against that of blood in voxels of its own."""
FAT: Final = -100.0
UNENHANCED_SPREAD: Final = 35.0
"""HU above `SOFT_TISSUE` that walls of gut, adrenals and noise reach; thin things below are no arteries."""
LEAST_CONTRAST: Final = 60.0
"""HU between aorta and pancreas, at least: what is closer cannot be told apart."""

_AROUND: Final = 70.0
"""mm beside and before the aorta that are searched where no organ says how far."""
_BELOW: Final = 40.0
"""mm below the duodenum down to which the SMA is followed."""
_ABOVE: Final = 35.0
"""mm above pancreas and duodenum at which the coeliac trunk can leave."""
_MARGIN: Final = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The searched box; axes i → left, j → posterior, k → cranial.

    Attributes:
        grid: isotropic.
        hu: arterial phase, smoothed, float32.
        labels: numbers of `Structure`.
        blood: median HU of the aorta.
        tissue: HU of soft tissue in this phase.
        brightness: 0 (tissue) to 1 (blood of the aorta, and whatever is brighter, such as plaque).
        middle: (n_k, 2) index i, j of the middle of the aorta at each level.
        half: (n_k,) radius of the aorta, mm.

    """

    grid: Geometry
    hu: FloatArray
    labels: AnyArray
    blood: float
    tissue: float
    brightness: FloatArray
    middle: DoubleArray
    half: DoubleArray

    @property
    def step(self) -> float:
        """Return the spacing, mm."""
        return self.grid.spacing[0]

    def mask(self, structure: Structure) -> BoolArray:
        """Return where a structure is."""
        found: BoolArray = self.labels == structure
        return found

    def holds(self, structure: Structure) -> bool:
        """Tell whether any of a structure lies in the box."""
        return bool(self.mask(structure).any())


def found_scene(arterial: Volume, structures: Volume, settings: TracingSettings) -> Scene:
    """Cut out what is searched and measure blood and tissue in it.

    Raises:
        InputError: no aorta in the map (`E_NO_AORTA`), or no arterial contrast in it (`E_NOT_ARTERIAL`).

    """
    grid = _searched_box(structures, settings.spacing)
    labels = resample_labels(structures, grid).array
    hu = resample(arterial, grid, fill=AIR).array
    sd = SMOOTHING / settings.spacing
    smooth: FloatArray = ndimage.gaussian_filter(hu.astype(np.float32, copy=False), sd, mode="nearest")
    aorta = labels == Structure.AORTA
    blood = _blood(smooth, aorta, settings)
    pancreas = smooth[labels == Structure.PANCREAS]
    tissue = max(SOFT_TISSUE, float(np.median(pancreas))) if pancreas.size else SOFT_TISSUE
    if blood < tissue + LEAST_CONTRAST:
        msg = f"the aorta ({blood:.0f} HU) hardly stands out of the pancreas ({tissue:.0f} HU)"
        raise InputError(msg, code="E_NOT_ARTERIAL", cure="give the arterial phase, or do not trace")
    middle, half = _course(_descending(aorta), settings.spacing)
    brightness = _brightness(smooth, blood, tissue, settings.spacing)
    return Scene(grid, smooth, labels, blood, tissue, brightness, middle, half)


def _brightness(hu: FloatArray, blood: float, tissue: float, step: float) -> FloatArray:
    """Return 0 in tissue to 1 in blood; what is thin counts against what surrounds it, but less.

    An artery as thin as two voxels in fat is no brighter than the pancreas, since its voxels hold fat, too.
    It stands out of an image from which all thin things were taken (a grey opening).
    """
    bright = np.clip((hu - tissue) / (blood - tissue), 0.0, 1.0)
    size = max(round(THIN / step), 3)
    around = np.clip(ndimage.grey_opening(hu, size=(size, size, size)), FAT, tissue)
    thin = THIN_TRUST * np.clip((hu - around) / (blood - around), 0.0, 1.0)
    thin[hu < SOFT_TISSUE + UNENHANCED_SPREAD] = 0.0
    lighter: FloatArray = np.maximum(bright, thin).astype(np.float32)
    return lighter


def _blood(hu: FloatArray, aorta: BoolArray, settings: TracingSettings) -> float:
    core = ndimage.binary_erosion(aorta, iterations=max(round(ERODED / settings.spacing), 1))
    values = hu[core if core.any() else aorta]
    blood = float(np.median(values)) if values.size else AIR
    if blood < settings.least_enhancement:
        msg = (
            f"no arterial enhancement: the aorta has {blood:.0f} HU "
            f"({settings.least_enhancement:g} expected), so that no artery can be traced"
        )
        raise InputError(msg, code="E_NOT_ARTERIAL", cure="give the arterial phase, or do not trace")
    return blood


def _searched_box(structures: Volume, spacing: float) -> Geometry:
    """Return the grid of the box that holds the arteries, as far as the image reaches."""
    boxes = _world_boxes(structures)
    if Structure.AORTA not in boxes:
        msg = "the label map holds no aorta, from which every artery is traced"
        raise InputError(msg, code="E_NO_AORTA", cure="give a label map with the aorta (see --labels)")
    low, high = _wanted(boxes)
    whole = working_grid(structures.geometry, (spacing, spacing, spacing))
    corners = whole.index(np.array([[low[a] if s else high[a] for a, s in enumerate(c)] for c in _CORNERS]))
    first = np.clip(np.floor(corners.min(axis=0)), 0, np.asarray(whole.shape) - 1).astype(int)
    last = np.clip(np.ceil(corners.max(axis=0)), first, np.asarray(whole.shape) - 1).astype(int)
    i, j, k = first.tolist()
    a, b, c = (last - first + 1).tolist()
    return whole.cropped((i, j, k), (a, b, c))


_CORNERS: Final = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]


def _world_boxes(structures: Volume) -> dict[Structure, tuple[DoubleArray, DoubleArray]]:
    """Return the lowest and the highest corner of each structure, LPS+ mm."""
    labels = structures.array
    known = {int(s): s for s in Structure}
    boxes = {}
    for number, box in enumerate(ndimage.find_objects(labels, max_label=max(known)), start=1):
        if box is not None:
            ends: list[Index3] = [
                tuple(b.stop - 1 if end else b.start for b, end in zip(box, corner, strict=True))
                for corner in _CORNERS
            ]
            world = structures.geometry.world(ends)
            boxes[known[number]] = (world.min(axis=0), world.max(axis=0))
    return boxes


def _wanted(boxes: dict[Structure, tuple[DoubleArray, DoubleArray]]) -> tuple[DoubleArray, DoubleArray]:
    """Return lowest and highest corner of what is searched, LPS+ mm."""
    low, high = boxes[Structure.AORTA][0].copy(), boxes[Structure.AORTA][1].copy()
    middle = (low + high) / 2
    low[:2] -= (_AROUND, _AROUND)
    high[:2] += (_AROUND, _MARGIN)
    between = [boxes[s] for s in (Structure.PANCREAS, Structure.DUODENUM) if s in boxes]
    if between:
        low[2] = min(b[0][2] for b in between) - _BELOW
        high[2] = min(high[2], max(b[1][2] for b in between) + _ABOVE)
        low[:2] = np.minimum(low[:2], np.min([b[0][:2] for b in between], axis=0) - _MARGIN)
        high[0] = max(high[0], *(b[1][0] + _MARGIN for b in between))
    if Structure.SPLEEN in boxes:
        first, last = boxes[Structure.SPLEEN]
        high[0] = max(high[0], (first[0] + last[0]) / 2 + _MARGIN)
        high[1] = max(high[1], (first[1] + last[1]) / 2 + _MARGIN)
        high[2] = min(max(high[2], (first[2] + last[2]) / 2 + _MARGIN), boxes[Structure.AORTA][1][2])
    if Structure.LIVER in boxes:
        low[0] = min(low[0], middle[0] - _AROUND)
    return low, high


def _descending(aorta: BoolArray) -> BoolArray:
    """Return the part that is followed from the lowest level upwards: the arch brings a second one."""
    kept = np.zeros_like(aorta)
    below = np.ones(aorta.shape[:2], dtype=np.bool_)
    for level in range(aorta.shape[2]):
        parts, count = ndimage.label(aorta[:, :, level])
        if count:
            shared = np.bincount(parts[below], minlength=count + 1)
            shared[0] = 0
            if shared.any():
                below = parts == int(shared.argmax())
                kept[:, :, level] = below
    return kept


def _course(aorta: BoolArray, spacing: float) -> tuple[DoubleArray, DoubleArray]:
    """Return middle (i, j) and radius of the aorta at each level; beyond its ends those of the ends."""
    levels = np.arange(aorta.shape[2])
    area = aorta.sum(axis=(0, 1)).astype(np.float64)
    there = area > 0
    middle = np.empty((len(levels), 2))
    for axis in (0, 1):
        index = np.arange(aorta.shape[axis], dtype=np.float64)
        moment = np.tensordot(index, aorta.sum(axis=1 - axis), axes=(0, 0))
        middle[:, axis] = np.interp(levels, levels[there], moment[there] / area[there])
    half = np.interp(levels, levels[there], np.sqrt(area[there] / np.pi) * spacing)
    sd = 3.0 / spacing
    return ndimage.gaussian_filter1d(middle, sd, axis=0, mode="nearest"), ndimage.gaussian_filter1d(
        half, sd, mode="nearest"
    )
