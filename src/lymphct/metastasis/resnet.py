"""ResNet-18 up to its last feature map, the backbone of the status network (Sec. III-B).

The network of He et al. (arXiv:1512.03385). Tensors have torchvision's names (`conv1`, `bn1`,
`layer2.0.downsample.0`, …), so that ImageNet files fit; the classifier `fc` is left out (decision 0026).
"""

from torch import Tensor, nn

STAGE_FEATURES = (64, 128, 256, 512)
"""Features of the four stages at width 1."""
_BLOCKS = 2
"""Residual blocks of each stage."""


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions whose result is added to the input.

    The first has the stride. Where shapes change, a 1×1 convolution brings the input to the new shape.
    """

    def __init__(self, before: int, features: int, *, stride: int) -> None:
        super().__init__()
        # Drawn first and registered last, as torchvision does: a seed gives the same weights.
        shortcut = _shortcut(before, features, stride) if stride != 1 or before != features else None
        self.conv1 = nn.Conv2d(before, features, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(features, features, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map features (b, before, h, w) to (b, features, h/stride, w/stride), at least 0."""
        kept = x if self.downsample is None else self.downsample(x)
        change = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        change += kept
        features: Tensor = self.act(change)
        return features


class ResNet18(nn.Module):
    """Map an image of three channels to features of a 32nd of its size.

    Convolutions start as He et al. draw them (arXiv:1502.01852, fan out), batch norms as the identity.
    """

    def __init__(self, features: tuple[int, int, int, int] = STAGE_FEATURES) -> None:
        super().__init__()
        first, second, third, fourth = features
        self.conv1 = nn.Conv2d(3, first, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.act = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(first, first, stride=1)
        self.layer2 = _stage(first, second, stride=2)
        self.layer3 = _stage(second, third, stride=2)
        self.layer4 = _stage(third, fourth, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor, gain: Tensor | None = None) -> Tensor:
        """Map images (b, 3, h, w) to features (b, features[3], h/32, w/32), sizes rounded up.

        Args:
            image: the images.
            gain: factors (b, features[0], h/2, w/2) on the features of `Conv1`; None leaves them as they are.

        """
        x = self.act(self.bn1(self.conv1(image)))
        if gain is not None:
            x = x * gain
        x = self.maxpool(x)
        layer4: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return layer4


def _stage(before: int, features: int, *, stride: int) -> nn.Sequential:
    first = ResidualBlock(before, features, stride=stride)
    return nn.Sequential(first, *(ResidualBlock(features, features, stride=1) for _ in range(1, _BLOCKS)))


def _shortcut(before: int, features: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, features, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(features))
