"""Sliding-window inference that skips windows without attention, exactly (Sec. III-A.1)."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
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
    window_batch: PositiveInt = 2
    """Windows per forward pass. Not stated in the paper; decides speed and memory, 2 is fastest on a CPU."""
    mirroring: bool = False
    """Average over the eight mirrored versions. Not stated in the paper; off, as it costs eightfold time."""
    skip_without_attention: bool = True
    """Run one window without attention for all of them, whose logits are equal; changes no logit
    (Sec. III-A.1). Only for networks whose heads multiply by the attention."""
    mode: Literal["exact", "box"] = "exact"
    """exact: windows over the whole image. box: over the box of the attention only, several times faster,
    with other windows near the box's border. Not stated in the paper; exact is nnU-Net's grid."""
    precision: Precision = "float32"
    """Of the network's arithmetic; sums stay float32. Not stated in the paper."""


@runtime_checkable
class AttentionGated(Protocol):
    """A network whose heads see features times attention: without attention the image does not matter."""

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
    all windows are added up in the same order. An image smaller than the patch is padded: each channel with
    its lowest value (the lower clip value wherever there is air), attention with 0.

    Args:
        network: called as `network(image, attention)`; the first of the logits it returns is used.
        image: (c, k, j, i) normalised intensities.
        attention: (k, j, i) in [0, 1], or None.
        patch_size: voxels along i, j, k.
        settings: steps, weights, skipping.

    """
    pixels = _tensor(image)
    gate = None if attention is None else _tensor(attention)
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), autocast(device, settings.precision):
            background = _background(network) if gate is not None else None
            if settings.mode == "box" and gate is not None and background is not None:
                total = background[:, None, None, None].expand(-1, *gate.shape).clone()
                box = _attention_box(gate, reversed_axes(patch_size))
                if box is not None:
                    pair = (pixels[(slice(None), *box)], gate[box])
                    total[(slice(None), *box)] = _padded_logits(network, pair, patch_size, settings)
                return total
            if background is None:
                settings = settings.model_copy(update={"skip_without_attention": False})
            return _padded_logits(network, (pixels, gate), patch_size, settings)
    finally:
        network.train(was_training)


def _tensor(array: Tensor | FloatArray) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach().cpu().float()
    # Images are read-only and may be memory maps; torch wants memory it could write to.
    return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which convolutions run in `precision`."""
    kinds = {"float32": torch.bfloat16, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return torch.autocast(device.type, dtype=kinds[precision], enabled=precision != "float32")


def _background(network: nn.Module) -> Tensor | None:
    logits = network.background_logits() if isinstance(network, AttentionGated) else None
    return None if logits is None else logits.detach().float().cpu()


def _attention_box(attention: Tensor, patch_size: Index3) -> Window | None:
    """Return the box of all attention, at least a patch wide where the image is; None without attention."""
    box = []
    for axis, (size, wanted) in enumerate(zip(attention.shape, patch_size, strict=True)):
        lit = torch.nonzero(attention.amax([other for other in range(3) if other != axis])).flatten()
        if len(lit) == 0:
            return None
        low, high = int(lit[0]), int(lit[-1]) + 1
        low = max(0, min(low, (low + high - wanted) // 2, size - wanted))
        box.append(slice(low, min(max(high, low + wanted), size)))
    return box[0], box[1], box[2]


def _padded_logits(
    network: nn.Module, pair: tuple[Tensor, Tensor | None], patch_size: Index3, settings: InferenceSettings
) -> Tensor:
    """Slide over an image that is first made at least as large as the patch."""
    image, attention = pair
    shape, patch_shape = image.shape[1:], reversed_axes(patch_size)
    missing = [max(wanted - size, 0) for size, wanted in zip(shape, patch_shape, strict=True)]
    if not any(missing):
        return _slide(network, pair, patch_shape, settings)
    inside = tuple(slice(gap // 2, gap // 2 + size) for gap, size in zip(missing, shape, strict=True))
    sizes = [size + gap for size, gap in zip(shape, missing, strict=True)]
    wide = image.amin((1, 2, 3), keepdim=True).expand(-1, *sizes).clone()
    wide[(slice(None), *inside)] = image
    if attention is not None:
        narrow, attention = attention, attention.new_zeros(sizes)
        attention[inside] = narrow
    logits = _slide(network, (wide, attention), patch_shape, settings)
    return logits[(slice(None), *inside)].clone()


def _slide(
    network: nn.Module, pair: tuple[Tensor, Tensor | None], patch_size: Index3, settings: InferenceSettings
) -> Tensor:
    image, attention = pair
    shape = image.shape[1:]
    windows = list(_windows(shape, patch_size, settings.step))
    dark = [attention is not None and not bool(attention[window].any()) for window in windows]
    if not settings.skip_without_attention:
        dark = [False] * len(windows)
    # Without attention the logits do not depend on the image: the first such window stands for all. Running
    # it, rather than the heads on one voxel, gives the very bits that a run of the others would give.
    run = [window for n, window in enumerate(windows) if not dark[n] or n == dark.index(True)]
    batch = _pass_size(network, len(windows), settings)
    results = _results(_forward(network, pair, mirroring=settings.mirroring), run, batch)
    weight = gaussian(patch_size, settings.gaussian_sigma)
    weights, total = torch.zeros(shape), torch.zeros(0)
    background: Tensor | None = None
    for window, is_dark in zip(windows, dark, strict=True):
        logits = background if is_dark and background is not None else next(results)
        background = logits if is_dark else background
        if not len(total):
            total = torch.zeros(len(logits), *shape)
        # Sums of float32 depend on their order: skipped or not, windows are added in the order of the grid.
        total[(slice(None), *window)] += logits * weight
        weights[window] += weight
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


def _pass_size(network: nn.Module, windows: int, settings: InferenceSettings) -> int:
    on_cpu = next(network.parameters()).device.type == "cpu"
    # torch hands small float32 batches of one to a convolution several times slower than that for two.
    fewest = 2 if on_cpu and settings.precision == "float32" else 1
    return max(min(settings.window_batch, windows), fewest)


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
