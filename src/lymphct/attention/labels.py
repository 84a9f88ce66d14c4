"""A label map as loops over it want it: bytes in the order in which they lie, and the box of each label."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from lymphct.attention.kernel import find_boxes
from lymphct.core.arrays import AnyArray, LabelArray, Vector3
from lymphct.core.errors import InputError
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume


@dataclass(frozen=True, slots=True)
class StoredLabels:
    """Labels of structures as they lie in memory.

    Attributes:
        labels: uint8, C order.
        axes: which axis of the volume each of its axes is.
        boxes: box of every label, shape (256, 6), see `find_boxes`.
        spacing: mm along its axes.

    """

    labels: LabelArray
    axes: tuple[int, ...]
    boxes: LabelArray
    spacing: Vector3

    @classmethod
    def of(cls, structures: Volume) -> Self:
        """Return the labels of a map; copies only if it must.

        Raises:
            InputError: it is no label map.

        """
        labels = structures.array
        if labels.dtype != np.uint8:
            if labels.size and not (labels.min() >= 0 and labels.max() <= 255 and labels.dtype.kind in "iub"):
                msg = "a label map holds whole numbers from 0 to 19"
                raise InputError(msg, code="E_LABELS", cure="give a label map, not an image or a probability")
            labels = labels.astype(np.uint8)
        axes = tuple(int(axis) for axis in np.argsort([-stride for stride in labels.strides], kind="stable"))
        stored = np.ascontiguousarray(labels.transpose(axes))
        stored.flags.writeable = False  # one type for the compiler, whoever owns the array
        spacing = structures.geometry.spacing
        along = (spacing[axes[0]], spacing[axes[1]], spacing[axes[2]])
        return cls(stored, axes, find_boxes(stored), along)

    def require_known(self) -> None:
        """Refuse numbers that name no structure.

        Raises:
            InputError: there are some.

        """
        unknown = [number for number in range(len(Structure) + 1, 256) if self.has(number)]
        if unknown:
            msg = f"the label map holds numbers that name no structure: {unknown}"
            cure = "say how it is numbered, e.g. --labels totalsegmentator"
            raise InputError(msg, code="E_LABELS", cure=cure)

    def has(self, number: int) -> bool:
        """Tell whether a label is there."""
        return bool(self.boxes[number, 1])

    def back(self, values: AnyArray) -> AnyArray:
        """Return an array in the order of its axes as one in the order of the volume's."""
        return values.transpose(np.argsort(self.axes))
