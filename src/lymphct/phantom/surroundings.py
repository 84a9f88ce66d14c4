"""Where nodes may lie: free fat, distance to each guiding structure, attention (Eq. 1, Eq. 2)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray, FloatArray, Vector3
from lymphct.core.terms import GUIDING_STRUCTURES, Structure

BANDS: Final[dict[Structure, tuple[float, float]]] = {
    Structure.SPLEEN: (0.0, 16.0),
    Structure.ESOPHAGUS: (0.0, 25.0),
    Structure.STOMACH: (-2.0, 18.0),
    Structure.AORTA: (0.0, 28.0),
    Structure.PANCREAS: (-5.0, 20.0),
    Structure.DUODENUM: (-5.0, 22.0),
    Structure.SUPERIOR_MESENTERIC_ARTERY: (-1.0, 20.0),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: (-2.0, 18.0),
    Structure.LEFT_GASTRIC_ARTERY: (0.0, 21.0),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: (0.0, 20.0),
}
BORDER: Final = 3.0


@dataclass
class Surroundings:
    """What is around every voxel of the field of view; `free` shrinks as things are placed.

    Attributes:
        free: fat in which something may still be placed.
        inner: fat within the abdominal cavity.
        distances: mm to each guiding structure present; +inf beyond its band and border.
        attention: 0 to 1, exact in fat.
        nearest: number of the structure nearest in terms of distance; 0 where none is near.
        spacing: mm.

    """

    free: BoolArray
    inner: BoolArray
    distances: dict[Structure, FloatArray]
    attention: FloatArray
    nearest: AnyArray
    spacing: Vector3

    def occupy(self, start: tuple[int, int, int], mask: BoolArray) -> None:
        """Take a placed thing and its 26 neighbours out of the free fat."""
        low = [max(s - 1, 0) for s in start]
        high = [min(s + n + 1, size) for s, n, size in zip(start, mask.shape, self.free.shape, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        taken = np.zeros(self.free[box].shape, dtype=bool)
        inner = tuple(slice(s - a, s - a + n) for s, a, n in zip(start, low, mask.shape, strict=True))
        taken[inner] = mask
        self.free[box] &= ~ndimage.binary_dilation(taken, np.ones((3, 3, 3)))


def find_surroundings(labels: AnyArray, tumor: BoolArray, fat: AnyArray, spacing: Vector3) -> Surroundings:
    """Measure the surroundings; the tumor counts as pancreas, as it does for the attention map (METHOD §5)."""
    merged = np.where(tumor & (labels == 0), np.uint8(Structure.PANCREAS), labels)
    distances = {}
    attention = np.zeros(labels.shape, dtype=np.float32)
    closest = np.full(labels.shape, np.inf, dtype=np.float32)
    nearest = np.zeros(labels.shape, dtype=np.uint8)
    boxes = ndimage.find_objects(merged, max_label=max(GUIDING_STRUCTURES))
    for structure in GUIDING_STRUCTURES:
        if boxes[structure - 1] is None:
            continue
        d_max = BANDS[structure][1]
        distance = _outer_distance(merged == structure, boxes[structure - 1], (spacing, d_max + BORDER))
        distances[structure] = distance
        # Outside all structures only the upper ramp of Eq. 1 counts (d_min ≤ 0), and Eq. 2 is the maximum.
        np.maximum(attention, np.clip((d_max + BORDER - distance) / BORDER, 0.0, 1.0), out=attention)
        nearest[distance < closest] = structure
        np.minimum(closest, distance, out=closest)
    free = (fat > 0) & (labels == 0) & ~tumor
    return Surroundings(free, fat == 2, distances, attention, nearest, spacing)


def _outer_distance(
    mask: BoolArray, box: tuple[slice, slice, slice], reach: tuple[Vector3, float]
) -> FloatArray:
    spacing, limit = reach
    around = tuple(
        slice(
            max(part.start - int(np.ceil(limit / s)) - 1, 0), min(part.stop + int(np.ceil(limit / s)) + 1, n)
        )
        for part, s, n in zip(box, spacing, mask.shape, strict=True)
    )
    distance = np.full(mask.shape, np.inf, dtype=np.float32)
    distance[around] = ndimage.distance_transform_edt(~mask[around], sampling=spacing)
    return distance
