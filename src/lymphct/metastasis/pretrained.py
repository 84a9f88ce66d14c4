"""Start weights of the status network: ImageNet, an earlier status network, or none (Sec. III-B)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from lymphct.core.errors import ModelError
from lymphct.metastasis.efficientnet import published_weights
from lymphct.metastasis.network import StatusNetwork

_FILES: Final = {
    "resnet18": "give a ResNet-18 file with torchvision's names, or weights of this network",
    "efficientnet_lite0": (
        "give the published EfficientNet-Lite0 (`lymphct models convert`), or weights of this network"
    ),
}
"""What to do about weights that do not fit, by backbone."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Pretrained:
    """Start weights from a file.

    Attributes:
        tensors: by name.
        digest: SHA-256 of the file.

    """

    tensors: Mapping[str, Tensor]
    digest: str


def initialize(network: StatusNetwork, tensors: Mapping[str, Tensor] | None) -> None:
    """Load start weights into `network` and log what it starts from.

    `tensors` may have the names of the network itself (it goes on from another status network), those
    of torchvision's ResNet-18 or of the published EfficientNet-Lite0, or be None for a random start.

    Raises:
        ModelError: the weights do not fit.

    """
    if tensors is None:
        logger.info("status network: random start, no ImageNet weights were given")
    elif any(name.startswith(network.prefix) for name in tensors):
        network.load_state_dict(fitting(network, tensors))
        logger.info("status network: starts from an earlier status network")
    else:
        load_imagenet(network, tensors)


def load_imagenet(network: StatusNetwork, tensors: Mapping[str, Tensor]) -> None:
    """Load ImageNet weights with the names of their publishers into the backbone (Sec. III-B).

    Of ResNet-18 these are torchvision's. The three color channels of the first convolution become the three
    input channels as they are. The ImageNet classifier is left out; `num_batches_tracked`, which old files
    lack, may be missing.

    Raises:
        ModelError: a tensor is missing, unknown, or has another shape.

    """
    network.load_state_dict(fitting(network, tensors))
    logger.info("status network: starts from ImageNet weights")


def fitting(network: StatusNetwork, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all weights of the network, with those of a file that fits it in their places.

    Raises:
        ModelError: a tensor is missing, unknown, or has another shape.

    """
    own: dict[str, Tensor] = network.state_dict()
    cure = _FILES[network.settings.backbone]
    if any(name.startswith(network.prefix) for name in tensors):
        _require_same_tensors(own, tensors, cure)
        return dict(tensors)
    wanted: dict[str, Tensor] = network.backbone.state_dict()
    published = dict(tensors)
    if network.settings.backbone == "efficientnet_lite0":
        published = published_weights(published)
    given = {name: wanted[name] for name in wanted if name.endswith("num_batches_tracked")}
    given |= {name: tensor for name, tensor in published.items() if not name.startswith("fc.")}
    _require_same_tensors(wanted, given, cure)
    return own | {f"{network.prefix}{name}": tensor for name, tensor in given.items()}


def _require_same_tensors(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], cure: str) -> None:
    for problem, names in (
        ("lack", sorted(wanted.keys() - given.keys())),
        ("have the unknown", sorted(given.keys() - wanted.keys())),
    ):
        if names:
            msg = f"the start weights {problem} tensor {names[0]} ({len(names)} such tensors)"
            raise ModelError(msg, cure=cure)
    for name, tensor in wanted.items():
        if tensor.shape != given[name].shape:
            msg = (
                f"the start weight {name} has shape {tuple(given[name].shape)}, "
                f"the network needs {tuple(tensor.shape)}"
            )
            raise ModelError(msg, cure="ImageNet files fit ResNet-18 at network width 1 only")
