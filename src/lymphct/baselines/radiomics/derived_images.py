"""The 18 image types of pyradiomics around the tumor, with the values they have in the whole image.

Each filter sees as much of the image as its values in the tumor depend on: computing it on the whole image
gives the same numbers and takes many times as long.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import SimpleITK

from lymphct.baselines.radiomics import library
from lymphct.baselines.radiomics.binary_patterns import MARGIN, binary_patterns
from lymphct.core.arrays import AnyArray, BoolArray, Index3, Vector3

_ELEMENTWISE: Final = ("Square", "SquareRoot", "Logarithm", "Exponential")
"""Scaled by the largest value of the whole image."""
_NEIGHBORS: Final = {"Gradient": (1, 1, 1), "LBP2D": (0, 2, 2)}
"""Voxels around the tumor that these filters read, along k, j and i; LBP2D reads axial slices one by one."""
_WAVELET_REACH: Final = 6
"""Coefficients of `coif1`, the wavelet of pyradiomics."""


@dataclass(frozen=True, slots=True, eq=False)
class TumorImage:
    """One phase and where the tumor lies in it.

    Attributes:
        image: the whole phase, (k, j, i).
        mask: of the tumor in its bounding box.
        start: first voxel of that box.
        spacing: mm along i, j, k.

    """

    image: AnyArray
    mask: BoolArray
    start: Index3
    spacing: Vector3

    def window(self, margin: Sequence[int]) -> tuple[AnyArray, tuple[slice, slice, slice], Index3]:
        """Return the image around the tumor, where its bounding box lies in that, and its first voxel."""
        low = [max(first - m, 0) for first, m in zip(self.start, margin, strict=True)]
        ends = [f + n + m for f, n, m in zip(self.start, self.mask.shape, margin, strict=True)]
        cut = self.image[tuple(slice(a, b) for a, b in zip(low, ends, strict=True))]
        return np.array(cut), self._box(low), (low[0], low[1], low[2])

    def wrapped(self, margin: int) -> tuple[AnyArray, tuple[slice, slice, slice]]:
        """Return the same with an even number of voxels along each axis, repeated beyond the borders.

        pyradiomics makes an axis even by repeating its first voxel; wavelets of a whole image wrap around.
        """
        low = [first - margin for first in self.start]
        places = []
        for first, inner, size in zip(low, self.mask.shape, self.image.shape, strict=True):
            span = inner + 2 * margin
            even = np.arange(first, first + span + span % 2) % (size + size % 2)
            places.append(np.where(even == size, 0, even))
        return self.image[np.ix_(*places)], self._box(low)

    def _box(self, low: Sequence[int]) -> tuple[slice, slice, slice]:
        i, j, k = (
            slice(first - a, first - a + n)
            for first, a, n in zip(self.start, low, self.mask.shape, strict=True)
        )
        return (i, j, k)


def derived_images(tumor: TumorImage) -> Iterator[tuple[str, AnyArray]]:
    """Yield each image type by pyradiomics' name, in the bounding box of the tumor: 18 of them."""
    cut, box, _ = tumor.window((0, 0, 0))
    yield "original", cut
    around, box = tumor.wrapped(_WAVELET_REACH)
    yield from _filtered("Wavelet", around, box, tumor.spacing)
    around, box, _ = tumor.window((1, 1, 1))
    scaled = _with_extreme(around, box, tumor)
    for kind in _ELEMENTWISE:
        yield from _filtered(kind, scaled, box, tumor.spacing)
    for kind, margin in _NEIGHBORS.items():
        around, box, _ = tumor.window(margin)
        yield from _filtered(kind, around, box, tumor.spacing)
    around, box, start = tumor.window((MARGIN, MARGIN, MARGIN))
    mask = np.zeros(around.shape, dtype=np.bool_)
    mask[box] = tumor.mask
    for name, image in binary_patterns(around, mask, start=start):
        yield name, image[box]


def _filtered(
    kind: str, image: AnyArray, box: tuple[slice, slice, slice], spacing: Vector3
) -> Iterator[tuple[str, AnyArray]]:
    make = getattr(library.filters(), f"get{kind}Image")
    for derived, name, _ in make(as_sitk(image, spacing), None):
        yield name, SimpleITK.GetArrayViewFromImage(derived)[box]


def _with_extreme(around: AnyArray, box: tuple[slice, slice, slice], tumor: TumorImage) -> AnyArray:
    """Put the value of largest magnitude of the whole image beside the tumor, where no feature looks."""
    low, high = tumor.image.min(), tumor.image.max()
    extreme = low if abs(float(low)) > abs(float(high)) else high
    is_free = np.ones(around.shape, dtype=np.bool_)
    is_free[box] = ~tumor.mask
    free = np.argwhere(is_free)
    if len(free):  # else the tumor fills the image, and the value is in it
        around[tuple(free[0])] = extreme
    return around


def as_sitk(array: AnyArray, spacing: Vector3) -> Any:  # noqa: ANN401 - SimpleITK has no types
    """Return an array (k, j, i) as an image of SimpleITK; where it lies does not matter."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing)
    return image
