"""How well masks agree: overlap and surface distances, per label from one pass (Tab. III, Tab. V).

Empty masks, everywhere the same: a ratio with nothing below the line is NaN (Dice of two empty masks, recall
without truth, precision without prediction), a mean over no surface is NaN, a distance to an empty mask is
infinite. Averages leave NaN out, keep infinities, and say how many of each there were.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from lymphct.core.arrays import AnyArray, LabelArray, Vector3
from lymphct.core.errors import InputError
from lymphct.evaluation.label_kernels import joint_runs, scan
from lymphct.evaluation.layout import (
    contiguous,
    masks_as_labels,
    paired_labels,
    require_not_negative,
    require_spacing,
)
from lymphct.evaluation.surface_kernels import LabelBox
from lymphct.evaluation.surfaces import SurfaceDefinition, SurfaceSettings, distances_in_box


@dataclass(frozen=True, slots=True)
class VoxelCounts:
    """Voxels of a predicted and a true mask; add counts of several patients to pool them.

    Attributes:
        prediction: voxels of the prediction.
        truth: voxels of the truth.
        both: voxels of both.

    """

    prediction: int
    truth: int
    both: int

    def __add__(self, other: "VoxelCounts") -> "VoxelCounts":
        return VoxelCounts(
            self.prediction + other.prediction, self.truth + other.truth, self.both + other.both
        )

    @property
    def dice(self) -> float:
        """Return 2·|both| / (|prediction| + |truth|); NaN when both masks are empty."""
        return _ratio(2 * self.both, self.prediction + self.truth)

    @property
    def recall(self) -> float:
        """Return the share of the truth that was found; NaN without truth."""
        return _ratio(self.both, self.truth)

    @property
    def precision(self) -> float:
        """Return the share of the prediction that is true; NaN without prediction."""
        return _ratio(self.both, self.prediction)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationScores:
    """Agreement of one predicted with one true mask; the module says what empty masks give.

    Attributes:
        dice: 0 to 1.
        recall: share of the true voxels found, 0 to 1.
        precision: share of the predicted voxels that are true, 0 to 1.
        volume_truth_mm3: mm³.
        volume_prediction_mm3: mm³.
        asd: mean surface distance from the prediction to the truth, mm (as printed in Tab. III).
        asd_from_truth: the other direction, mm.
        assd: mean over the elements of both surfaces, mm.
        hd: Hausdorff distance, mm (Tab. III).
        hd95: the larger of both directions' 95th percentiles, mm.
        nsd: share of both surfaces within the tolerance, 0 to 1.

    """

    dice: float
    recall: float
    precision: float
    volume_truth_mm3: float
    volume_prediction_mm3: float
    asd: float
    asd_from_truth: float
    assd: float
    hd: float
    hd95: float
    nsd: float

    def record(self) -> dict[str, float | None]:
        """Return the scores for JSON, which knows neither NaN nor infinity: both become None."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """One score over several patients.

    Attributes:
        mean: over the defined values; NaN when there are none, infinite when one is.
        sd: standard deviation (n - 1); NaN below two finite values or beside an infinite one.
        median: of the defined values.
        n: defined values.
        undefined: patients whose value is NaN, left out.
        infinite: infinite values among the n: one mask was empty, the other not.

    """

    mean: float
    sd: float
    median: float
    n: int
    undefined: int
    infinite: int


def segmentation_scores(
    prediction: AnyArray,
    truth: AnyArray,
    spacing: Vector3,
    *,
    tolerance: float = 2.0,
    definition: SurfaceDefinition = "voxels",
) -> SegmentationScores:
    """Score one mask against another; any value but 0 is inside.

    Args:
        prediction: mask, [i, j, k].
        truth: mask of the same shape.
        spacing: mm along i, j, k.
        tolerance: of the NSD, mm.
        definition: what a surface is, see `evaluation.surfaces`.

    Raises:
        GeometryMismatchError: the shapes differ.
        InputError: the spacing is not positive and finite.

    >>> truth = np.zeros((8, 8, 8), dtype=bool)
    >>> truth[2:6, 2:6, 2:6] = True
    >>> scores = segmentation_scores(np.roll(truth, 1, axis=2), truth, (0.68, 0.68, 0.8))
    >>> scores.dice, scores.hd
    (0.75, 0.8)
    """
    surface = SurfaceSettings(tolerance=tolerance, definition=definition)
    return label_scores(*masks_as_labels(prediction, truth), [1], spacing, surface=surface)[1]


def label_scores(
    prediction: LabelArray,
    truth: LabelArray,
    labels: Iterable[int],
    spacing: Vector3,
    *,
    surface: SurfaceSettings | None = None,
) -> dict[int, SegmentationScores]:
    """Score each of `labels` of two label maps: one pass finds all counts and boxes.

    Raises:
        GeometryMismatchError: the shapes differ.
        InputError: labels are not whole numbers from 1, or the spacing is not positive and finite.

    """
    require_spacing(spacing)
    wanted = _wanted(labels)
    surface = surface or SurfaceSettings()
    voxel_volume = float(np.prod(spacing))
    prediction, truth, spacing = contiguous(*paired_labels(prediction, truth), spacing)
    counts, boxes = _counts_and_boxes(prediction, truth, wanted)
    scores = {}
    for label, count, box in zip(wanted, counts, boxes, strict=True):
        distances = distances_in_box(prediction, truth, box, spacing, surface.definition)
        scores[label] = SegmentationScores(
            dice=count.dice,
            recall=count.recall,
            precision=count.precision,
            volume_truth_mm3=count.truth * voxel_volume,
            volume_prediction_mm3=count.prediction * voxel_volume,
            asd=distances.asd,
            asd_from_truth=distances.asd_from_truth,
            assd=distances.assd,
            hd=distances.hd,
            hd95=distances.hd_percentile(95.0),
            nsd=distances.nsd(surface.tolerance),
        )
    return scores


def label_counts(prediction: LabelArray, truth: LabelArray, labels: Iterable[int]) -> dict[int, VoxelCounts]:
    """Count the voxels of each label of two label maps, in one pass.

    Raises:
        GeometryMismatchError: the shapes differ.
        InputError: labels are not whole numbers from 1.

    """
    wanted = _wanted(labels)
    maps = contiguous(*paired_labels(prediction, truth), (1.0, 1.0, 1.0))
    counts, _ = _counts_and_boxes(maps[0], maps[1], wanted)
    return dict(zip(wanted, counts, strict=True))


def labels_present(prediction: LabelArray, truth: LabelArray, *, most: int = 256) -> list[int]:
    """List the labels that occur in either of two label maps, ascending, without the background.

    Raises:
        GeometryMismatchError: the shapes differ.
        InputError: labels are not whole numbers or negative, or there are more than `most` of them.

    """
    prediction, truth, _ = contiguous(*paired_labels(prediction, truth), (1.0, 1.0, 1.0))
    found: set[int] = set()
    for pair in zip(prediction, truth, strict=True):  # slab by slab: an image has as many runs as voxels
        found.update(np.unique(joint_runs(*pair)[:2]).tolist())
        if len(found) > most:
            msg = f"more than {most} different numbers: an image instead of a label map?"
            raise InputError(msg, code="E_LABELS", cure="give label maps, or name the labels: --label N")
    require_not_negative(min(found, default=0))
    return sorted(found - {0})


def voxel_counts(prediction: AnyArray, truth: AnyArray) -> VoxelCounts:
    """Count the voxels of two masks; any value but 0 is inside."""
    return label_counts(*masks_as_labels(prediction, truth), [1])[1]


def dice(prediction: AnyArray, truth: AnyArray) -> float:
    """Return the Dice coefficient of two masks, 0 to 1; NaN when both are empty."""
    return voxel_counts(prediction, truth).dice


def summarize(scores: Sequence[SegmentationScores]) -> dict[str, ScoreSummary]:
    """Average each score over patients (per-patient means, as the paper's tables are).

    Raises:
        InputError: no patient.

    """
    if not scores:
        msg = "no patients to average over"
        raise InputError(msg)
    names = [field.name for field in fields(SegmentationScores)]
    return {name: _summary([getattr(score, name) for score in scores]) for name in names}


def _summary(values: Sequence[float]) -> ScoreSummary:
    # Sorted, the median is the middle (interpolating between two infinities would give NaN).
    defined = np.sort([value for value in values if not np.isnan(value)])
    if not defined.size:
        return ScoreSummary(float("nan"), float("nan"), float("nan"), 0, len(values), 0)
    finite = bool(np.isfinite(defined).all())
    return ScoreSummary(
        mean=float(defined.mean()),
        sd=float(defined.std(ddof=1)) if finite and defined.size > 1 else float("nan"),
        median=float(defined[[(defined.size - 1) // 2, defined.size // 2]].mean()),
        n=defined.size,
        undefined=len(values) - defined.size,
        infinite=int(np.isinf(defined).sum()),
    )


def _wanted(labels: Iterable[int]) -> list[int]:
    wanted = sorted({int(label) for label in labels})
    if wanted and wanted[0] < 1:
        msg = f"label {wanted[0]} cannot be scored: 0 is the background, labels begin at 1"
        raise InputError(msg, code="E_LABELS")
    return wanted


def _counts_and_boxes(
    prediction: LabelArray, truth: LabelArray, wanted: Sequence[int]
) -> tuple[list[VoxelCounts], list[LabelBox]]:
    numbers, starts, stops, lowest = scan(prediction, truth, np.array(wanted, dtype=np.int64))
    require_not_negative(lowest)
    counts = [VoxelCounts(*row) for row in numbers.tolist()]
    boxes = [
        LabelBox(label, tuple(start), tuple(stop)) if any(row) else LabelBox(label, (0, 0, 0), (0, 0, 0))
        for label, row, start, stop in zip(
            wanted, numbers.tolist(), starts.tolist(), stops.tolist(), strict=True
        )
    ]
    return (counts, boxes)
