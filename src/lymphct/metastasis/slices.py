"""The nine tumor patches: the largest tumor slices seen from three directions (Sec. III-B)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, FloatArray, Vector3
from lymphct.core.errors import InputError
from lymphct.core.volume import Volume
from lymphct.learning.tensors import to_network
from lymphct.metastasis.settings import PatchSettings

STRETCH = 0.80 / 0.68
"""Length of a voxel along k over one in the axial plane, at the spacing of Sec. IV-A.2."""


def tumor_patches(
    channels: Sequence[Volume],
    tumor: Volume,
    settings: PatchSettings,
    *,
    fill: Sequence[float] | None = None,
) -> FloatArray:
    """Cut the patches the status network sees (Sec. III-B).

    The order is axial, sagittal, coronal, in each the largest slice first. Rows and columns of a patch are
    (j, i), (k, j) and (k, i). A direction with fewer tumor slices than asked for repeats them from the
    largest on.

    Args:
        channels: normalised arterial and venous phase on the working grid (a constant image stands for a
            phase that was not acquired).
        tumor: mask on the same grid, above 0 inside.
        settings: size and choice of the patches.
        fill: value of each channel outside the image; by default the smallest value of the channel, which in
            a clipped CT is the lower clip value.

    Returns:
        Shape (3 × slices per axis, channels + 1, crop size, crop size); the last channel is the mask, 0 or 1.

    Raises:
        InputError: the tumor mask is empty (`E_NO_TUMOR`).
        GeometryMismatchError: the images lie on different grids.

    """
    for channel in channels:
        channel.require_same_grid(tumor, name="CT", reference="tumor mask")
    mask: BoolArray = tumor.array > 0
    if not mask.any():
        msg = "the tumor mask is empty: there is nothing to read the metastasis status from"
        raise InputError(msg, code="E_NO_TUMOR", cure="give a mask with --tumor, or withhold the score")
    outside = [float(channel.array.min()) for channel in channels] if fill is None else list(fill)
    spacing = tumor.geometry.spacing

    patches = []
    for axis in (2, 0, 1):  # axial, sagittal, coronal
        for index in largest_slices(mask, axis, spacing[axis], settings):
            tumor_slice = _slice(mask, axis, index)
            window = _window(tumor_slice, axis, spacing, settings)
            cut = [
                window.read(_slice(channel.array, axis, index), value)
                for channel, value in zip(channels, outside, strict=True)
            ]
            cut.append((window.read(tumor_slice, 0.0) >= 0.5).astype(np.float32))
            patches.append(np.stack(cut))
    return np.stack(patches)


def largest_slices(mask: BoolArray, axis: int, thickness: float, settings: PatchSettings) -> list[int]:
    """Return the indices along `axis` with the largest mask area, largest first; ties go to the lower index.

    `thickness` is the spacing along the axis, mm.
    """
    others = tuple(other for other in range(mask.ndim) if other != axis)
    areas = np.count_nonzero(mask, axis=others)
    chosen: list[int] = []
    for index in np.argsort(-areas, kind="stable").tolist():
        far_enough = all(abs(index - other) * thickness >= settings.minimum_gap for other in chosen)
        if areas[index] > 0 and far_enough:
            chosen.append(index)
        if len(chosen) == settings.slices_per_axis:
            break
    return [chosen[n % len(chosen)] for n in range(settings.slices_per_axis)]


def _slice(array: AnyArray, axis: int, index: int) -> AnyArray:
    """Return slice `index` across axis i, j or k with rows and columns as networks see them."""
    network_axis = 2 - axis
    return to_network(array.take([index], axis)).squeeze(network_axis)


class _Window(NamedTuple):
    """Weights that turn a slice (rows, columns) into a patch: `rows @ slice @ columns.T`."""

    rows: FloatArray
    columns: FloatArray

    def read(self, image: AnyArray, outside: float) -> FloatArray:
        """Resample one slice; `outside` lies beyond its edges."""
        patch: FloatArray = self.rows @ (image.astype(np.float32) - np.float32(outside)) @ self.columns.T
        return patch + np.float32(outside)


def _window(mask: AnyArray, axis: int, spacing: Vector3, settings: PatchSettings) -> _Window:
    """Place the window of a slice across `axis` around the centroid of the mask in it."""
    weights = []
    in_plane = [other for other in (2, 1, 0) if other != axis]  # rows, columns
    for dimension, other in enumerate(in_plane):
        stretch = STRETCH if other == 2 and not settings.isotropic else 1.0
        step = settings.crop_extent * stretch / settings.crop_size / spacing[other]
        profile = np.count_nonzero(mask, axis=1 - dimension)
        center = float(np.average(np.arange(len(profile)), weights=profile))
        # The first pixel lies on a voxel centre: at the spacing of the paper a patch is a copy, not a blur.
        first = np.floor(center - (settings.crop_size - 1) / 2 * step + 0.5)
        positions = first + step * np.arange(settings.crop_size)
        weights.append(pixel_weights(positions, len(profile), step))
    return _Window(*weights)


def pixel_weights(positions: DoubleArray, size: int, step: float) -> FloatArray:
    """Weigh `size` voxels for each pixel: linear interpolation, averaged where pixels are wider than voxels.

    Beyond the image a pixel keeps the share of its weights that lies inside; the fill value gets the rest.
    """
    width = max(step - 1.0, 1e-6)  # of the average, voxels; next to nothing at a step of 1, a copy
    edges = positions[:, None] - np.arange(size) + np.array([-0.5, 0.5])[:, None, None] * width
    u = np.clip(edges, -1.0, 1.0)
    below, above = u - u * np.abs(u) / 2  # integral of the tent of linear interpolation
    weights: FloatArray = ((above - below) / width).astype(np.float32)
    return weights
