"""The networks of both stages: U-Net with attention heads, and the same backbone with a classifier."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from lymphct.core.arrays import Index3
from lymphct.core.errors import InputError
from lymphct.learning.settings import UNetSettings
from lymphct.learning.unet import LEAK, ConvNorm, UNet
from lymphct.nodes.feature_ensemble import FeatureEnsemble
from lymphct.nodes.features import feature_set_of
from lymphct.nodes.settings import HeadSettings, IdentificationHeadSettings

LEAST_PRIOR: Final = 0.01
"""Attention below which a prior probability is no lower: where it is 0 a clear image still counts."""


class AttentionHead(nn.Module):
    """Logits of one scale from x · A (Sec. III-A.1).

    The convolution before the norm has no bias: features of zero give exactly the norm's bias, so the logits
    of a window without attention are a constant.
    """

    def __init__(self, features: int, classes: int, *, extra_block: bool) -> None:
        super().__init__()
        self.block = ConvNorm((features, features), kernel=1) if extra_block else None
        self.last = nn.Conv3d(features, classes, 1)

    def forward(self, x: Tensor, attention: Tensor) -> Tensor:
        """Map x (b, features, k, j, i) and A (b, 1, k, j, i) to logits (b, classes, k, j, i)."""
        x = x * attention
        if self.block is not None:
            x = self.block(x)
        logits: Tensor = self.last(x)
        return logits

    def constant(self) -> Tensor:
        """Return the logits (classes,) of features that are zero everywhere, float32."""
        # Summed in double precision: the same bits on every device and under mixed precision.
        logits = self.last.bias.double() if self.last.bias is not None else torch.zeros(())
        if self.block is not None:
            x = nn.functional.leaky_relu(self.block.norm.bias.double(), LEAK)
            logits = logits + (self.last.weight.flatten(1).double() * x).sum(dim=1)
        return logits.float()


class NodeNetwork(nn.Module):
    """Stage 1: U-Net with an attention head at every scale of deep supervision (Sec. III-A.1)."""

    def __init__(self, in_channels: int, unet: UNetSettings, heads: HeadSettings, classes: int = 2) -> None:
        super().__init__()
        self.settings = heads
        self.unet = UNet(in_channels + int(heads.attention_channel), unet)
        self.heads = nn.ModuleList(
            AttentionHead(count, classes, extra_block=heads.extra_block) for count in self.unet.feature_counts
        )

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        """Return logits (b, classes, k, j, i) per scale, finest first.

        Args:
            image: (b, c, k, j, i) normalised intensities.
            attention: (b, 1, k, j, i) in [0, 1]; may be left out where the settings make no use of it.

        Raises:
            InputError: the settings need an attention map and none is given.

        """
        if attention is None and self.needs_attention:
            msg = "this network needs an attention map and was given none"
            raise InputError(msg, cure="compute one with attention.mapping.attention_map")
        shown, prior = image, attention
        if attention is not None and self.settings.attention_channel:
            shown = torch.cat((image, attention.to(image.dtype)), dim=1)
        if attention is None or not self.settings.use_attention:
            attention = torch.ones_like(image[:, :1])
        features = self.unet(shown)
        pyramid = attention_pyramid(attention, self.unet.strides)
        logits = [head(x, a) for head, x, a in zip(self.heads, features, pyramid, strict=True)]
        if prior is not None and self.settings.log_prior:
            maps = attention_pyramid(prior, self.unet.strides)
            logits = [self._with_prior(x, a) for x, a in zip(logits, maps, strict=True)]
        constant = self.background_logits()
        if not self.training and constant is not None:
            # What the head computes for A = 0, freed of rounding: skipped and computed windows agree in
            # every bit, whatever kernels the library chose for their sizes.
            empty = attention.amax(dim=(1, 2, 3, 4), keepdim=True) <= 0
            logits[0] = torch.where(empty, constant.reshape(1, -1, 1, 1, 1), logits[0].float())
        return logits

    @property
    def needs_attention(self) -> bool:
        """Whether the settings make any use of an attention map."""
        heads = self.settings
        return heads.use_attention or heads.attention_channel or heads.log_prior > 0

    def _with_prior(self, logits: Tensor, attention: Tensor) -> Tensor:
        """Add the logarithm of attention (b, 1, k, j, i) to the logit of a lymph node, class 1."""
        prior = self.settings.log_prior * torch.log(attention.clamp(min=LEAST_PRIOR).to(logits.dtype))
        return torch.cat((logits[:, :1], logits[:, 1:2] + prior, logits[:, 2:]), dim=1)

    @torch.no_grad()
    def background_logits(self) -> Tensor | None:
        """Return the finest scale's logits (classes,) where a whole window has A = 0.

        None when windows without attention have no constant logits: attention off, or also an input channel.
        """
        if not self.settings.use_attention or self.settings.attention_channel:
            return None
        constant: Tensor = self.heads[0].constant()  # type: ignore[operator] # ModuleList forgets its type
        if self.settings.log_prior:
            constant[1] += self.settings.log_prior * math.log(LEAST_PRIOR)
        return constant


def attention_pyramid(attention: Tensor, strides: Sequence[Index3]) -> list[Tensor]:
    """Average A (b, 1, k, j, i) over the voxels of each scale; a constant map stays constant."""
    return [
        nn.functional.avg_pool3d(attention, stride, stride) if max(stride) > 1 else attention
        for stride in strides
    ]


class MaskBranch(nn.Module):
    """Turn the mask of the node into a gain for each decoder feature.

    Weights start at 0 and biases at 1: at first the features of stage 1 pass unchanged.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, features, 3, padding=1)
        self.restart()

    def restart(self) -> None:
        """Return to the gain of 1."""
        nn.init.zeros_(self.conv.weight)
        if self.conv.bias is not None:
            nn.init.ones_(self.conv.bias)

    def forward(self, mask: Tensor) -> Tensor:
        """Map a mask (b, 1, k, j, i) of 0 and 1 to gains (b, features, k, j, i), not negative."""
        return nn.functional.relu(self.conv(mask))


class IdentificationNetwork(nn.Module):
    """Stage 2: the backbone of stage 1 and a classifier on the features within the node's box (Sec. III-A.2).

    The mean and SD that standardise the node features are buffers: they travel with the weights.
    """

    ADDED: ClassVar = ("iou.",)
    """Beginnings of the names of weights that the same network can lack, and that then begin anew."""

    feature_mean: Tensor
    feature_sd: Tensor

    def __init__(self, in_channels: int, unet: UNetSettings, head: IdentificationHeadSettings) -> None:
        super().__init__()
        self.settings = head
        self.unet = UNet(in_channels, unet)
        counts = self.unet.feature_counts
        learned = sum(counts) if head.multi_scale else counts[0]
        learned += (head.mask_average + head.slice_pooling) * counts[0]
        measured = len(feature_set_of(head).columns)
        given = measured if head.node_features else 0
        self.mask_branch = MaskBranch(counts[0]) if head.mask_branch else None
        self.classifier = nn.Sequential(
            nn.Linear(learned + given, head.hidden), nn.LeakyReLU(LEAK), nn.Linear(head.hidden, head.classes)
        )
        self.baseline = nn.Linear(given, head.classes) if given and head.logistic_start else None
        has_ensemble = given and head.ensemble.members
        self.ensemble = FeatureEnsemble(given, head.classes, head.ensemble) if has_ensemble else None
        # The last one: without it all others begin as they always did.
        self.iou = nn.Linear(head.hidden, 1) if head.predict_iou else None
        self.register_buffer("feature_mean", torch.zeros(measured))
        self.register_buffer("feature_sd", torch.ones(measured))

    def forward(self, image: Tensor, mask: Tensor, box: Tensor, features: Tensor) -> Tensor:
        """Return logits (b, classes): negative, positive and, with three classes, not a lymph node.

        With `predict_iou` a further, last column is the logit of the IoU of the mask with the true node.

        Args:
            image: (b, c, k, j, i) crops centred on the nodes, normalised intensities.
            mask: (b, 1, k, j, i) 1 within the node.
            box: (b, 2, 3) first and last + 1 voxel of the box, along k, j, i; not empty.
            features: (b, columns) of the settings' set as measured, NaN where missing; a missing one becomes
                the mean.

        """
        decoded = self.unet(image)
        if self.mask_branch is not None:
            decoded[0] = decoded[0] * self.mask_branch(mask)
        scales = len(decoded) if self.settings.multi_scale else 1
        pooled = [
            box_average(x, box, stride)
            for x, stride in zip(decoded[:scales], self.unet.strides[:scales], strict=True)
        ]
        if self.settings.mask_average:
            pooled.append(mask_average(decoded[0], mask))
        if self.settings.slice_pooling:
            pooled.append(slice_maximum(decoded[0], mask))
        standard = torch.nan_to_num((features - self.feature_mean) / self.feature_sd, nan=0.0)
        if self.settings.node_features:
            pooled.append(standard.to(pooled[0].dtype))
        hidden = self.classifier[:-1](torch.cat(pooled, dim=1))
        logits: Tensor = self.classifier[-1](hidden)
        for start in (self.baseline, self.ensemble):
            logits = logits if start is None else logits + start(standard)
        return logits if self.iou is None else torch.cat((logits, self.iou(hidden)), dim=1)

    @torch.no_grad()
    def start_from_baseline(self, weights: Tensor, intercept: float) -> None:
        """Let the logits be those of a logistic regression on standardised node features, until trained on.

        Args:
            weights: (features,) of the logit of positive against negative.
            intercept: of the same logit.

        """
        if self.baseline is None:
            return
        halves = weights.new_tensor([-0.5, 0.5])
        for parameter in (*self.classifier[-1].parameters(), *self.baseline.parameters()):
            parameter.zero_()
        self.baseline.weight[:2] = halves[:, None] * weights
        self.baseline.bias[:2] = halves * intercept

    @torch.no_grad()
    def start_from_ensemble(self, buffers: Mapping[str, Tensor]) -> None:
        """Let the logits be those of an ensemble on the node features (its buffers), until trained on."""
        if self.ensemble is None:
            return
        for parameter in self.classifier[-1].parameters():
            parameter.zero_()
        self.ensemble.load_state_dict(dict(buffers))


def mask_average(x: Tensor, mask: Tensor) -> Tensor:
    """Average features (b, c, k, j, i) over the voxels of a non-empty mask (b, 1, k, j, i): (b, c)."""
    average: Tensor = (x * mask).sum(dim=(2, 3, 4)) / mask.sum(dim=(2, 3, 4)).clamp(min=1.0)
    return average


def slice_maximum(x: Tensor, mask: Tensor) -> Tensor:
    """Average features (b, c, k, j, i) over a mask (b, 1, k, j, i) in each axial slice; the largest: (b, c).

    A slice without the node does not count, and an empty mask gives 0. The maximum and no learned attention:
    a necrotic core shows on few slices, and there is nothing to learn from few nodes.
    """
    voxels = mask.sum(dim=(3, 4))
    averages = (x * mask).sum(dim=(3, 4)) / voxels.clamp(min=1.0)
    there = voxels > 0
    largest = averages.masked_fill(~there, torch.finfo(averages.dtype).min).amax(dim=2)
    return torch.where(there.any(dim=2), largest, torch.zeros_like(largest))


def box_average(x: Tensor, box: Tensor, stride: Index3) -> Tensor:
    """Average features (b, c, k, j, i) of a scale over boxes (b, 2, 3) in voxels of the image: (b, c)."""
    averages = []
    for features, (low, high) in zip(x, box.tolist(), strict=True):
        # A voxel of a coarser scale belongs to the box when they share any voxel of the image.
        k, j, i = (slice(a // s, -(-b // s)) for a, b, s in zip(low, high, stride, strict=True))
        averages.append(features[:, k, j, i].mean(dim=(1, 2, 3)))
    return torch.stack(averages)
