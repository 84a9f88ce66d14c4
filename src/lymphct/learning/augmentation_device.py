"""Drawn changes, made where the network is: the same numbers give the processor's patches within 1e-4.

Every function runs on the device its tensors are on. Positions and noise are computed in whole numbers as in
the compiled loops, so that the same voxels are met and the same noise is added.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lymphct.core.arrays import Index3
from lymphct.imaging.intensity_kernels import MULTIPLIERS, NORMAL, SUM_MEAN, SUM_SCALE
from lymphct.imaging.patch_kernels import FRACTION_BITS, Values
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.augmentation_cpu import (
    SMALLEST,
    PatchPlace,
    attention_reading,
    blur_weights,
    low_resolution_taps,
    noise_keys,
    reading,
)
from lymphct.learning.augmentation_drawing import IntensityChanges, Noise, PerAxis

_WORD = 0xFFFFFFFF


def image_on_device(
    image: Tensor, place: PatchPlace, intensity: Sequence[IntensityStatistics] | float
) -> Tensor:
    """Cut a patch out of an image (c, k, j, i) and normalise it, as `cut_image` does."""
    if isinstance(intensity, float | int):
        return _sampled(image, place, [reading(None, pad=intensity)] * len(image))
    return _sampled(image, place, [reading(statistics) for statistics in intensity])


def attention_on_device(attention: Tensor, place: PatchPlace) -> Tensor:
    """Cut a patch of attention (k, j, i), as `cut_attention` does."""
    return _sampled(attention[None], place, [attention_reading(attention.dtype == torch.uint8)])[0]


def labels_on_device(labels: Tensor, place: PatchPlace) -> Tensor:
    """Cut a patch of class numbers (k, j, i), as `cut_labels` does."""
    half = 1 << (FRACTION_BITS - 1)
    position = [axis + half for axis in _positions(place, labels.device)]
    index, inside = _neighbour([axis >> FRACTION_BITS for axis in position], (0, 0, 0), labels.shape)
    return torch.where(
        inside, labels.reshape(-1)[index], torch.zeros((), dtype=labels.dtype, device=labels.device)
    )


def _sampled(image: Tensor, place: PatchPlace, values: Sequence[Values]) -> Tensor:
    position = _positions(place, image.device)
    whole = [axis >> FRACTION_BITS for axis in position]
    fractions = [((axis >> 1) & (_WORD >> 1)).float() * 2.0 ** (1 - FRACTION_BITS) for axis in position]
    low, high, pad, scale, shift = (
        torch.tensor([float(each[n]) for each in values], device=image.device)[:, None, None, None]
        for n in range(5)
    )
    flat = image.reshape(len(image), -1)

    def corner(*offset: int) -> Tensor:
        index, inside = _neighbour(whole, (offset[0], offset[1], offset[2]), image.shape[1:])
        found = flat[:, index].float()
        return torch.where(inside, found.maximum(low).minimum(high), pad)

    if place.is_plain:
        return corner(0, 0, 0) * scale + shift
    planes = []
    for k in range(2):
        rows = [corner(k, j, 0).lerp(corner(k, j, 1), fractions[2]) for j in range(2)]
        planes.append(rows[0].lerp(rows[1], fractions[1]))
    return planes[0].lerp(planes[1], fractions[0]) * scale + shift


def _positions(place: PatchPlace, device: torch.device) -> list[Tensor]:
    """Return the positions of all voxels of a patch along k, j, i, in units of 2^-`FRACTION_BITS` voxels."""
    steps = place.steps().tolist()
    along = [torch.arange(size, device=device) for size in place.patch_size]
    k, j, i = along[0][:, None, None], along[1][:, None], along[2]
    return [
        steps[0][axis] + k * steps[1][axis] + j * steps[2][axis] + i * steps[3][axis] for axis in range(3)
    ]


def _neighbour(whole: Sequence[Tensor], offset: Index3, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the flat index of the voxels at an offset, and whether they are in the image."""
    index, inside = torch.zeros((), dtype=torch.int64, device=whole[0].device), None
    for axis, step, size in zip(whole, offset, shape, strict=True):
        at = axis + step
        within = (at >= 0) & (at < size)
        inside = within if inside is None else inside & within
        index = index * size + at.clamp(0, size - 1)
    return index, inside if inside is not None else torch.ones_like(index, dtype=torch.bool)


def intensities_on_device(image: Tensor, changes: IntensityChanges) -> Tensor:
    """Return a patch (c, k, j, i), float32, with its intensities changed, as `change_intensities` does."""
    if changes.noise is not None:
        image = image + changes.noise.deviation * normal_numbers(changes.noise, image.shape, image.device)
    return torch.stack([_changed(channel, changes, number) for number, channel in enumerate(image)])


def normal_numbers(noise: Noise, shape: Sequence[int], device: torch.device) -> Tensor:
    """Return the normal numbers of a seed, a function of the place in the array alone."""
    low, high = noise_keys(noise)
    place = torch.arange(torch.Size(shape).numel(), device=device)
    bits = _mixed(_mixed(place ^ low) ^ high)
    more = _mixed(bits ^ low)
    total = (bits & 0xFFFF) + (bits >> 16) + (more & 0xFFFF) + (more >> 16)
    t = (total.float() - float(SUM_MEAN)) * float(SUM_SCALE)
    square, series = t * t, torch.full_like(t, float(NORMAL[-1]))
    for factor in NORMAL[-2::-1]:
        series = series * square + float(factor)
    return (t * series).reshape(tuple(shape))


def _mixed(bits: Tensor) -> Tensor:
    """Mix 32 bits; products of whole numbers wrap at 64 bits, whose lower half is what counts."""
    for shift, multiplier in ((16, MULTIPLIERS[0]), (15, MULTIPLIERS[1])):
        bits = ((bits ^ (bits >> shift)) * multiplier) & _WORD
    return bits ^ (bits >> 16)


def _changed(channel: Tensor, changes: IntensityChanges, number: int) -> Tensor:
    if changes.blur is not None and (sigmas := changes.blur[number]) is not None:
        channel = _blurred(channel, sigmas)
    if changes.brightness is not None:
        channel = channel * changes.brightness[number]
    if changes.contrast is not None:
        low, high = torch.aminmax(channel)
        mean, factor = channel.mean(), changes.contrast[number]
        channel = (channel * factor + mean * (1 - factor)).clamp(low, high)
    if changes.low_resolution is not None and (share := changes.low_resolution[number]) is not None:
        channel = _coarsened(channel, share)
    if changes.inverted_gamma is not None:
        channel = -_bent(-channel, changes.inverted_gamma[number])
    if changes.gamma is not None:
        channel = _bent(channel, changes.gamma[number])
    return channel


def _blurred(channel: Tensor, sigmas: PerAxis) -> Tensor:
    weights, radii = blur_weights(sigmas)
    for axis, size in enumerate(channel.shape):
        place = torch.arange(size, device=channel.device)
        period = max(2 * size - 2, 1)
        total = float(weights[axis, 0]) * channel
        for reach in range(1, int(radii[axis]) + 1):
            for step in (-reach, reach):
                folded = (place + step).abs() % period
                mirrored = torch.minimum(folded, period - folded) if size > 1 else place
                total = total + float(weights[axis, reach]) * channel.index_select(axis, mirrored)
        channel = total
    return channel


def _coarsened(channel: Tensor, share: float) -> Tensor:
    for axis, size in enumerate(channel.shape):
        kept, lower, fraction = (
            torch.from_numpy(part).to(channel.device) for part in low_resolution_taps(size, share)
        )
        upper = (lower + 1).clamp(max=len(kept) - 1)
        shape = [-1 if other == axis else 1 for other in range(3)]
        below, above = (channel.index_select(axis, kept[place]) for place in (lower, upper))
        channel = below.lerp(above, fraction.reshape(shape))
    return channel


def _bent(channel: Tensor, exponent: float) -> Tensor:
    low, high = torch.aminmax(channel)
    extent = high - low
    mean, deviation = channel.mean(), channel.std()
    bent = ((channel - low) / extent.clamp(min=SMALLEST)).clamp(0, 1) ** exponent
    factor = deviation / (bent.std() * extent).clamp(min=SMALLEST) * extent
    changed = (bent - bent.mean()) * factor + mean
    return torch.where(extent < SMALLEST, channel, changed)
