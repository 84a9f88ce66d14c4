"""The 3-D U-Net all stages share; parameter names are those of nnU-Net, so its weights load strictly.

The network knows no attention: it returns the decoder features of every scale, and the heads decide.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lymphct.core.arrays import Index3
from lymphct.learning.settings import PLAIN_STRIDE, UNetSettings
from lymphct.learning.tensors import reversed_axes

LEAK = 0.01
"""Slope of LeakyReLU below zero (nnU-Net)."""

Kernel = int | Index3
"""Edge of a convolution, or its edges along k, j, i."""


class ConvNorm(nn.Module):
    """Convolution, instance norm and, where asked for, LeakyReLU; strides and kernels along k, j, i."""

    def __init__(
        self,
        channels: tuple[int, int],
        *,
        kernel: Kernel = 3,
        stride: Index3 = PLAIN_STRIDE,
        active: bool = True,
    ) -> None:
        super().__init__()
        edges = (kernel, kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (edges[0] // 2, edges[1] // 2, edges[2] // 2)
        # nnU-Net's 1×1×1 projections of the residual skip carry no bias, all other convolutions do.
        self.conv = nn.Conv3d(*channels, kernel, stride, padding, bias=kernel != 1)
        self.norm = nn.InstanceNorm3d(channels[1], eps=1e-5, affine=True)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c_in, k, j, i) to (b, c_out, k/stride, …)."""
        x = self.norm(self.conv(x))
        return nn.functional.leaky_relu(x, LEAK, inplace=True) if self.active else x


class ConvStack(nn.Module):
    """Several `ConvNorm` in a row; the first one strides and changes the number of channels."""

    def __init__(
        self, channels: tuple[int, int], count: int, stride: Index3 = PLAIN_STRIDE, kernel: Kernel = 3
    ) -> None:
        super().__init__()
        rest = (ConvNorm((channels[1], channels[1]), kernel=kernel) for _ in range(count - 1))
        self.convs = nn.Sequential(ConvNorm(channels, kernel=kernel, stride=stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c_in, k, j, i) to (b, c_out, k/stride, …)."""
        out: Tensor = self.convs(x)
        return out


class ResidualBlock(nn.Module):
    """Two convolutions beside a skip that pools averages and projects (ResNet-D, as in nnU-Net's ResEnc)."""

    def __init__(self, channels: tuple[int, int], stride: Index3 = PLAIN_STRIDE, kernel: Kernel = 3) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, kernel=kernel, stride=stride)
        self.conv2 = ConvNorm((channels[1], channels[1]), kernel=kernel, active=False)
        skip: list[nn.Module] = [nn.AvgPool3d(stride, stride)] if stride != PLAIN_STRIDE else []
        if channels[0] != channels[1]:
            skip.append(ConvNorm(channels, kernel=1, active=False))
        self.skip = nn.Sequential(*skip)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c_in, k, j, i) to (b, c_out, k/stride, …)."""
        return nn.functional.leaky_relu(self.conv2(self.conv1(x)) + self.skip(x), LEAK, inplace=True)


class ResidualStack(nn.Module):
    """Several residual blocks; the first one strides and changes the number of channels."""

    def __init__(self, channels: tuple[int, int], count: int, stride: Index3, kernel: Kernel = 3) -> None:
        super().__init__()
        rest = (ResidualBlock((channels[1], channels[1]), kernel=kernel) for _ in range(count - 1))
        self.blocks = nn.Sequential(ResidualBlock(channels, stride, kernel), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c_in, k, j, i) to (b, c_out, k/stride, …)."""
        out: Tensor = self.blocks(x)
        return out


class Encoder(nn.Module):
    """The contracting half: one stage per resolution."""

    def __init__(self, in_channels: int, settings: UNetSettings) -> None:
        super().__init__()
        first = settings.features[0]
        residual = settings.encoder == "residual"
        kernels = kernels_of(settings)
        self.stem = ConvStack((in_channels, first), 1, kernel=kernels[0]) if residual else nn.Sequential()
        inputs = (first if residual else in_channels, *settings.features)
        stages: list[nn.Module] = []
        for n, (width, strides) in enumerate(zip(settings.features, settings.strides, strict=True)):
            stride = reversed_axes(strides)
            if residual:
                stages.append(
                    ResidualStack((inputs[n], width), settings.residual_blocks[n], stride, kernels[n])
                )
            else:
                count = settings.convolutions_per_stage
                stack = ConvStack((inputs[n], width), count, stride, kernels[n])
                stages.append(nn.Sequential(stack))  # nnU-Net's names: encoder.stages.N.0.convs
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of every resolution, finest first."""
        x = self.stem(x)
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        return skips


class Decoder(nn.Module):
    """The expanding half; holds nnU-Net's plain 1×1×1 heads (`seg_layers`) when `classes` > 0."""

    def __init__(self, settings: UNetSettings, classes: int = 0) -> None:
        super().__init__()
        widths = settings.features[::-1]
        strides = [reversed_axes(stride) for stride in settings.strides[:0:-1]]
        steps = list(zip(widths[:-1], widths[1:], strides, strict=True))
        self.transpconvs = nn.ModuleList(
            nn.ConvTranspose3d(low, high, stride, stride) for low, high, stride in steps
        )
        count, kernels = settings.decoder_convolutions, kernels_of(settings)[-2::-1]
        self.stages = nn.ModuleList(
            ConvStack((2 * high, high), count, kernel=kernel)
            for (_, high, _), kernel in zip(steps, kernels, strict=True)
        )
        heads = (nn.Conv3d(high, classes, 1) for _, high, _ in steps) if classes else ()
        self.seg_layers = nn.ModuleList(heads)

    def forward(self, skips: list[Tensor]) -> list[Tensor]:
        """Return the decoder features, finest first, one fewer than the encoder's resolutions."""
        x = skips[-1]
        features: list[Tensor] = []
        for up, stage, skip in zip(self.transpconvs, self.stages, skips[-2::-1], strict=True):
            x = stage(torch.cat((up(x), skip), dim=1))
            features.append(x)
        return features[::-1]


class UNet(nn.Module):
    """The backbone: image (b, c, k, j, i) in, decoder features per scale out.

    Attributes:
        feature_counts: channels of each returned scale, finest first.
        strides: cumulative stride of each returned scale along k, j, i.

    """

    def __init__(self, in_channels: int, settings: UNetSettings) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, settings)
        self.decoder = Decoder(settings)
        self.feature_counts: tuple[int, ...] = settings.features[:-1]
        self.strides = cumulative_strides(settings)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return features (b, feature_counts[s], k/strides[s][0], …), finest first."""
        features: list[Tensor] = self.decoder(self.encoder(image))
        return features


class SegmentationNetwork(nn.Module):
    """A U-Net with nnU-Net's plain heads, one 1×1×1 convolution per scale; all names are nnU-Net's."""

    def __init__(self, in_channels: int, classes: int, settings: UNetSettings) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, settings)
        self.decoder = Decoder(settings, classes)

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:  # noqa: ARG002 - one call for all networks
        """Return logits (b, classes, k, j, i) per scale, finest first; `attention` plays no part."""
        features = self.decoder(self.encoder(image))
        heads = reversed(list(self.decoder.seg_layers))
        return [head(x) for head, x in zip(heads, features, strict=True)]


def kernels_of(settings: UNetSettings) -> tuple[Kernel, ...]:
    """Return the kernel of each resolution along k, j, i, finest first; 3 where the settings name none."""
    if settings.kernel_sizes is None:
        return (3,) * len(settings.features)
    return tuple(reversed_axes(kernel) for kernel in settings.kernel_sizes)


def cumulative_strides(settings: UNetSettings) -> tuple[Index3, ...]:
    """Return the stride of each decoder scale against the image, along k, j, i, finest first."""
    strides: list[Index3] = []
    k, j, i = 1, 1, 1
    for step in settings.strides[:-1]:
        k, j, i = k * step[2], j * step[1], i * step[0]
        strides.append((k, j, i))
    return tuple(strides)


def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of all convolutions as nnU-Net does: He's normal for LeakyReLU, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=LEAK, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def from_nnunet(weights: Mapping[str, Tensor], *, heads: bool = True) -> dict[str, Tensor]:
    """Clean the state dict of an nnU-Net network so that it loads strictly here.

    nnU-Net lists each convolution twice more: as `all_modules` of its block, and as `decoder.encoder`.
    Both are the same tensors and are left out. `heads=False` also leaves out `decoder.seg_layers`, which
    only `SegmentationNetwork` has.
    """
    cleaned = {}
    for raw, tensor in weights.items():
        name = raw.removeprefix("module.").removeprefix("_orig_mod.")
        if ".all_modules." in name or name.startswith("decoder.encoder."):
            continue
        if heads or not name.startswith("decoder.seg_layers."):
            cleaned[name] = tensor
    return cleaned
