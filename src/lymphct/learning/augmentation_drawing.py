"""What is drawn for one patch: plain numbers, in nnU-Net's order, before any voxel is touched.

The parts and their distributions are those of nnU-Net's list (decision 0031). A patch is mirrored where it is
cut, not at the end as there: the same distribution of patches.
"""

from dataclasses import dataclass, field

import numpy as np

from lymphct.core.arrays import DoubleArray, Index3
from lymphct.learning.settings import AugmentationSettings, Range

PerAxis = tuple[float, float, float]


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


@dataclass(frozen=True, slots=True)
class Noise:
    """Normal numbers to add.

    Attributes:
        seed: 64 bits from which, with the place of a voxel in (c, k, j, i), its number follows.
        deviation: of the numbers, on normalised intensities.

    """

    seed: int
    deviation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensityChanges:
    """Changes of the intensities in the order they are made, one entry per channel; None = not drawn.

    Attributes:
        noise: added to all channels.
        blur: deviation of a Gaussian along k, j, i, voxels.
        brightness: factor.
        contrast: factor about the mean; the range stays.
        low_resolution: share of the voxels along each axis that are kept, the others interpolated.
        inverted_gamma: exponent for the negative image; mean and deviation stay.
        gamma: exponent; mean and deviation stay.

    """

    noise: Noise | None = None
    blur: tuple[PerAxis | None, ...] | None = None
    brightness: tuple[float, ...] | None = None
    contrast: tuple[float, ...] | None = None
    low_resolution: tuple[float | None, ...] | None = None
    inverted_gamma: tuple[float, ...] | None = None
    gamma: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes of one patch."""

    spatial: SpatialTransform = field(default_factory=SpatialTransform)
    intensities: IntensityChanges = field(default_factory=IntensityChanges)


def draw_changes(settings: AugmentationSettings, rng: np.random.Generator, channels: int) -> Changes:
    """Draw where a patch of `channels` channels is cut, then how its intensities change."""
    spatial = draw_spatial(settings, rng)
    return Changes(spatial, draw_intensities(settings, rng, channels))


def draw_spatial(settings: AugmentationSettings, rng: np.random.Generator) -> SpatialTransform:
    """Draw rotation, scaling and mirroring of one patch."""
    matrix = None
    if rng.random() < settings.rotation_probability:
        angles = np.deg2rad(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees, 3))
        matrix = rotation(angles)
    if rng.random() < settings.scaling_probability:
        factor = rng.uniform(*settings.scaling)
        matrix = factor * (np.eye(3) if matrix is None else matrix)
    i, j, k = (bool(rng.random() < 0.5) and allowed for allowed in settings.mirror_axes)
    return SpatialTransform(matrix, (k, j, i))


def rotation(angles: DoubleArray) -> DoubleArray:
    """Return the rotation about axis k, then j, then i by angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def draw_intensities(
    settings: AugmentationSettings, rng: np.random.Generator, channels: int
) -> IntensityChanges:
    """Draw the changes of the intensities of one patch."""
    noise = blur = brightness = contrast = low = inverted = gamma = None
    if rng.random() < settings.noise_probability:
        noise = Noise(
            int(rng.integers(2**64, dtype=np.uint64)), float(rng.uniform(*settings.noise_deviation))
        )
    if rng.random() < settings.blur_probability:
        blur = tuple(_sigmas(settings, rng) if rng.random() < 0.5 else None for _ in range(channels))
    if rng.random() < settings.brightness_probability:
        brightness = _factors(settings.brightness, rng, channels)
    if rng.random() < settings.contrast_probability:
        contrast = _factors(settings.contrast, rng, channels)
    # Trainings from before there was this change drew no number for it.
    if settings.low_resolution_probability and rng.random() < settings.low_resolution_probability:
        low = tuple(
            float(rng.uniform(*settings.low_resolution)) if rng.random() < 0.5 else None
            for _ in range(channels)
        )
    if rng.random() < settings.inverted_gamma_probability:
        inverted = _factors(settings.gamma, rng, channels)
    if rng.random() < settings.gamma_probability:
        gamma = _factors(settings.gamma, rng, channels)
    return IntensityChanges(
        noise=noise,
        blur=blur,
        brightness=brightness,
        contrast=contrast,
        low_resolution=low,
        inverted_gamma=inverted,
        gamma=gamma,
    )


def _sigmas(settings: AugmentationSettings, rng: np.random.Generator) -> PerAxis:
    k, j, i = (float(sigma) for sigma in rng.uniform(*settings.blur_sigma, 3))
    return k, j, i


def _factors(bounds: Range, rng: np.random.Generator, channels: int) -> tuple[float, ...]:
    """Draw factors: as often below 1 as above where the bounds allow both, uniformly on either side."""
    low, high = bounds
    if not low < 1 < high:
        return tuple(float(factor) for factor in rng.uniform(low, high, channels))
    halves = 2 * rng.random(channels)
    return tuple(
        float(low + half * (1 - low) if half < 1 else 1 + (half - 1) * (high - 1)) for half in halves
    )
