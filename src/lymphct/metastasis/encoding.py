"""The texture encoding layer: orderless residuals to learned codewords (Sec. III-B; DeepTEN)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class TextureEncoding(nn.Module):
    """Describe a feature map by how its positions differ from K codewords, wherever they lie (Sec. III-B).

    x_i are the positions after a 1×1 convolution; a_ik = softmax_k(-s_k ‖x_i - c_k‖²) and
    e_k = Σ_i a_ik (x_i - c_k). The codewords c and smoothing factors s are learned.

    Args:
        in_channels: features of the map.
        channels: features after the 1×1 convolution, D.
        codewords: number of codewords, K.

    """

    def __init__(self, in_channels: int, channels: int = 64, codewords: int = 8) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        # Start of DeepTEN: small codewords, smoothing factors between 0 and 1.
        bound = (channels * codewords) ** -0.5
        self.codewords = nn.Parameter(torch.empty(codewords, channels).uniform_(-bound, bound))
        self.smoothing = nn.Parameter(torch.empty(codewords).uniform_(0.0, 1.0))
        self.out_features = channels * codewords

    def forward(self, features: Tensor, coverage: Tensor | None = None) -> Tensor:
        """Encode (b, c, h, w) features as (b, K·D) vectors of length 1, codeword after codeword.

        `coverage` (b, 1, h, w) weighs the positions, for instance by the share of tumor in each; where it is
        0 everywhere the result is 0.
        """
        # Squared distances lose too much in half precision.
        x = self.reduce(features).flatten(2).transpose(1, 2).float()
        residuals = x[:, :, None] - self.codewords  # (b, positions, K, D)
        assignment = torch.softmax(-self.smoothing * residuals.square().sum(-1), dim=-1)
        if coverage is not None:
            assignment = assignment * coverage.float().flatten(1)[:, :, None]
        encoded = (assignment[..., None] * residuals).sum(1)
        return functional.normalize(encoded.flatten(1), dim=1)
