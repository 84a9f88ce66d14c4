"""ResNet3D-18 with the mask branch, and its start from Kinetics weights (Sec. IV-E)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lymphct.core.errors import ModelError
from lymphct.metastasis.network import MaskBranch, scaled
from lymphct.metastasis.resnet import STAGE_FEATURES, ResNet18
from lymphct.metastasis.settings import StatusNetworkSettings


class ResNet3D(nn.Module):
    """Call a patient N+ or N- from a box around the tumor.

    Features of a 3-D ResNet-18 whose `Conv1` is scaled by the tumor mask, averaged, and classified as in the
    status network. The slices stand where the frames of a film stood in the networks with Kinetics weights.
    """

    def __init__(self, settings: StatusNetworkSettings) -> None:
        super().__init__()
        first, second, third, last = (scaled(count, settings.width) for count in STAGE_FEATURES)
        self.sees_difference = settings.input_channels == "arterial venous difference"
        self.resnet = ResNet18((first, second, third, last), dimensions=3)
        self.mask_branch = MaskBranch(first, dimensions=3)
        hidden = scaled(settings.hidden_features, settings.width)
        self.classifier = nn.Sequential(nn.Linear(last, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 2))

    def forward(self, box: Tensor) -> Tensor:
        """Map boxes (b, 3, k, j, i) of arterial, venous and tumor mask to logits (b, 2) of N- and N+."""
        image, mask = box, box[:, 2:3]
        if self.sees_difference:
            image = torch.cat([box[:, :2], box[:, 1:2] - box[:, :1]], dim=1)
        features = self.resnet(image, self.mask_branch(mask))
        logits: Tensor = self.classifier(functional.adaptive_avg_pool3d(features, 1).flatten(1))
        return logits


def build_resnet3d(
    settings: StatusNetworkSettings, kinetics: Mapping[str, Tensor] | None, *, seed: int
) -> ResNet3D:
    """Build the network with random weights that depend on the seed alone, and Kinetics weights over them.

    Raises:
        ModelError: the weights do not fit.

    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResNet3D(settings)
    if kinetics is not None:
        network.resnet.load_state_dict(fitting(network.resnet.state_dict(), kinetics))
    return network


def fitting(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the backbone from a file of `3D-ResNets-PyTorch`, tensor by tensor.

    The names are those of the backbone. The three color channels become the three input channels as they are,
    as with ImageNet weights. The classifier (`fc.`) is left out, and `num_batches_tracked` may be missing.

    Raises:
        ModelError: a tensor is missing, unknown, or has another shape.

    """
    backbone = {name: tensor for name, tensor in given.items() if not name.startswith("fc.")}
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    problems = [
        *(f"lack tensor {name}" for name in sorted(own.keys() - backbone.keys() - counters)),
        *(f"have the unknown tensor {name}" for name in sorted(backbone.keys() - own.keys())),
        *(
            f"have tensor {name} of shape {tuple(backbone[name].shape)}, not {tuple(own[name].shape)}"
            for name in own
            if name in backbone and backbone[name].shape != own[name].shape
        ),
    ]
    if problems:
        msg = f"the Kinetics weights {problems[0]} ({len(problems)} such problems)"
        cure = "give those of a 3-D ResNet-18 with shortcuts of type B, converted as docs/baselines.md says"
        raise ModelError(msg, cure=cure)
    return dict(own) | backbone
