"""Random changes of a training patch: image, attention and labels move together, intensity changes alone.

What is drawn is plain numbers; making the changes is another step, on the processor or where the network is:

    rng = np.random.default_rng((seed, iteration, slot))
    spatial = draw_spatial(settings, rng)                      # first and alone: SpatialTransform
    place = PatchPlace(start, patch_size, spatial)             # k, j, i; start: where the box begins that
    place.source_size                                          #   holds all voxels the patch needs
    attention = cut_attention(attention, place)                # uint8 or float32 -> float32; does it count?
    labels = cut_labels(labels, place)                         # nearest, dtype kept
    intensities = draw_intensities(settings, rng, channels)    # after the patch was accepted
    image = cut_image(image, place, statistics)                # (c, k, j, i) int16 HU -> float32, normalised
    change_intensities(image, intensities)                     # in place

`image`, `labels`, `attention` are whole arrays, or boxes read from one; `start` counts in the array that is
given and may lie outside, so nothing is padded beforehand: `start` minus the first voxel read, when a box was
read. `out=` writes into memory that is there. All cuts and changes run on one thread without the interpreter.

On a device the same numbers give the same patches within 1e-4 (`augmentation_device`):

    image_on_device(box, place, statistics)                    # box: Tensor (c, k, j, i), int16
    attention_on_device(box, place), labels_on_device(box, place)
    intensities_on_device(image, intensities)
"""

import numpy as np

from lymphct.core.arrays import FloatArray, Index3, LabelArray
from lymphct.learning.augmentation_cpu import (
    PatchPlace,
    change_intensities,
    cut_attention,
    cut_image,
    cut_labels,
)
from lymphct.learning.augmentation_device import (
    attention_on_device,
    image_on_device,
    intensities_on_device,
    labels_on_device,
)
from lymphct.learning.augmentation_drawing import (
    Changes,
    IntensityChanges,
    Noise,
    SpatialTransform,
    draw_changes,
    draw_intensities,
    draw_spatial,
)
from lymphct.learning.settings import AugmentationSettings

__all__ = [
    "Changes",
    "IntensityChanges",
    "Noise",
    "PatchPlace",
    "SpatialTransform",
    "attention_on_device",
    "change_intensities",
    "change_intensity",
    "cut_attention",
    "cut_image",
    "cut_labels",
    "draw_changes",
    "draw_intensities",
    "draw_spatial",
    "image_on_device",
    "intensities_on_device",
    "labels_on_device",
    "move",
]


def move(
    transform: SpatialTransform, patch_size: Index3, smooth: FloatArray, labels: LabelArray
) -> tuple[FloatArray, LabelArray]:
    """Resample what was cut with `source_size` into a patch.

    Args:
        transform: rotation, scaling, mirroring.
        patch_size: voxels along k, j, i.
        smooth: (c, …) normalised intensities and attention, interpolated linearly.
        labels: (…) class numbers, taken from the nearest voxel.

    """
    place = PatchPlace((0, 0, 0), patch_size, transform)
    return cut_image(smooth, place, 0.0), cut_labels(labels, place)


def change_intensity(
    image: FloatArray, settings: AugmentationSettings, rng: np.random.Generator
) -> FloatArray:
    """Return a patch (c, k, j, i) with intensity changes drawn for it; the given one stays as it is."""
    changes = draw_intensities(settings, rng, len(image))
    return image if changes == IntensityChanges() else change_intensities(np.array(image, order="C"), changes)
