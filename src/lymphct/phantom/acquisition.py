"""From painted HU to what a scanner delivers: blur, breathing between the phases, noise."""

from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, FloatArray, Vector3
from lymphct.core.geometry import Geometry

NOISE_LENGTH: Final = 0.9
"""SD of the noise's correlation kernel, mm."""
FWHM_PER_SD: Final = 2.354820045


def blur(image: FloatArray, spacing: Vector3, fwhm: float) -> FloatArray:
    """Blur HU by a Gaussian point spread of a full width at half maximum, mm."""
    if fwhm == 0:
        return image
    blurred: FloatArray = ndimage.gaussian_filter(image, [fwhm / FWHM_PER_SD / s for s in spacing])
    return blurred


def displaced(image: FloatArray, grid: Geometry, push: FloatArray) -> FloatArray:
    """Return image(y + push(y)) on its own upright grid; `push` in mm."""
    index = np.indices(grid.shape, dtype=np.float32)
    for axis, spacing in enumerate(grid.spacing):
        index[axis] += push[..., axis] / np.float32(spacing)
    moved: FloatArray = ndimage.map_coordinates(image, index, order=3, mode="nearest", output=np.float32)
    clipped: FloatArray = np.clip(moved, float(image.min()), float(image.max()))
    return clipped


def add_noise(rng: np.random.Generator, image: FloatArray, spacing: Vector3, sd: float) -> AnyArray:
    """Add correlated noise and round to the whole HU a scanner stores, int16."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, [NOISE_LENGTH / s for s in spacing])
    noise *= np.float32(sd / max(float(noise.std()), 1e-6))
    stored: AnyArray = np.clip(np.rint(image + noise), -1024, 3071).astype(np.int16)
    return stored
