"""Sliding-window inference that skips windows without attention, exactly (Sec. III-A.1).

What no further window adds to is reduced at once to what the caller wants of it (`window_sums`). Beyond
image, attention and result the memory is that of one forward pass and of the sums (`sums_bytes`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from lymphct.core.arrays import FloatArray, Index3
from lymphct.core.errors import UsageError
from lymphct.imaging.crop import crop
from lymphct.learning.allocation import kept_memory
from lymphct.learning.devices import autocast, resolved_backend, resolved_precision
from lymphct.learning.inference_settings import InferenceSettings
from lymphct.learning.openvino_backend import Run, compiled, rest
from lymphct.learning.tensors import reversed_axes
from lymphct.learning.window_plan import planned_windows
from lymphct.learning.window_sums import Reduce, WindowSums
from lymphct.learning.windows import Window, gaussian, inside, lit_box, widened, window_grid

LARGE_PATCH: Final = 1_000_000
"""Voxels from which windows go through a CPU one by one: two would take twice the memory and no less time."""

Image = Tensor | FloatArray | Sequence[FloatArray]
"""Normalised intensities (c, k, j, i), or one (k, j, i) for each channel; views of images are not copied."""


@runtime_checkable
class AttentionGated(Protocol):
    """A network whose heads see features times attention: without attention the image does not matter."""

    def background_logits(self) -> Tensor | None:
        """Return the logits (classes,) for attention 0 everywhere; None when attention is switched off."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """One network and the channels of one image (k, j, i), which may be views of other axis order."""

    network: nn.Module
    image: tuple[FloatArray, ...]
    attention: FloatArray | None
    patch_size: Index3
    settings: InferenceSettings

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def shape(self) -> tuple[int, ...]:
        return self.image[0].shape


def sliding_window_logits(
    network: nn.Module,
    image: Image,
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
        image: (c, k, j, i) normalised intensities, or its channels.
        attention: (k, j, i) in [0, 1], or None.
        patch_size: voxels along i, j, k.
        settings: steps, weights, skipping.

    Raises:
        UsageError: a backend for CPUs and a network on a GPU.
        EnvironmentProblemError: the backend is not installed.

    """
    return _reduced(_job(network, image, attention, patch_size, settings), lambda logits: logits)


def sliding_window_labels(
    network: nn.Module,
    image: Image,
    attention: Tensor | FloatArray | None,
    patch_size: Index3,
    settings: InferenceSettings,
) -> Tensor:
    """Return the class with the highest mean logit (k, j, i), uint8; see `sliding_window_logits`."""
    job = _job(network, image, attention, patch_size, settings)
    return _reduced(job, lambda logits: logits.argmax(dim=0).to(torch.uint8))


def sliding_window_confidence(
    network: nn.Module,
    image: Image,
    attention: Tensor | FloatArray | None,
    patch_size: Index3,
    settings: InferenceSettings,
) -> tuple[Tensor, Tensor]:
    """Return the class with the highest mean logit (k, j, i), uint8, and its probability, float32.

    The probability is the softmax of the mean logits; see `sliding_window_logits`.
    """

    def reduce(logits: Tensor) -> Tensor:
        highest, label = torch.softmax(logits, dim=0).max(dim=0)
        return torch.stack([label.to(highest.dtype), highest])

    label, confidence = _reduced(_job(network, image, attention, patch_size, settings), reduce)
    return label.to(torch.uint8), confidence


def sliding_window_probability(
    network: nn.Module,
    image: Image,
    attention: Tensor | FloatArray | None,
    patch_size: Index3,
    settings: InferenceSettings,
) -> Tensor:
    """Return the probability of the second of two classes (k, j, i), float32; see `sliding_window_logits`."""
    job = _job(network, image, attention, patch_size, settings)
    # The softmax of two classes.
    return _reduced(job, lambda logits: torch.sigmoid(logits[1] - logits[0]))


def _job(
    network: nn.Module,
    image: Image,
    attention: Tensor | FloatArray | None,
    patch_size: Index3,
    settings: InferenceSettings,
) -> _Job:
    gate = None if attention is None else _array(attention)
    channels = tuple(_array(channel) for channel in image)
    job = _Job(network, channels, gate, reversed_axes(patch_size), settings)
    if settings.backend == "openvino" and job.device.type != "cpu":
        msg = f"the backend openvino runs on the CPU, the network is on {job.device}"
        raise UsageError(msg, cure="choose the device cpu or the backend torch")
    resolved = {
        "precision": resolved_precision(settings.precision, job.device),
        "backend": resolved_backend(settings.backend, job.device),
    }
    return replace(job, settings=settings.model_copy(update=resolved))


def _array(values: Tensor | FloatArray) -> FloatArray:
    plain = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return plain.astype(np.float32, copy=False)


def _reduced(job: _Job, reduce: Reduce) -> Tensor:
    was_training = job.network.training
    job.network.eval()
    try:
        by_torch = job.settings.backend == "torch"  # another library does not know torch's casts
        precision = job.settings.precision if by_torch else "float32"
        with torch.inference_mode(), autocast(job.device, precision), kept_memory():
            background = _background(job.network) if job.attention is not None else None
            if background is None:
                settings = job.settings.model_copy(update={"skip_without_attention": False})
                return _padded(replace(job, settings=settings), reduce)
            if job.settings.mode == "box":
                return _boxed(job, background, reduce)
            return _padded(job, reduce)
    finally:
        job.network.train(was_training)
        if job.settings.backend == "openvino":
            rest(job.network)


def _background(network: nn.Module) -> Tensor | None:
    logits = network.background_logits() if isinstance(network, AttentionGated) else None
    return None if logits is None else logits.detach().float().cpu()


def _boxed(job: _Job, background: Tensor, reduce: Reduce) -> Tensor:
    """Slide over the box of the attention; everything else is what windows without attention say."""
    empty = reduce(background[:, None, None, None])
    result = empty.expand(*empty.shape[:-3], *job.shape).clone()
    box = None if job.attention is None else lit_box(job.attention)
    if job.attention is not None and box is not None:
        box = widened(box, job.shape, job.patch_size)
        image = tuple(channel[box] for channel in job.image)
        part = replace(job, image=image, attention=job.attention[box])
        k, j, i = box
        result[..., k, j, i] = _padded(part, reduce)
    return result


def _padded(job: _Job, reduce: Reduce) -> Tensor:
    """Slide over an image that is first made at least as large as the patch."""
    n_k, n_j, n_i = (max(size, wanted) for size, wanted in zip(job.shape, job.patch_size, strict=True))
    wide = (n_k, n_j, n_i)
    if wide == tuple(job.shape):
        return _slide(job, reduce)
    start = [-((n - size) // 2) for n, size in zip(wide, job.shape, strict=True)]
    image = tuple(crop(channel, start, wide, channel.min()) for channel in job.image)
    attention = None if job.attention is None else crop(job.attention, start, wide, 0.0)
    result = _slide(replace(job, image=image, attention=attention), reduce)
    k, j, i = (slice(-first, size - first) for first, size in zip(start, job.shape, strict=True))
    return result[..., k, j, i].clone()


def _slide(job: _Job, reduce: Reduce) -> Tensor:
    windows = _windows(job)
    weight = gaussian(job.patch_size, job.settings.gaussian_sigma).to(job.device)
    sums = WindowSums(job.shape, windows, weight, reduce)
    for window, logits in _window_logits(job, windows):
        # Sums of float32 depend on their order: skipped or not, windows are added in the order of the grid.
        sums.add(window, logits)
    return sums.finish()


def _windows(job: _Job) -> list[Window]:
    # A network without a constant for empty windows runs them all: few with attention would save nothing.
    if job.settings.windows == "few" and job.attention is not None and _background(job.network) is not None:
        return planned_windows(job.attention, job.patch_size, job.settings.step)
    return window_grid(job.shape, job.patch_size, job.settings.step)


def _window_logits(job: _Job, windows: Sequence[Window]) -> Iterator[tuple[Window, Tensor]]:
    """Yield each window with its logits (classes, k, j, i), in the order given."""
    dark = [False] * len(windows)
    if job.settings.skip_without_attention and job.attention is not None:
        dark = [not bool(job.attention[inside(window, job.shape)].any()) for window in windows]
    # Without attention the logits do not depend on the image: the first such window stands for all. Running
    # it, rather than the heads on one voxel, gives the very bits that a run of the others would give.
    run = [window for n, window in enumerate(windows) if not dark[n] or n == dark.index(True)]
    results = _results(job, run, _pass_size(job, len(windows)))
    background: Tensor | None = None
    for window, is_dark in zip(windows, dark, strict=True):
        logits = background if is_dark and background is not None else next(results)
        if is_dark and background is None:
            background = logits = logits.clone()  # the next pass overwrites what this one gave
        yield window, logits


def _pass_size(job: _Job, windows: int) -> int:
    settings = job.settings
    if job.device.type == "cpu" and math.prod(job.patch_size) >= LARGE_PATCH:
        return 1
    # torch hands small float32 batches of one to a convolution several times slower than that for two.
    slow_alone = job.device.type == "cpu" and settings.backend == "torch" and settings.precision == "float32"
    return max(min(settings.window_batch, windows), 2 if slow_alone else 1)


def _results(job: _Job, windows: Sequence[Window], batch: int) -> Iterator[Tensor]:
    """Yield the logits of each window; every pass has `batch` windows, the last one repeats its last.

    Convolutions choose their algorithm by the shape of the batch: only a constant one keeps each window's
    logits independent of which other windows are skipped.
    """
    run = _runner(job, batch)
    axes = (2, 3, 4) if job.settings.mirroring else ()
    for first in range(0, len(windows), batch):
        group = list(windows[first : first + batch])
        full = group + group[-1:] * (batch - len(group))
        image = _patches(job.image, full).to(job.device)
        gates = None
        if job.attention is not None:
            gates = _patches((job.attention,), full, fill=0.0).to(job.device)
        yield from _mirrored(run, image, gates, axes)[: len(group)].unbind(0)


def _patches(channels: Sequence[FloatArray], windows: Sequence[Window], fill: float | None = None) -> Tensor:
    """Return the windows (b, c, k, j, i); beyond the image lies `fill`, or a channel's lowest value."""
    size = [part.stop - part.start for part in windows[0]]
    patches = np.empty((len(windows), len(channels), *size), dtype=np.float32)
    for n, window in enumerate(windows):
        for c, channel in enumerate(channels):
            patches[n, c] = _patch(channel, window, fill)
    return torch.from_numpy(patches)


def _patch(channel: FloatArray, window: Window, fill: float | None) -> FloatArray:
    if window == inside(window, channel.shape):
        return channel[window]
    beyond = channel.min() if fill is None else fill
    k, j, i = window
    size = (k.stop - k.start, j.stop - j.start, i.stop - i.start)
    return crop(channel, (k.start, j.start, i.start), size, beyond)


def _runner(job: _Job, batch: int) -> Run:
    if job.settings.backend == "torch":
        return lambda image, attention: job.network(image, attention)[0].float()
    shapes = [(batch, len(job.image), *job.patch_size)]
    if job.attention is not None:
        shapes.append((batch, 1, *job.patch_size))
    return compiled(job.network, shapes, job.settings.precision)


def _mirrored(run: Run, image: Tensor, attention: Tensor | None, axes: tuple[int, ...]) -> Tensor:
    """Average over mirrored versions in pairs: halving is exact, so equal logits stay equal."""
    if not axes:
        return run(image, attention)
    axis, others = axes[0], axes[1:]
    plain = _mirrored(run, image, attention, others).clone()  # the next pass overwrites it
    flipped = None if attention is None else attention.flip(axis)
    turned = _mirrored(run, image.flip(axis), flipped, others)
    return 0.5 * (plain + turned.flip(axis))
