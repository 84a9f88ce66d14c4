"""Where nodes may lie: free fat, distance to each guiding structure, attention (Eq. 1, Eq. 2)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import attention_map, guided_by
from lymphct.core.arrays import AnyArray, BoolArray, FloatArray, Index3, Vector3
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.distance import signed_distance
from lymphct.phantom.canvas import Box, Canvas, Fat
from lymphct.phantom.stations import Station

PURE_FAT: Final = -55.0
"""HU below which a voxel is fat without a share of a neighbour."""


@dataclass
class Surroundings:
    """What is around every voxel of the field of view; `free` shrinks as things are placed.

    Attributes:
        free: fat in which something may still be placed.
        inner: fat within the abdominal cavity.
        distances: mm from outside to each guiding structure present; +inf beyond its band.
        attention: 0 to 1.
        nearest: number of the guiding structure nearest to each voxel; 0 beyond all bands.
        atlas: positions in the atlas (i, j, k, 3), mm.
        spacing: mm.

    """

    free: BoolArray
    inner: BoolArray
    distances: dict[Structure, FloatArray]
    attention: FloatArray
    nearest: AnyArray
    atlas: FloatArray
    spacing: Vector3

    def within_band(self, station: Station) -> BoolArray:
        """Tell where free inner fat lies in the band of a station's structure (Tab. II)."""
        distance = self.distances.get(station.structure)
        if distance is None:
            return np.zeros(self.free.shape, dtype=bool)
        within: BoolArray = self.free & self.inner & (distance <= PAPER_BANDS[station.structure].d_max)
        return within

    def belongs_to(self, station: Station) -> BoolArray:
        """Tell where the station's structure is the nearest one, inside the station's region."""
        region: BoolArray = (self.nearest == station.structure) & self.free
        for axis in range(3):
            along = self.atlas[..., axis]
            region &= (along >= station.low[axis]) & (along <= station.high[axis])
        return region

    def occupy(self, start: Index3, mask: BoolArray) -> None:
        """Take a placed thing and its 26 neighbours out of the free fat."""
        parts, shares = [], []
        for s, n, size in zip(start, mask.shape, self.free.shape, strict=True):
            low, high = max(s - 1, 0), min(s + n + 1, size)
            parts.append(slice(low, high))
            shares.append(slice(low - s + 1, high - s + 1))
        grown = ndimage.binary_dilation(np.pad(mask, 1), np.ones((3, 3, 3), dtype=bool))
        self.free[parts[0], parts[1], parts[2]] &= ~grown[shares[0], shares[1], shares[2]]


def find_surroundings(canvas: Canvas, view: Box, structures: Volume, tumor: Volume) -> Surroundings:
    """Measure what is around; the tumor counts as pancreas, as it does for attention."""
    merged = guided_by(structures, tumor)
    spacing = structures.geometry.spacing
    shape = structures.geometry.shape
    distances = {}
    closest = np.full(shape, np.inf, dtype=np.float32)
    nearest = np.zeros(shape, dtype=np.uint8)
    boxes = ndimage.find_objects(merged.array, max_label=max(GUIDING_STRUCTURES))
    for structure in GUIDING_STRUCTURES:
        box = boxes[structure - 1]
        if box is None:
            continue
        around = _grown((box[0], box[1], box[2]), PAPER_BANDS[structure].d_max + 1.0, spacing)
        distance = np.full(shape, np.inf, dtype=np.float32)
        distance[around] = signed_distance(merged.array[around] == structure, spacing)
        nearest[distance < closest] = structure
        np.minimum(closest, distance, out=closest)
        distances[structure] = distance
    pure = (canvas.venous[view] < PURE_FAT) & (canvas.arterial[view] < PURE_FAT)
    fat = canvas.fat[view]
    return Surroundings(
        free=(fat > 0) & pure & (structures.array == 0) & (tumor.array == 0),
        inner=fat == Fat.INNER,
        distances=distances,
        attention=attention_map(merged).array,
        nearest=nearest,
        atlas=canvas.atlas[view],
        spacing=spacing,
    )


def _grown(box: Box, reach: float, spacing: Vector3) -> Box:
    parts = [
        slice(max(part.start - int(np.ceil(reach / s)), 0), part.stop + int(np.ceil(reach / s)))
        for part, s in zip(box, spacing, strict=True)
    ]
    return (parts[0], parts[1], parts[2])
