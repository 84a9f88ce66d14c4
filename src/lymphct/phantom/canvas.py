"""A patient being painted: HU of both phases, labels and where fat is left."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.core.geometry import Geometry
from lymphct.phantom.shapes import Shape

Box = tuple[slice, slice, slice]


_OTHERS: Final = ((1, 2), (0, 2), (0, 1))
"""The two axes beside each axis."""


class Tissue(NamedTuple):
    """HU of a tissue in both phases."""

    arterial: float
    venous: float


class Fat:
    """Kinds of fat in `Canvas.fat`; 0 is anything else."""

    UNDER_SKIN = 1
    INNER = 2


@dataclass
class Canvas:
    """The one mutable thing of this room; it never leaves `generate_patient`.

    Attributes:
        grid: voxel grid, upright.
        world: positions of the voxels (i, j, k, 3), mm.
        atlas: where they lie in the atlas (i, j, k, 3), mm.
        arterial: HU, float32, still without blur, noise and shift.
        venous: HU, likewise.
        labels: numbers of `Structure`, uint8.
        fat: kinds of `Fat`, uint8.

    """

    grid: Geometry
    world: FloatArray
    atlas: FloatArray
    arterial: FloatArray = field(init=False)
    venous: FloatArray = field(init=False)
    labels: AnyArray = field(init=False)
    fat: AnyArray = field(init=False)

    def __post_init__(self) -> None:
        shape = self.grid.shape
        self.arterial = np.full(shape, -1000.0, dtype=np.float32)
        self.venous = np.full(shape, -1000.0, dtype=np.float32)
        self.labels = np.zeros(shape, dtype=np.uint8)
        self.fat = np.zeros(shape, dtype=np.uint8)
        self._coarse = np.ascontiguousarray(self.atlas[::4, ::4, ::4])

    @property
    def edge(self) -> float:
        """Return over how many mm an edge is spread: one voxel."""
        return float(np.cbrt(self.grid.voxel_volume))

    def box(self, shape: Shape, *, margin: float = 10.0) -> Box | None:
        """Return the voxels that may lie in a shape; None when it is out of view."""
        low, high = shape.bounds()
        near = ((self._coarse > low - margin) & (self._coarse < high + margin)).all(axis=-1)
        if not near.any():
            return None
        parts = []
        for axis in range(3):
            hits = np.flatnonzero(np.logical_or.reduce(near, axis=_OTHERS[axis]))
            start, stop = max(int(hits[0]) * 4 - 4, 0), min(int(hits[-1]) * 4 + 5, self.grid.shape[axis])
            parts.append(slice(start, stop))
        return (parts[0], parts[1], parts[2])

    def cover(self, box: Box, amount: FloatArray, tissue: Tissue) -> None:
        """Blend a tissue over what is there; `amount` 0 to 1 is the share of each voxel it fills."""
        for image, value in ((self.arterial, tissue.arterial), (self.venous, tissue.venous)):
            part = image[box]
            part += amount * (np.float32(value) - part)

    def paint(self, shape: Shape, tissue: Tissue, label: int | None = 0) -> None:
        """Paint a shape with soft edges and give its voxels a label (None keeps the labels)."""
        box = self.box(shape)
        if box is not None:
            self.paint_distance(box, shape.distance(self.atlas[box]), tissue, label)

    def paint_distance(
        self, box: Box, distance: FloatArray, tissue: Tissue, label: int | None = 0, reach: float = 0.0
    ) -> None:
        """Paint where a signed distance is negative; labels reach `reach` mm further out."""
        self.cover(box, self.amount(distance), tissue)
        self.fat[box][distance < reach] = 0
        if label is not None:
            self.labels[box][distance < reach] = label

    def paint_fat(self, box: Box, distance: FloatArray, tissue: Tissue) -> None:
        """Give room back to the fat of the cavity."""
        self.cover(box, self.amount(distance), tissue)
        self.labels[box][distance < 0] = 0
        self.fat[box][distance < 0] = Fat.INNER

    def amount(self, distance: FloatArray) -> FloatArray:
        """Return the share of each voxel inside, from its signed distance, mm."""
        share: FloatArray = np.clip(np.float32(0.5) - distance / np.float32(self.edge), 0.0, 1.0)
        return share
