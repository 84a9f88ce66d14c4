"""The status network: tumor texture and lymph node volume together (Sec. III-B, Eq. 6, Eq. 7)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lymphct.metastasis.efficientnet import FIRST_FEATURES, LAST_FEATURES, EfficientNetLite0
from lymphct.metastasis.encoding import TextureEncoding
from lymphct.metastasis.node_score import NodeScore
from lymphct.metastasis.resnet import LAYERS, STAGE_FEATURES, Dimensions, ResNet18
from lymphct.metastasis.settings import StatusNetworkSettings


class MaskBranch(nn.Module):
    """Turn the tumor mask into a gain for each feature of the first convolution (`Conv1`, Sec. III-B).

    Weights start at 0 and biases at 1: at first the pre-trained features pass unchanged. There is no batch
    norm: it would undo this start.
    """

    def __init__(self, features: int, dimensions: Dimensions = 2) -> None:
        super().__init__()
        layers = LAYERS[dimensions]
        # Kernel and stride of Conv1, so that each gain sees what its feature sees.
        self.convolution = layers.convolution(1, features, kernel_size=7, stride=layers.stride, padding=3)
        nn.init.zeros_(self.convolution.weight)
        nn.init.ones_(torch.as_tensor(self.convolution.bias))

    def forward(self, mask: Tensor) -> Tensor:
        """Map masks (b, 1, …) to gains of the shape of the features of `Conv1`, at least 0."""
        return functional.relu(self.convolution(mask))


class VolumeFusion(nn.Module):
    """Add the volume of positive lymph nodes to the features: F_comb = FC(BN(V)) + F (Eq. 7).

    Training needs batches of two or more: the batch norm has one value per patient.
    """

    def __init__(self, features: int, *, log_volume: bool) -> None:
        super().__init__()
        self.log_volume = log_volume
        self.norm = nn.BatchNorm1d(1)
        self.expand = nn.Linear(1, features)

    def forward(self, features: Tensor, volume: Tensor) -> Tensor:
        """Combine features (b, n) with volumes (b,), mm³, 0 where no node is positive."""
        v = volume.float()[:, None]
        v = self.norm(torch.log1p(v) if self.log_volume else v)
        return functional.relu(self.expand(v)) + features


class StatusNetwork(nn.Module):
    """Call a patient N+ or N- from one tumor patch and the node volume (Sec. III-B).

    F = Concat(GAP, TEL): averaged beside texture-encoded features of the patch (Eq. 6), to which the volume
    is added (Eq. 7).

    The ResNet keeps torchvision's parameter names under `resnet.`, so that ImageNet files fit; another
    backbone lies under a name of its own.

    Args:
        settings: parts and sizes.
        node_score: gives the number of the nodes that stands for V, where that is learned (decision 0060);
            kept here with its weights, and asked by those who make the number (`fusing`).

    """

    resnet: ResNet18
    efficientnet: EfficientNetLite0

    def __init__(self, settings: StatusNetworkSettings, node_score: NodeScore | None = None) -> None:
        super().__init__()
        first, second, third, last = (scaled(count, settings.width) for count in STAGE_FEATURES)
        self.settings = settings
        if settings.backbone == "resnet18":
            self.resnet = ResNet18((first, second, third, last))
        else:
            self.efficientnet = EfficientNetLite0()
            first, last = FIRST_FEATURES, LAST_FEATURES
        self.mask_branch = MaskBranch(first) if settings.mask_branch else None
        self.texture = None
        features = last if settings.global_pooling else 0
        if settings.texture_encoding:
            channels = scaled(settings.texture_channels, settings.width)
            self.texture = TextureEncoding(last, channels, settings.codewords)
            features += self.texture.out_features
        self.fusion = (
            VolumeFusion(features, log_volume=settings.log_volume) if settings.volume_fusion else None
        )
        hidden = scaled(settings.hidden_features, settings.width)
        self.classifier = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 2)
        )
        self.node_score = node_score

    @property
    def backbone(self) -> ResNet18 | EfficientNetLite0:
        """What maps a patch to features."""
        return self.resnet if self.settings.backbone == "resnet18" else self.efficientnet

    @property
    def prefix(self) -> str:
        """What the names of the backbone's tensors begin with."""
        return "resnet." if self.settings.backbone == "resnet18" else "efficientnet."

    def forward(self, patches: Tensor, volume: Tensor) -> Tensor:
        """Map patches (b, 3, h, w) and volumes (b,), mm³, to logits (b, 2) of N- and N+.

        The channels of a patch are arterial, venous, tumor mask, whatever `input_channels` says.
        """
        return self.judged(self.patch_features(patches), volume)

    def patch_features(self, patches: Tensor) -> Tensor:
        """Map patches (b, 3, h, w) to their features (b, n), before any volume is added."""
        mask = patches[:, 2:3]
        features = self._layer4(patches, mask)
        parts = []
        if self.settings.global_pooling:
            parts.append(functional.adaptive_avg_pool2d(features, 1).flatten(1))
        if self.texture is not None:
            coverage = functional.adaptive_avg_pool2d(mask, (features.shape[2], features.shape[3]))
            parts.append(self.texture(features, coverage if self.settings.weight_texture_by_mask else None))
        return torch.cat(parts, dim=1)

    def judged(self, features: Tensor, volume: Tensor) -> Tensor:
        """Map features of patches (b, n) and volumes (b,), mm³, to logits (b, 2) of N- and N+."""
        combined = features if self.fusion is None else self.fusion(features, volume)
        logits: Tensor = self.classifier(combined)
        return logits

    def _layer4(self, patches: Tensor, mask: Tensor) -> Tensor:
        image = patches
        if self.settings.input_channels == "arterial venous difference":
            image = torch.cat([patches[:, :2], patches[:, 1:2] - patches[:, :1]], dim=1)
        gain = None if self.mask_branch is None else self.mask_branch(mask)
        layer4: Tensor = self.backbone(image, gain)
        return layer4


def scaled(features: int, width: float) -> int:
    """Return a number of features at a width, at least 1."""
    return max(1, round(features * width))
