"""Two label maps of one grid, in the one memory layout the compiled kernels know."""

import numpy as np

from lymphct.core.arrays import AnyArray, LabelArray, Vector3
from lymphct.core.errors import GeometryMismatchError, InputError


def require_same_shape(prediction: AnyArray, truth: AnyArray) -> None:
    """Raise unless both arrays are three-dimensional and of one shape.

    Raises:
        GeometryMismatchError: they are not.

    """
    if prediction.shape != truth.shape or prediction.ndim != 3:
        msg = (
            f"prediction ({_size(prediction)} voxels) and truth ({_size(truth)} voxels) "
            f"are not two images of one three-dimensional grid"
        )
        raise GeometryMismatchError(msg, cure="bring the prediction onto the grid of the truth first")


def require_spacing(spacing: Vector3) -> None:
    """Raise unless `spacing` is three positive, finite lengths.

    Raises:
        InputError: it is not.

    """
    if len(spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing):
        msg = f"voxel spacing {spacing} mm is not three positive, finite lengths"
        raise InputError(msg, code="E_SPACING")


def masks_as_labels(prediction: AnyArray, truth: AnyArray) -> tuple[LabelArray, LabelArray]:
    """Return two masks as uint8 maps of 0 and 1; any value but 0 is inside."""
    require_same_shape(prediction, truth)
    return (_as_bool(prediction).view(np.uint8), _as_bool(truth).view(np.uint8))


def paired_labels(prediction: AnyArray, truth: AnyArray) -> tuple[LabelArray, LabelArray]:
    """Return both label maps with one integer type (uint8, uint16, int32 or int64), copied only where needed.

    Raises:
        GeometryMismatchError: the shapes differ.
        InputError: labels are not whole numbers; negative ones are refused here or, where nothing was
            copied, by the compiled pass that meets them.

    """
    require_same_shape(prediction, truth)
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.dtype.kind not in "bui":
            msg = f"labels of the {name} are of type {labels.dtype}, not whole numbers"
            raise InputError(msg, code="E_LABELS", cure="round them or give the label map, not a probability")
    if prediction.dtype == truth.dtype and prediction.dtype in (np.uint8, np.uint16, np.int32):
        return (prediction, truth)
    require_not_negative(min(int(np.min(labels, initial=0)) for labels in (prediction, truth)))
    largest = max(int(np.max(labels, initial=0)) for labels in (prediction, truth))
    if largest > np.iinfo(np.int64).max:
        msg = f"label {largest} is beyond the range of 64-bit integers"
        raise InputError(msg, code="E_LABELS")
    kind = next(k for k in (np.uint8, np.uint16, np.int32, np.int64) if largest <= np.iinfo(k).max)
    return (prediction.astype(kind, copy=False), truth.astype(kind, copy=False))


def require_not_negative(lowest: int) -> None:
    """Raise when the lowest label of a pair of maps is negative.

    Raises:
        InputError: it is.

    """
    if lowest < 0:
        msg = f"a label map holds the negative label {lowest}"
        raise InputError(msg, code="E_LABELS", cure="0 is the background, labels begin at 1")


def is_column_major(prediction: AnyArray, truth: AnyArray) -> bool:
    """Tell whether both arrays lie in memory with i fastest, as NIfTI files do.

    Every metric here is blind to the order of the axes, so such a pair is scored with i, j, k reversed
    (and the spacing with it) instead of being copied.
    """
    return bool(prediction.flags.f_contiguous and truth.flags.f_contiguous)


def contiguous(
    prediction: LabelArray, truth: LabelArray, spacing: Vector3
) -> tuple[LabelArray, LabelArray, Vector3]:
    """Return both maps C-contiguous, aligned, and their spacing; axes are reversed if that saves a copy."""
    if is_column_major(prediction, truth):
        prediction, truth, spacing = (prediction.T, truth.T, (spacing[2], spacing[1], spacing[0]))
    return (np.require(prediction, None, ["C", "A"]), np.require(truth, None, ["C", "A"]), spacing)


def _as_bool(mask: AnyArray) -> AnyArray:
    return mask if mask.dtype == np.bool_ else np.asarray(mask != 0)


def _size(array: AnyArray) -> str:
    return "×".join(str(n) for n in array.shape) or "0"
