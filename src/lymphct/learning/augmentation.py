"""Random changes of a training patch: image, attention and labels move together, intensity changes alone.

A spatial transform is drawn before the patch is cut, so that just the voxels it needs are read and moved.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from lymphct.core.arrays import AnyArray, DoubleArray, FloatArray, Index3, LabelArray
from lymphct.learning.settings import AugmentationSettings, Range


@dataclass(frozen=True, slots=True)
class SpatialTransform:
    """Where a patch takes its voxels from; axes k, j, i.

    Attributes:
        matrix: offset from the centre of the patch → offset in the image, voxels; None = unchanged.
        mirrored: axes to reverse afterwards.

    """

    matrix: DoubleArray | None = None
    mirrored: tuple[bool, bool, bool] = (False, False, False)

    def source_size(self, patch_size: Index3) -> Index3:
        """Return the voxels along k, j, i to cut so that every voxel of the patch has its neighbours."""
        if self.matrix is None:
            return patch_size
        extent = np.abs(self.matrix) @ np.array(patch_size)
        # An even difference keeps both centres on one point; one voxel more per side serves interpolation.
        k, j, i = (
            max(size + 2 * (int(np.ceil((wide - size) / 2)) + 1), 2)
            for size, wide in zip(patch_size, extent, strict=True)
        )
        return k, j, i


def draw_spatial(settings: AugmentationSettings, rng: np.random.Generator) -> SpatialTransform:
    """Draw rotation, scaling and mirroring of one patch."""
    matrix = None
    if rng.random() < settings.rotation_probability:
        angles = np.deg2rad(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees, 3))
        matrix = _rotation(angles)
    if rng.random() < settings.scaling_probability:
        factor = rng.uniform(*settings.scaling)
        matrix = factor * (np.eye(3) if matrix is None else matrix)
    i, j, k = (bool(rng.random() < 0.5) and allowed for allowed in settings.mirror_axes)
    return SpatialTransform(matrix, (k, j, i))


def _rotation(angles: DoubleArray) -> DoubleArray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        first, second = (other for other in range(3) if other != axis)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def move(
    transform: SpatialTransform, patch_size: Index3, smooth: FloatArray, labels: LabelArray
) -> tuple[FloatArray, LabelArray]:
    """Resample what was cut with `source_size` into a patch.

    Args:
        transform: rotation, scaling, mirroring.
        patch_size: voxels along k, j, i.
        smooth: (c, …) intensities and attention, interpolated linearly.
        labels: (…) class numbers, taken from the nearest voxel.

    """
    if transform.matrix is not None:
        # affine_grid speaks of the axes i, j, k and of coordinates from −1 to 1 over each box.
        ratio = np.array(patch_size)[None, :] / np.array(labels.shape)[:, None]
        theta = torch.zeros(1, 3, 4)
        theta[0, :, :3] = torch.from_numpy((transform.matrix * ratio)[::-1, ::-1].copy())
        grid = functional.affine_grid(theta, [1, 1, *patch_size], align_corners=False)
        smooth = _sample(smooth, grid, "bilinear")
        labels = _sample(labels[None].astype(np.float32), grid, "nearest")[0].astype(labels.dtype)
    axes = tuple(axis - 3 for axis, mirrored in enumerate(transform.mirrored) if mirrored)
    return (np.flip(smooth, axes), np.flip(labels, axes)) if axes else (smooth, labels)


def _sample(image: AnyArray, grid: torch.Tensor, mode: str) -> FloatArray:
    moved = functional.grid_sample(
        torch.from_numpy(image)[None], grid, mode=mode, padding_mode="border", align_corners=False
    )
    result: FloatArray = moved[0].numpy()
    return result


def change_intensity(
    image: FloatArray, settings: AugmentationSettings, rng: np.random.Generator
) -> FloatArray:
    """Return the patch (c, k, j, i) with noise, blur, brightness, contrast and gamma, each if drawn."""
    if rng.random() < settings.noise_probability:
        deviation = np.float32(np.sqrt(rng.uniform(*settings.noise_variance)))
        image = image + deviation * rng.standard_normal(image.shape, dtype=np.float32)
    if rng.random() < settings.blur_probability:
        image = np.stack([_blurred(channel, settings, rng) for channel in image])
    if rng.random() < settings.brightness_probability:
        image = image * _factors(image, settings.brightness, rng)
    if rng.random() < settings.contrast_probability:
        low, high = image.min((1, 2, 3), keepdims=True), image.max((1, 2, 3), keepdims=True)
        mean = image.mean((1, 2, 3), keepdims=True)
        stretched = (image - mean) * _factors(image, settings.contrast, rng) + mean
        image = np.clip(stretched, low, high)
    if rng.random() < settings.inverted_gamma_probability:
        image = -_gamma(-image, _factors(image, settings.gamma, rng))
    if rng.random() < settings.gamma_probability:
        image = _gamma(image, _factors(image, settings.gamma, rng))
    return image


def _factors(image: FloatArray, bounds: Range, rng: np.random.Generator) -> FloatArray:
    return rng.uniform(*bounds, size=(len(image), 1, 1, 1)).astype(np.float32)


def _blurred(channel: FloatArray, settings: AugmentationSettings, rng: np.random.Generator) -> FloatArray:
    if rng.random() < 0.5:
        return channel
    blurred: FloatArray = ndimage.gaussian_filter(channel, rng.uniform(*settings.blur_sigma), truncate=3.0)
    return blurred


def _gamma(image: FloatArray, exponent: FloatArray) -> FloatArray:
    axes = (1, 2, 3)
    low = image.min(axes, keepdims=True)
    extent = np.maximum(image.max(axes, keepdims=True) - low, np.float32(1e-7))
    bent = ((image - low) / extent) ** exponent
    deviation = np.maximum(bent.std(axes, keepdims=True), np.float32(1e-7))
    scaled = (bent - bent.mean(axes, keepdims=True)) / deviation
    result: FloatArray = scaled * image.std(axes, keepdims=True) + image.mean(axes, keepdims=True)
    return result
