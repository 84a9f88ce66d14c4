"""The box around the tumor that a 3-D network sees (Sec. IV-E)."""

from collections.abc import Sequence

import numpy as np

from lymphct.baselines.settings import TumorBoxSettings
from lymphct.core.arrays import AnyArray, FloatArray
from lymphct.core.errors import InputError
from lymphct.core.volume import Volume
from lymphct.learning.tensors import reversed_axes, to_network
from lymphct.metastasis.slices import pixel_weights


def tumor_box(
    channels: Sequence[Volume], tumor: Volume, settings: TumorBoxSettings, *, fill: Sequence[float]
) -> FloatArray:
    """Resample both phases and the mask to a cube around the centroid of the tumor.

    As in the 2-D patches a voxel is an average where it is larger than those of the image, and where the box
    reaches beyond the image lies a constant.

    Args:
        channels: normalised arterial and venous phase on the working grid.
        tumor: mask on the same grid, above 0 inside.
        settings: size and extent of the cube.
        fill: value of each channel outside the image.

    Returns:
        Shape (channels + 1, size, size, size), axes k, j, i; the last channel is the mask, 0 or 1.

    Raises:
        InputError: the tumor mask is empty (`E_NO_TUMOR`).
        GeometryMismatchError: the images lie on different grids.

    """
    for channel in channels:
        channel.require_same_grid(tumor, name="CT", reference="tumor mask")
    mask = to_network(tumor.array > 0)
    if not mask.any():
        msg = "the tumor mask is empty: there is nothing to cut a box around"
        raise InputError(msg, code="E_NO_TUMOR", cure="leave the patient out of this method")
    weights = []
    for axis, spacing in enumerate(reversed_axes(tumor.geometry.spacing)):
        step = settings.extent / settings.size / spacing
        profile = np.count_nonzero(mask, axis=tuple(other for other in range(3) if other != axis))
        center = float(np.average(np.arange(len(profile)), weights=profile))
        positions = center + step * (np.arange(settings.size, dtype=np.float64) - (settings.size - 1) / 2)
        weights.append(pixel_weights(positions, len(profile), step))
    cut = [
        _read(to_network(channel.array), weights, outside)
        for channel, outside in zip(channels, fill, strict=True)
    ]
    cut.append((_read(mask, weights, 0.0) >= 0.5).astype(np.float32))
    return np.stack(cut)


def _read(image: AnyArray, weights: Sequence[FloatArray], outside: float) -> FloatArray:
    box = image.astype(np.float32) - np.float32(outside)
    for (
        along
    ) in weights:  # k, j, i in turn: the axis that is read goes last, and all have been last in the end
        box = np.tensordot(box, along, axes=(0, 1))
    return np.ascontiguousarray(box + np.float32(outside))
