"""Sliding-window inference that skips windows without attention, exactly (Sec. III-A.1)."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from lymphct.core.arrays import FloatArray, Index3
from lymphct.core.settings import Settings
from lymphct.learning.tensors import reversed_axes

Window = tuple[slice, slice, slice]
"""One window of the image, axes k, j, i."""
Precision = Literal["float32", "bfloat16", "float16"]


class InferenceSettings(Settings):
    """How a network is slid over a patient."""

    step: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Largest step between windows as a share of the patch. Not stated in the paper; nnU-Net's value."""
    gaussian_sigma: PositiveFloat = 0.125
    """Width of the Gaussian weight as a share of the patch. Not stated in the paper; nnU-Net's value."""
    window_batch: PositiveInt = 4
    """Windows per forward pass. Not stated in the paper; changes speed and memory only."""
    mirroring: bool = False
    """Average over the eight mirrored versions. Not stated in the paper; off, as it costs eightfold time."""
    skip_without_attention: bool = True
    """Give windows without attention the constant of the heads instead of running them; changes no logit."""
    mode: Literal["exact", "box"] = "exact"
    """exact: windows over the whole image. box: over the box of the attention only, several times faster,
    with other windows near the box's border. Not stated in the paper; exact is nnU-Net's grid."""
    precision: Precision = "float32"
    """Of the network's arithmetic; sums stay float32. Not stated in the paper."""


@runtime_checkable
class AttentionGated(Protocol):
    """A network whose heads see features only where there is attention."""

    def background_logits(self) -> Tensor | None:
        """Return the logits (classes,) for attention 0 everywhere; None when attention is switched off."""
        ...


def sliding_window_logits(
    network: nn.Module,
    image: Tensor | FloatArray,
    attention: Tensor | FloatArray | None,
    patch_size: Index3,
    settings: InferenceSettings,
) -> Tensor:
    """Return the Gaussian-weighted mean logits (classes, k, j, i), float32 on the CPU.

    Skipping changes no bit: every forward pass has the same number of windows whichever are skipped, and
    windows are added up in the same order. An image smaller than the patch is padded: each channel with its
    lowest value (the lower clip value wherever there is air), attention with 0.

    Args:
        network: called as `network(image, attention)`; the first of the logits it returns is used.
        image: (c, k, j, i) normalised intensities.
        attention: (k, j, i) in [0, 1], or None.
        patch_size: voxels along i, j, k.
        settings: steps, weights, skipping.

    """
    pixels = torch.as_tensor(image, dtype=torch.float32)
    gate = None if attention is None else torch.as_tensor(attention, dtype=torch.float32)
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), autocast(device, settings.precision):
            constant = _constant(network, gate)
            if settings.mode == "box" and gate is not None and constant is not None:
                return _box_logits(network, pixels, gate, reversed_axes(patch_size), settings)
            constant = constant if settings.skip_without_attention else None
            return _padded_logits(network, (pixels, gate), reversed_axes(patch_size), constant, settings)
    finally:
        network.train(was_training)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which convolutions run in `precision`."""
    kinds = {"float32": torch.bfloat16, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return torch.autocast(device.type, dtype=kinds[precision], enabled=precision != "float32")


def _constant(network: nn.Module, attention: Tensor | None) -> Tensor | None:
    if attention is None or not isinstance(network, AttentionGated):
        return None
    logits = network.background_logits()
    return None if logits is None else logits.detach().float().cpu()


def _box_logits(
    network: nn.Module, image: Tensor, attention: Tensor, patch_size: Index3, settings: InferenceSettings
) -> Tensor:
    """Slide over the box of the attention, at least a patch wide; elsewhere lies the constant."""
    constant = _constant(network, attention)
    if constant is None:
        msg = "box mode needs a network with attention heads"
        raise TypeError(msg)
    total = constant[:, None, None, None].expand(-1, *attention.shape).clone()
    box = []
    for axis, (size, wanted) in enumerate(zip(attention.shape, patch_size, strict=True)):
        others = [other for other in range(3) if other != axis]
        lit = torch.nonzero(attention.amax(others)).flatten()
        if len(lit) == 0:
            return total
        low, high = int(lit[0]), int(lit[-1]) + 1
        low = max(0, min(low - (wanted - (high - low)) // 2, low, size - wanted))
        box.append(slice(low, min(max(high, low + wanted), size)))
    window = (box[0], box[1], box[2])
    pair = (image[(slice(None), *window)], attention[window])
    total[(slice(None), *window)] = _padded_logits(network, pair, patch_size, constant, settings)
    return total


def _padded_logits(
    network: nn.Module,
    pair: tuple[Tensor, Tensor | None],
    patch_size: Index3,
    constant: Tensor | None,
    settings: InferenceSettings,
) -> Tensor:
    image, attention = pair
    missing = [max(wanted - size, 0) for size, wanted in zip(image.shape[1:], patch_size, strict=True)]
    if any(missing):
        before = [gap // 2 for gap in missing]
        sizes = [size + gap for size, gap in zip(image.shape[1:], missing, strict=True)]
        inside = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
        wide = image.amin((1, 2, 3), keepdim=True).expand(-1, *sizes).clone()
        wide[(slice(None), *inside)] = image
        if attention is not None:
            wide_attention = attention.new_zeros(sizes)
            wide_attention[inside] = attention
            attention = wide_attention
        logits = _slide(network, (wide, attention), patch_size, constant, settings)
        return logits[(slice(None), *inside)].clone()
    return _slide(network, pair, patch_size, constant, settings)


def _slide(
    network: nn.Module,
    pair: tuple[Tensor, Tensor | None],
    patch_size: Index3,
    constant: Tensor | None,
    settings: InferenceSettings,
) -> Tensor:
    image, attention = pair
    shape = image.shape[1:]
    windows = list(_windows(shape, patch_size, settings.step))
    skipped = [
        constant is not None and attention is not None and not bool(attention[window].any())
        for window in windows
    ]
    run = [window for window, skip in zip(windows, skipped, strict=True) if not skip]
    batch = min(settings.window_batch, len(windows))
    results = _results(_forward(network, pair, mirroring=settings.mirroring), run, batch)
    weight = gaussian(patch_size, settings.gaussian_sigma)
    weights = torch.zeros(shape)
    total: Tensor | None = None
    for window, skip in zip(windows, skipped, strict=True):
        # Sums of float32 depend on their order: skipped or not, windows are added in the order of the grid.
        logits = constant[:, None, None, None] if skip and constant is not None else next(results)
        total = torch.zeros(len(logits), *shape) if total is None else total
        total[(slice(None), *window)] += logits * weight
        weights[window] += weight
    if total is None:
        msg = "an image without voxels has no windows"
        raise ValueError(msg)
    return total.div_(weights)


def _windows(shape: Sequence[int], patch_size: Index3, step: float) -> Iterator[Window]:
    """Yield windows that cover the image at equal steps of at most `step` patches (nnU-Net's grid)."""
    starts = []
    for size, wanted in zip(shape, patch_size, strict=True):
        count = math.ceil((size - wanted) / (wanted * step)) + 1
        gap = (size - wanted) / max(count - 1, 1)
        starts.append([round(gap * n) for n in range(count)])
    for k, j, i in itertools.product(*starts):
        yield slice(k, k + patch_size[0]), slice(j, j + patch_size[1]), slice(i, i + patch_size[2])


def gaussian(patch_size: Index3, sigma: float) -> Tensor:
    """Return weights (k, j, i), 1 at the centre, with a standard deviation of `sigma` patches (nnU-Net)."""
    axes = []
    for size in patch_size:
        offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        axes.append(torch.exp(-0.5 * (offsets / (size * sigma)) ** 2))
    weight = torch.einsum("k,j,i->kji", *axes)
    return (weight / weight.max()).clamp(min=1e-12).float()


def _forward(
    network: nn.Module, pair: tuple[Tensor, Tensor | None], *, mirroring: bool
) -> Callable[[Sequence[Window]], Tensor]:
    image, attention = pair
    device = next(network.parameters()).device

    def forward(windows: Sequence[Window]) -> Tensor:
        patches = torch.stack([image[(slice(None), *window)] for window in windows]).to(device)
        gates = None
        if attention is not None:
            gates = torch.stack([attention[window][None] for window in windows]).to(device)
        return _mirrored(network, patches, gates, (2, 3, 4) if mirroring else ()).float().cpu()

    return forward


def _mirrored(network: nn.Module, image: Tensor, attention: Tensor | None, axes: tuple[int, ...]) -> Tensor:
    """Average over mirrored versions in pairs: halving is exact, so equal logits stay equal."""
    if not axes:
        logits: Tensor = network(image, attention)[0]
        return logits.float()
    axis, rest = axes[0], axes[1:]
    plain = _mirrored(network, image, attention, rest)
    flipped = None if attention is None else attention.flip(axis)
    turned = _mirrored(network, image.flip(axis), flipped, rest)
    return 0.5 * (plain + turned.flip(axis))


def _results(
    forward: Callable[[Sequence[Window]], Tensor], windows: Sequence[Window], batch: int
) -> Iterator[Tensor]:
    """Yield the logits of each window; every pass has `batch` windows, the last one repeats its last.

    Convolutions choose their algorithm by the shape of the batch: only a constant one keeps each window's
    logits independent of which other windows are skipped.
    """
    for first in range(0, len(windows), batch):
        group = list(windows[first : first + batch])
        full = group + group[-1:] * (batch - len(group))
        yield from forward(full)[: len(group)].unbind(0)
