"""One attention map in the making: which part of it each structure paints, and how."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.attention.bands import Band, Shapes, Trapezium
from lymphct.attention.kernel import FAR, Box, Brush, Window, paint, split_row
from lymphct.attention.score import attention_score
from lymphct.core.arrays import FloatArray, LabelArray, Vector3
from lymphct.core.terms import Structure
from lymphct.imaging.distance import signed_distance

MEMORY_FOR_STEPS: Final = 24 * 2**20
"""Bytes the kernel may hold beside labels and attention; larger windows are painted in slabs."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Labels, the attention painted so far, and what both share.

    Attributes:
        labels: uint8, C order.
        spacing: mm along the axes of `labels`.
        boxes: box of every label, shape (256, 6).
        attention: float32, shape of `labels`; painted in place.

    """

    labels: LabelArray
    spacing: Vector3
    boxes: LabelArray
    attention: FloatArray

    def is_simple(self, band: Trapezium) -> bool:
        """Tell whether outside there is only the outer ramp, inside only the inner one (as in Tab. II)."""
        reach = max(band.d_max, -band.d_min) + band.ramp
        return band.d_min <= 0.0 < band.d_max and reach / self.spacing[1] < FAR - 1

    def paint_outside(self, bands: Shapes) -> None:
        """Raise the attention around structures; those with equal outer ramps share one distance (Eq. 2).

        Also writes into the structures: `paint_inside` comes after it.
        """
        alike: dict[tuple[float, float], list[Structure]] = {}
        for structure, band in bands.items():
            alike.setdefault((band.d_max, band.ramp), []).append(structure)
        for (d_max, ramp), structures in alike.items():
            for start in range(0, len(structures), 4):
                few = structures[start : start + 4]
                boxes = self.boxes[few]
                source = np.where([True, False] * 3, boxes.min(axis=0), boxes.max(axis=0))
                numbers = [int(structure) for structure in few] + [int(few[0])] * (4 - len(few))
                sought = (numbers[0], numbers[1], numbers[2], numbers[3])
                brush = Brush(sought, inside=False, reach=d_max + ramp, border=ramp)
                target = self._grown(source, [int(brush.reach / step) for step in self.spacing])
                self._paint(brush, Window(_box(source), target))

    def paint_inside(self, bands: Shapes) -> None:
        """Set the attention inside each structure to its own score (Eq. 2)."""
        for structure, band in bands.items():
            number = int(structure)
            sought = (number, number, number, number)
            brush = Brush(sought, inside=True, reach=band.ramp - band.d_min, border=band.ramp)
            box = self._grown(self.boxes[structure], [1, 1, 1])
            self._paint(brush, Window(box, box))

    def paint_in_full(self, bands: Shapes, *, guiding: tuple[Structure, ...]) -> None:
        """Paint structures of any band from the signed distance; `guiding` are all that have a band."""
        for structure, band in bands.items():
            margin = [int(max(band.d_max + band.ramp, 0.0) / step) + 1 for step in self.spacing]
            crop = _slices(self._grown(self.boxes[structure], margin))
            own = self.labels[crop] == structure
            inner = Band(band.d_min, band.d_max)
            score = attention_score(signed_distance(own, self.spacing), inner, border=band.ramp)
            painted = self.attention[crop]
            outside = ~np.isin(self.labels[crop], list(guiding))
            np.maximum(painted, score, out=painted, where=outside)
            np.copyto(painted, score, where=own)

    def clear(self, structures: Iterable[Structure]) -> None:
        """Set the attention inside structures to 0."""
        for structure in structures:
            crop = _slices(_box(self.boxes[structure]))
            self.attention[crop][self.labels[crop] == structure] = 0.0

    def _grown(self, box: LabelArray, margin: list[int]) -> Box:
        low = np.maximum(box[::2] - margin, 0)
        high = np.minimum(box[1::2] + margin, self.labels.shape)
        return _box(np.stack([low, high], axis=1).ravel())

    def _paint(self, brush: Brush, window: Window) -> None:
        for slab in _slabs(window, int(brush.reach / self.spacing[0])):
            paint(self.labels, brush, slab, self.spacing, self.attention)


def _slabs(window: Window, reach_voxels: int) -> Iterator[Window]:
    """Cut the target along i so that the steps of the sources within reach stay within memory."""
    source, target = window
    chunks, width = split_row(source[5] - source[4])
    planes = max(MEMORY_FOR_STEPS // (chunks * width * (target[3] - target[2])), 1)
    thickness = target[1] - target[0]
    if source[1] - source[0] > planes:
        thickness = max(planes - 2 * reach_voxels, reach_voxels, 1)
    for start in range(target[0], target[1], thickness):
        end = min(start + thickness, target[1])
        first = max(source[0], start - reach_voxels)
        last = min(source[1], end + reach_voxels)
        if first < last:
            yield Window((first, last, *source[2:]), (start, end, *target[2:]))


def _box(values: LabelArray) -> Box:
    i0, i1, j0, j1, k0, k1 = values.tolist()
    return (i0, i1, j0, j1, k0, k1)


def _slices(box: Box) -> tuple[slice, slice, slice]:
    i0, i1, j0, j1, k0, k1 = box
    return slice(i0, i1), slice(j0, j1), slice(k0, k1)
