"""EfficientNet-Lite0 up to its last block: a small backbone with free ImageNet weights (decision 0055).

The network of Tan and Le (arXiv:1905.11946) without its squeeze-and-excitation and with ReLU6, as published
for small devices. Borders are padded as TensorFlow pads them, which the published weights were trained with.
"""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

FIRST_FEATURES: Final = 32
LAST_FEATURES: Final = 320
_STAGES: Final = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Widening, features, blocks, stride of the first block, kernel."""


class ConvNormAct(nn.Module):
    """Convolution without bias, batch norm and, where asked for, ReLU6; sizes are divided by the stride."""

    def __init__(
        self, features: tuple[int, int], kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(*features, kernel, stride=stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(features[1], eps=1e-3, momentum=0.01)
        self.active = active
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, features[0], h, w) to (b, features[1], h/stride, w/stride), rounded up."""
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        padding: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            # What is odd goes to the right and below.
            padding += [missing // 2, missing - missing // 2]
        x = self.norm(self.convolution(functional.pad(x, padding)))
        return functional.relu6(x) if self.active else x


class InvertedBlock(nn.Module):
    """Widen, look at the neighbourhood of each feature by itself, narrow; added to the input if it fits."""

    def __init__(self, before: int, features: int, *, widening: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = before * widening
        self.expand = ConvNormAct((before, wide), 1) if widening > 1 else None
        self.spatial = ConvNormAct((wide, wide), kernel, stride=stride, groups=wide)
        self.project = ConvNormAct((wide, features), 1, active=False)
        self.is_added = stride == 1 and before == features

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, before, h, w) to (b, features, h/stride, w/stride)."""
        wide = x if self.expand is None else self.expand(x)
        change: Tensor = self.project(self.spatial(wide))
        return x + change if self.is_added else change


class EfficientNetLite0(nn.Module):
    """Map an image of three channels to 320 features of a 32nd of its size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNormAct((3, FIRST_FEATURES), 3, stride=2)
        blocks, before = [], FIRST_FEATURES
        for widening, features, count, stride, kernel in _STAGES:
            for number in range(count):
                here = stride if number == 0 else 1
                blocks.append(InvertedBlock(before, features, widening=widening, stride=here, kernel=kernel))
                before = features
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor, gain: Tensor | None = None) -> Tensor:
        """Map images (b, 3, h, w) to features (b, 320, h/32, w/32), sizes rounded up.

        Args:
            image: (b, 3, h, w).
            gain: factors on the features of the first convolution, of their shape; None leaves them.

        """
        x: Tensor = self.stem(image)
        if gain is not None:
            x = x * gain
        for block in self.blocks:
            x = block(x)
        return x


_PARTS: Final = {
    "_conv_stem": "stem.convolution", "_bn0": "stem.norm",
    "_expand_conv": "expand.convolution", "_depthwise_conv": "spatial.convolution",
    "_project_conv": "project.convolution",
}  # fmt: skip
_NORMS: Final = {"_bn0": "expand.norm", "_bn1": "spatial.norm", "_bn2": "project.norm"}
_LEFT_OUT: Final = ("_conv_head.", "_bn1.", "_fc.")
"""Of the published network: what follows the last block, and the classifier of ImageNet."""


def published_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the published PyTorch file under the names of `EfficientNetLite0`.

    What is left out there is left out here; names that are not known stay as they are.

    >>> import torch
    >>> list(published_weights({"_blocks.3._bn2.bias": torch.zeros(1), "_fc.bias": torch.zeros(1)}))
    ['blocks.3.project.norm.bias']
    """
    return {_renamed(name): tensor for name, tensor in tensors.items() if not name.startswith(_LEFT_OUT)}


def _renamed(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "_blocks" and len(parts) == 4:
        return ".".join(
            ["blocks", parts[1], _NORMS.get(parts[2]) or _PARTS.get(parts[2], parts[2]), parts[3]]
        )
    return ".".join([_PARTS.get(parts[0], parts[0]), *parts[1:]])
