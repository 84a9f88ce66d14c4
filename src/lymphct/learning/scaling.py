"""Sizes of the paper at another voxel spacing (Sec. IV-A.2)."""

import math
from dataclasses import dataclass

from lymphct.core.arrays import Index3, Vector3
from lymphct.learning.settings import UNetSettings

SMALLEST = 4
"""Voxels an axis keeps at the lowest resolution (nnU-Net's rule)."""


@dataclass(frozen=True, slots=True)
class ScaledNetwork:
    """A patch, voxels along i, j, k, and the U-Net that fits it."""

    patch_size: Index3
    unet: UNetSettings


def scale_size(size: Index3, spacing: Vector3, to_spacing: Vector3, multiple: Index3 = (1, 1, 1)) -> Index3:
    """Return the voxels at `to_spacing` that span `size` voxels at `spacing`, rounded up to `multiple`.

    >>> scale_size((160, 192, 80), (0.68, 0.68, 0.8), (2.0, 2.0, 2.5), (8, 8, 8))
    (56, 72, 32)
    """
    # The small tolerance keeps an unchanged spacing from rounding up by one multiple.
    i, j, k = (
        math.ceil(voxels * old / new / step - 1e-6) * step
        for voxels, old, new, step in zip(size, spacing, to_spacing, multiple, strict=True)
    )
    return i, j, k


def scale_network(
    unet: UNetSettings, patch_size: Index3, spacing: Vector3, to_spacing: Vector3
) -> ScaledNetwork:
    """Carry a patch and its U-Net from `spacing` to `to_spacing`, mm along i, j, k.

    The patch keeps its extent, rounded up to a multiple of the network's total stride; resolutions are
    dropped from the lowest while an axis would have fewer than four voxels there, down to two resolutions.
    """
    for resolutions in range(len(unet.features), 1, -1):
        smaller = UNetSettings.model_validate(
            unet.model_dump()
            | {"features": unet.features[:resolutions], "strides": unet.strides[:resolutions]}
            | ({} if unet.kernel_sizes is None else {"kernel_sizes": unet.kernel_sizes[:resolutions]})
        )
        total = smaller.total_stride
        scaled = scale_size(patch_size, spacing, to_spacing, total)
        if all(voxels // step >= SMALLEST for voxels, step in zip(scaled, total, strict=True)):
            break
    return ScaledNetwork(scaled, smaller)
