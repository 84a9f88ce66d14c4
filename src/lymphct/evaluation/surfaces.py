"""Distances between the surfaces of two masks, exact, on boxes, spacing-aware (Sec. IV-C).

Two definitions of a surface are in use, and both are here:

- `voxels`: the voxels of the mask with a face neighbour outside it; each counts once. This is MONAI's
  definition, the default, and what the figures of other papers mostly are.
- `elements`: the surface of marching cubes between each 2×2×2 voxel centres, weighted by its area in mm²
  (DeepMind's surface-distance). Thin and oblique parts weigh by their area, not by their voxel count, and
  percentiles are area-weighted: HD95, NSD and ASD differ in the second digit between the definitions.

What lies outside the image is outside the mask. The direction is always said: ASD runs from the prediction
to the truth, as printed in the paper.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat
from scipy.spatial import KDTree

from lymphct.core.arrays import AnyArray, DoubleArray, Index3, LabelArray, Vector3
from lymphct.core.settings import Settings
from lymphct.evaluation.layout import contiguous, masks_as_labels, require_spacing
from lymphct.evaluation.surface_elements import element_areas
from lymphct.evaluation.surface_kernels import CaseArray, LabelBox, mark_elements, mark_voxels, marked, search

SurfaceDefinition = Literal["voxels", "elements"]

_SEARCH_VOXELS = 2000
_PREDICTION, _TRUTH = 1, 2


class SurfaceSettings(Settings):
    """How surfaces are compared."""

    tolerance: NonNegativeFloat = 2.0
    """Distance up to which surfaces agree, mm, as in NSD@2 mm. Not stated in the paper, which has no NSD."""
    definition: SurfaceDefinition = "voxels"
    """What a surface is. Not stated in the paper; MONAI's boundary voxels, or area-weighted elements."""


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """Distance from every surface element of one mask to the nearest one of the other.

    Empty masks: a mean over no element is NaN, a distance to an empty mask is infinite.

    Attributes:
        prediction_to_truth: mm, shape (elements of the prediction,).
        truth_to_prediction: mm, shape (elements of the truth,).
        prediction_weights: 1 per boundary voxel or mm² per surface element.
        truth_weights: the same for the truth.
        definition: what an element is.

    """

    prediction_to_truth: DoubleArray
    truth_to_prediction: DoubleArray
    prediction_weights: DoubleArray
    truth_weights: DoubleArray
    definition: SurfaceDefinition = "voxels"

    @property
    def asd(self) -> float:
        """Return the mean distance from the prediction to the truth, mm (Tab. III)."""
        return _mean(self.prediction_to_truth, self.prediction_weights)

    @property
    def asd_from_truth(self) -> float:
        """Return the mean distance from the truth to the prediction, mm: large where parts were missed."""
        return _mean(self.truth_to_prediction, self.truth_weights)

    @property
    def assd(self) -> float:
        """Return the mean over the elements of both surfaces, mm; not the mean of the two means."""
        return _mean(*self._pooled())

    @property
    def hd(self) -> float:
        """Return the Hausdorff distance: the largest distance in either direction, mm (Tab. III)."""
        return self.hd_percentile(100.0)

    def hd_percentile(self, percent: float) -> float:
        """Return the larger of both directions' percentiles, mm; 95 gives HD95.

        Voxels: linear interpolation between order statistics. Elements: the first distance at which the
        sorted elements cover that share of the area.
        """
        sides = (
            (self.prediction_to_truth, self.prediction_weights),
            (self.truth_to_prediction, self.truth_weights),
        )
        filled = [(distances, weights) for distances, weights in sides if distances.size]
        if not filled:
            return float("nan")
        if len(filled) == 1:
            return float("inf")
        if self.definition == "voxels":
            return max(float(np.percentile(distances, percent)) for distances, _ in filled)
        return max(_weighted_percentile(distances, weights, percent) for distances, weights in filled)

    def nsd(self, tolerance: float) -> float:
        """Return the normalised surface Dice: the share of both surfaces within `tolerance` mm, 0 to 1."""
        distances, weights = self._pooled()
        return _mean((distances <= tolerance).astype(np.float64), weights)

    def _pooled(self) -> tuple[DoubleArray, DoubleArray]:
        distances = np.concatenate((self.prediction_to_truth, self.truth_to_prediction))
        return (distances, np.concatenate((self.prediction_weights, self.truth_weights)))


def _mean(values: DoubleArray, weights: DoubleArray) -> float:
    return float(np.average(values, weights=weights)) if values.size else float("nan")


def _weighted_percentile(distances: DoubleArray, weights: DoubleArray, percent: float) -> float:
    order = np.argsort(distances, kind="stable")
    covered = np.cumsum(weights[order]) / weights.sum()
    rank = min(int(np.searchsorted(covered, percent / 100.0)), distances.size - 1)
    return float(distances[order[rank]])


def surface_distances(
    prediction: AnyArray, truth: AnyArray, spacing: Vector3, *, definition: SurfaceDefinition = "voxels"
) -> SurfaceDistances:
    """Measure all distances between the surfaces of two masks of one grid; any value but 0 is inside.

    Raises:
        GeometryMismatchError: the shapes differ.
        InputError: the spacing is not positive and finite.

    """
    require_spacing(spacing)
    one, other, spacing = contiguous(*masks_as_labels(prediction, truth), spacing)
    whole = LabelBox(1, (0, 0, 0), (one.shape[0], one.shape[1], one.shape[2]))
    return distances_in_box(one, other, whole, spacing, definition)


def distances_in_box(
    prediction: LabelArray, truth: LabelArray, box: LabelBox, spacing: Vector3, definition: SurfaceDefinition
) -> SurfaceDistances:
    """Measure the distances for one label of two C-contiguous label maps; `box` holds all its voxels."""
    ball = _search_ball(spacing)
    elements = definition == "elements"
    # Elements lie between voxels: one more than voxels along each axis.
    size = (
        stop - start + elements + 2 * margin
        for start, stop, margin in zip(box.start, box.stop, ball.margin, strict=True)
    )
    marks = np.zeros(tuple(size), dtype=np.uint8)
    mark = mark_elements if elements else mark_voxels
    cases = [
        mark(labels, box, ball.margin, marks, bit)
        for labels, bit in ((prediction, _PREDICTION), (truth, _TRUTH))
    ]
    own = [marked(marks.reshape(-1), bit, found.size) for bit, found in enumerate(cases, start=1)]
    areas = element_areas(spacing) if elements else np.ones(256)
    return SurfaceDistances(
        prediction_to_truth=_nearest(marks, own[0], own[1], _TRUTH, spacing),
        truth_to_prediction=_nearest(marks, own[1], own[0], _PREDICTION, spacing),
        prediction_weights=areas[cases[0]],
        truth_weights=areas[cases[1]],
        definition=definition,
    )


class _Ball(NamedTuple):
    """Steps to the voxels around one, nearest first, complete up to the last one's distance."""

    steps: npt.NDArray[np.int64]
    lengths: DoubleArray
    margin: Index3


@lru_cache(maxsize=16)
def _search_ball(spacing: Vector3) -> _Ball:
    radius = (_SEARCH_VOXELS * np.prod(spacing) * 3 / (4 * np.pi)) ** (1 / 3)
    reach = [int(radius // step) for step in spacing]
    grid = np.indices([2 * n + 1 for n in reach]).reshape(3, -1).T - reach
    lengths = np.linalg.norm(grid * spacing, axis=1)
    order = np.argsort(lengths, kind="stable")
    order = order[(lengths[order] <= radius) & (lengths[order] > 0)]
    return _Ball(grid[order], lengths[order], (reach[0], reach[1], reach[2]))


def _nearest(
    marks: CaseArray,
    own: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
    other_bit: int,
    spacing: Vector3,
) -> DoubleArray:
    """Return the distance from each of `own` to the nearest of `others`, exactly.

    Most surfaces nearly agree, so the voxels around each element are tried from near to far first; the few
    elements with none so near ask a k-d tree.
    """
    if not others.size:
        return np.full(own.size, np.inf)
    ball = _search_ball(spacing)
    strides = np.array([marks.shape[1] * marks.shape[2], marks.shape[2], 1])
    distances: DoubleArray = search(marks.reshape(-1), own, other_bit, ball.steps @ strides, ball.lengths)
    far = np.flatnonzero(distances < 0)
    if far.size:
        tree = KDTree(_points(others, marks.shape, spacing), leafsize=32, balanced_tree=False)
        distances[far] = tree.query(_points(own[far], marks.shape, spacing))[0]
    return distances


def _points(places: npt.NDArray[np.int64], shape: tuple[int, ...], spacing: Vector3) -> DoubleArray:
    points: DoubleArray = np.stack(np.unravel_index(places, shape), axis=1) * np.asarray(spacing)
    return points
