"""ResNet-18 up to its last feature map, in 2-D the backbone of the status network (Sec. III-B).

The network of He et al. (arXiv:1512.03385). Tensors have torchvision's names (`conv1`, `bn1`,
`layer2.0.downsample.0`, …), so that ImageNet files fit; the classifier `fc` is left out (decision 0026).
"""

from typing import Any, Final, Literal, NamedTuple

from torch import Tensor, nn

Dimensions = Literal[2, 3]
STAGE_FEATURES = (64, 128, 256, 512)
"""Features of the four stages at width 1."""
_BLOCKS = 2
"""Residual blocks of each stage."""


class Layers(NamedTuple):
    """The layers of a number of dimensions, and the stride of `Conv1`."""

    convolution: type[nn.Conv2d | nn.Conv3d]
    norm: type[nn.BatchNorm2d | nn.BatchNorm3d]
    pool: type[nn.MaxPool2d | nn.MaxPool3d]
    stride: Any


LAYERS: Final[dict[Dimensions, Layers]] = {
    2: Layers(nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, 2),
    # The first axis, time in the networks with Kinetics weights, keeps its size in Conv1.
    3: Layers(nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, (1, 2, 2)),
}


class ResidualBlock(nn.Module):
    """Two convolutions of width 3 whose result is added to the input.

    The first has the stride. Where shapes change, one of width 1 brings the input to the new shape.
    """

    def __init__(self, before: int, features: int, *, stride: int, layers: Layers) -> None:
        super().__init__()
        # Drawn first and registered last, as torchvision does: a seed gives the same weights.
        shortcut = _shortcut(before, features, stride, layers) if stride != 1 or before != features else None
        self.conv1 = layers.convolution(before, features, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = layers.norm(features)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = layers.convolution(features, features, kernel_size=3, padding=1, bias=False)
        self.bn2 = layers.norm(features)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map features (b, before, …) to (b, features, …/stride), at least 0."""
        kept = x if self.downsample is None else self.downsample(x)
        change = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        change += kept
        features: Tensor = self.act(change)
        return features


class ResNet18(nn.Module):
    """Map an image of three channels to features of a 32nd of its size (3-D: a 16th along the first axis).

    Convolutions start as He et al. draw them (arXiv:1502.01852, fan out), batch norms as the identity.
    """

    def __init__(
        self, features: tuple[int, int, int, int] = STAGE_FEATURES, dimensions: Dimensions = 2
    ) -> None:
        super().__init__()
        layers = LAYERS[dimensions]
        first, second, third, fourth = features
        self.conv1 = layers.convolution(3, first, kernel_size=7, stride=layers.stride, padding=3, bias=False)
        self.bn1 = layers.norm(first)
        self.act = nn.ReLU(inplace=True)
        self.maxpool = layers.pool(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(first, first, 1, layers)
        self.layer2 = _stage(first, second, 2, layers)
        self.layer3 = _stage(second, third, 2, layers)
        self.layer4 = _stage(third, fourth, 2, layers)
        for module in self.modules():
            if isinstance(module, layers.convolution):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor, gain: Tensor | None = None) -> Tensor:
        """Map images (b, 3, …) to features (b, features[3], …), sizes rounded up.

        Args:
            image: (b, 3, h, w) or (b, 3, k, j, i).
            gain: factors on the features of `Conv1`, of their shape; None leaves them as they are.

        """
        x = self.act(self.bn1(self.conv1(image)))
        if gain is not None:
            x = x * gain
        x = self.maxpool(x)
        layer4: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return layer4


def _stage(before: int, features: int, stride: int, layers: Layers) -> nn.Sequential:
    first = ResidualBlock(before, features, stride=stride, layers=layers)
    others = (ResidualBlock(features, features, stride=1, layers=layers) for _ in range(1, _BLOCKS))
    return nn.Sequential(first, *others)


def _shortcut(before: int, features: int, stride: int, layers: Layers) -> nn.Sequential:
    convolution = layers.convolution(before, features, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(convolution, layers.norm(features))
