"""Drawn changes, made by the processor: compiled loops that read only the voxels a patch needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lymphct.core.arrays import AnyArray, FloatArray, Index3, LabelArray
from lymphct.imaging import blur_kernels, intensity_kernels, patch_kernels
from lymphct.imaging.patch_kernels import FRACTION_BITS, Steps, Values
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.augmentation_drawing import IntensityChanges, Noise, PerAxis, SpatialTransform

BYTE = 255
"""Attention stored in bytes: this is 1."""
SMALLEST = 1e-7
"""Deviation and extent below which a channel counts as constant, as in nnU-Net."""


@dataclass(frozen=True, slots=True)
class PatchPlace:
    """Where a patch lies in an array.

    Attributes:
        start: voxel k, j, i of the array at which the box of `source_size` begins; the box may lie partly or
            wholly beside the array.
        patch_size: voxels of the patch along k, j, i.
        transform: how the patch is taken out of the box.

    """

    start: Index3
    patch_size: Index3
    transform: SpatialTransform = field(default_factory=SpatialTransform)

    @property
    def source_size(self) -> Index3:
        """Return the voxels along k, j, i that the patch may need."""
        return self.transform.source_size(self.patch_size)

    @property
    def is_plain(self) -> bool:
        """Return whether voxels are copied, not interpolated."""
        return self.transform.matrix is None

    def steps(self) -> Steps:
        """Return the positions of the kernels: first voxel, then a step along k, j, i of the patch."""
        matrix = np.eye(3) if self.transform.matrix is None else self.transform.matrix
        scaled = np.rint(matrix * 2.0**FRACTION_BITS).astype(np.int64)
        # Both centres, in half voxels so that they are whole numbers, lie on one point.
        double_center = [2 * s + n - 1 for s, n in zip(self.start, self.source_size, strict=True)]
        first = np.array(double_center, dtype=np.int64) << (FRACTION_BITS - 1)
        steps = np.empty((4, 3), dtype=np.int64)
        for axis, (size, mirrored) in enumerate(zip(self.patch_size, self.transform.mirrored, strict=True)):
            steps[axis + 1] = -scaled[:, axis] if mirrored else scaled[:, axis]
            first -= ((size - 1) * steps[axis + 1]) >> 1
        steps[0] = first
        return steps


def cut_image(
    image: AnyArray,
    place: PatchPlace,
    intensity: Sequence[IntensityStatistics] | float,
    out: FloatArray | None = None,
) -> FloatArray:
    """Cut a patch out of an image and normalise it.

    Args:
        image: (c, k, j, i) HU, or normalised intensities.
        place: where the patch lies.
        intensity: statistics of each channel, by which HU are clipped and z-scored, and whose lower clip
            value lies outside the image; for a normalised image the value that lies outside.
        out: (c, k, j, i) float32, C order, to write into; by default a new array.

    """
    out = np.empty((len(image), *place.patch_size), dtype=np.float32) if out is None else out
    if isinstance(intensity, float | int):
        values = [reading(None, pad=intensity)] * len(image)
    else:
        values = [reading(statistics) for statistics in intensity]
    _cut_values(image, place, values, out)
    return out


def cut_attention(attention: AnyArray, place: PatchPlace, out: FloatArray | None = None) -> FloatArray:
    """Cut a patch of attention: (k, j, i) float32 in [0, 1], or bytes of which `BYTE` is 1; 0 lies outside.

    Where all voxels around a place are 0 so is the patch, exactly.
    """
    out = np.empty(place.patch_size, dtype=np.float32) if out is None else out
    _cut_values(attention[None], place, [attention_reading(attention.dtype == np.uint8)], out[None])
    return out


def reading(statistics: IntensityStatistics | None, pad: float = 0.0) -> Values:
    """Return how HU are normalised, or how normalised values are read as they are."""
    if statistics is None:
        largest = np.finfo(np.float32).max
        return Values(-largest, largest, np.float32(pad), np.float32(1.0), np.float32(0.0))
    low, high = np.float32(statistics.low), np.float32(statistics.high)
    scale = np.float32(1.0 / statistics.sd)
    return Values(low, high, low, scale, np.float32(-statistics.mean / statistics.sd))


def attention_reading(in_bytes: bool) -> Values:  # noqa: FBT001 - the one thing it depends on
    """Return how attention is read."""
    top = float(BYTE) if in_bytes else 1.0
    return Values(*(np.float32(value) for value in (0.0, top, 0.0, 1.0 / top, 0.0)))


def _cut_values(image: AnyArray, place: PatchPlace, values: Sequence[Values], out: FloatArray) -> None:
    table = np.array(values, dtype=np.float32)
    if not place.is_plain:
        patch_kernels.linear_values(np.ascontiguousarray(image), place.steps(), table, out)
        return
    start, mirrored = (np.array(part, np.int64) for part in (place.start, place.transform.mirrored))
    for channel, row, patch in zip(image, table, out, strict=True):
        patch_kernels.copy_values(np.ascontiguousarray(channel), start, mirrored, row, patch)


def cut_labels(labels: LabelArray, place: PatchPlace, out: LabelArray | None = None) -> LabelArray:
    """Cut a patch of class numbers (k, j, i), each that of the nearest voxel; 0 lies outside."""
    labels = np.ascontiguousarray(labels)
    out = np.empty(place.patch_size, dtype=labels.dtype) if out is None else out
    if place.is_plain:
        start, mirrored = (np.array(part, np.int64) for part in (place.start, place.transform.mirrored))
        patch_kernels.copy_labels(labels, start, mirrored, out)
    else:
        patch_kernels.nearest_labels(labels, place.steps(), out)
    return out


def change_intensities(image: FloatArray, changes: IntensityChanges) -> FloatArray:
    """Change a patch (c, k, j, i), float32 in C order, in place, and return it."""
    if changes.noise is not None:
        low, high = noise_keys(changes.noise)
        deviation = np.float32(changes.noise.deviation)
        intensity_kernels.add_noise(image.reshape(-1), np.uint32(low), np.uint32(high), deviation)
    for number, channel in enumerate(image):
        _change_channel(channel, changes, number)
    return image


def noise_keys(noise: Noise) -> tuple[int, int]:
    """Return the two halves of the seed."""
    return noise.seed & 0xFFFFFFFF, noise.seed >> 32


def _change_channel(channel: FloatArray, changes: IntensityChanges, number: int) -> None:
    flat = channel.reshape(-1)
    if changes.blur is not None and (sigmas := changes.blur[number]) is not None:
        blur_kernels.blur(channel, *blur_weights(sigmas))
    if changes.brightness is not None:
        largest = np.finfo(np.float32).max
        intensity_kernels.stretch(
            flat, np.float32(changes.brightness[number]), np.float32(0), -largest, largest
        )
    if changes.contrast is not None:
        low, high, mean, _ = intensity_kernels.moments(flat)
        factor = changes.contrast[number]
        shift = np.float32(mean * (1 - factor))
        intensity_kernels.stretch(flat, np.float32(factor), shift, np.float32(low), np.float32(high))
    if changes.low_resolution is not None and (share := changes.low_resolution[number]) is not None:
        axes = [low_resolution_taps(size, share) for size in channel.shape]
        kept, lower, fractions = (tuple(part) for part in zip(*axes, strict=True))
        blur_kernels.coarsen(channel, kept, lower, fractions)
    if changes.inverted_gamma is not None:
        _bend(flat, changes.inverted_gamma[number], inverted=True)
    if changes.gamma is not None:
        _bend(flat, changes.gamma[number], inverted=False)


def _bend(flat: FloatArray, exponent: float, *, inverted: bool) -> None:
    """Raise the place of each value between the channel's lowest and highest to a power; keep mean and SD."""
    low, high, mean, deviation = intensity_kernels.moments(flat)
    extent = high - low
    if extent < SMALLEST:
        return
    scale, shift = (-1 / extent, high / extent) if inverted else (1 / extent, -low / extent)
    bent_mean, bent_deviation = intensity_kernels.bend(
        flat, np.float32(scale), np.float32(shift), np.float32(exponent)
    )
    factor = deviation / max(bent_deviation * extent, SMALLEST) * extent * (-1 if inverted else 1)
    largest = np.finfo(np.float32).max
    intensity_kernels.stretch(
        flat, np.float32(factor), np.float32(mean - bent_mean * factor), -largest, largest
    )


def blur_weights(sigmas: PerAxis) -> tuple[FloatArray, blur_kernels.Taps]:
    """Return the weights (3, n) of a Gaussian along k, j, i by distance in voxels, and how far each reaches.

    As in nnU-Net it is cut where the odd whole number next to 6σ + ½ ends, and its sum is 1.
    """
    radii = np.array([_radius(sigma) for sigma in sigmas], dtype=np.int64)
    distances = np.arange(radii.max() + 1)
    weights = np.exp(-0.5 * (distances / np.array(sigmas)[:, None]) ** 2)
    weights[distances > radii[:, None]] = 0.0
    weights /= 2 * weights.sum(axis=1, keepdims=True) - weights[:, :1]
    return weights.astype(np.float32), radii


def _radius(sigma: float) -> int:
    wanted = 6 * sigma + 0.5
    size = round(wanted)
    if size % 2 == 0:
        size += 1 if wanted >= size else -1
    return size // 2


def low_resolution_taps(size: int, share: float) -> tuple[blur_kernels.Taps, blur_kernels.Taps, FloatArray]:
    """Return which voxels of an axis are kept, and for each voxel its lower kept one and the way to the next.

    The centres of coarse voxels are spread as nnU-Net's (torch's "nearest-exact", then linear); all in single
    precision, as there, so that ties fall alike.
    """
    count = max(round(size * np.float32(share).item()), 1)
    ratio = np.float32(size / count)
    kept = ((np.arange(count, dtype=np.float32) + np.float32(0.5)) * ratio).astype(np.int64)
    back = np.float32(count / size)
    places = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * back - np.float32(0.5)
    places = np.maximum(places, np.float32(0.0))
    lower = np.minimum(places.astype(np.int64), count - 1)
    return np.minimum(kept, size - 1), lower, (places - lower).astype(np.float32)
