"""Random changes of tumor patches: both phases and the mask move together, only the CT changes its values."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lymphct.core.arrays import BoolArray, DoubleArray, FloatArray
from lymphct.learning.augmentation import change_intensity
from lymphct.learning.settings import AugmentationSettings


def augment(patches: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Change patches (b, c, h, w), c - 1 CT channels and a 0/1 mask; the result has the same shape.

    The ranges are those of all networks: rotation, scaling and mirroring in the plane of the patch, then
    noise, blur, brightness, contrast and gamma of the CT channels (decision 0005).
    """
    moved = move(patches, settings, rng)
    ct = moved[:, :-1, None].numpy()  # one slice along k
    changed = np.stack([change_intensity(image, settings, rng) for image in ct])
    return torch.cat([torch.from_numpy(changed[:, :, 0].astype(np.float32)), moved[:, -1:]], dim=1)


def move(patches: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Rotate, scale and mirror each patch; its lowest value, the lower clip value, comes in from outside.

    Which body axes lie along a patch depends on its direction: if any axis may be mirrored, both may.
    """
    b = len(patches)
    angles = np.deg2rad(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees, b))
    angles *= rng.random(b) < settings.rotation_probability
    factors = np.where(rng.random(b) < settings.scaling_probability, rng.uniform(*settings.scaling, b), 1.0)
    mirrored = (rng.random((b, 2)) < 0.5) & any(settings.mirror_axes)
    floor = patches.amin(dim=(2, 3), keepdim=True)
    floor[:, -1] = 0.0  # no tumor beyond the patch
    matrices = torch.from_numpy(_sampling_matrices(angles, factors, mirrored))
    grid = functional.affine_grid(matrices, list(patches.shape), align_corners=False)
    moved = functional.grid_sample(patches - floor, grid, align_corners=False) + floor
    moved[:, -1] = (moved[:, -1] >= 0.5).float()
    return moved


def _sampling_matrices(angles: DoubleArray, factors: DoubleArray, mirrored: BoolArray) -> FloatArray:
    """Return (b, 2, 3) maps from output to input positions, both in units of half a patch."""
    rotations = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    signs = np.where(mirrored, -1.0, 1.0)
    matrices = np.zeros((len(angles), 2, 3), dtype=np.float32)
    matrices[:, :, :2] = rotations.transpose(2, 0, 1) * signs[:, None, :] * factors[:, None, None]
    return matrices
