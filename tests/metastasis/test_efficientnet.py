"""EfficientNet-Lite0 against its published description, and as a backbone of the status network."""

import pytest
import torch
from torch import nn

from lymphct.core.errors import ModelError
from lymphct.metastasis.efficientnet import (
    FIRST_FEATURES,
    LAST_FEATURES,
    ConvNormAct,
    EfficientNetLite0,
    published_weights,
)
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.pretrained import initialize
from lymphct.metastasis.settings import StatusNetworkSettings

SETTINGS = StatusNetworkSettings(backbone="efficientnet_lite0")


def published(network: EfficientNetLite0) -> dict[str, torch.Tensor]:
    """Return weights under the names of the published file, with what we leave out."""
    generator = torch.Generator().manual_seed(0)
    parts = {
        "expand": ("_expand_conv", "_bn0"),
        "spatial": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    result = {"_conv_head.weight": torch.zeros(8, 320, 1, 1), "_bn1.weight": torch.zeros(8)}
    result["_fc.weight"] = torch.zeros(10, 8)
    for name, tensor in network.state_dict().items():
        words = name.split(".")
        if words[0] == "stem":
            theirs = ["_conv_stem" if words[1] == "convolution" else "_bn0", words[2]]
        else:
            convolution, norm = parts[words[2]]
            theirs = ["_blocks", words[1], convolution if words[3] == "convolution" else norm, words[4]]
        value = torch.rand(tensor.shape, generator=generator) + 0.5
        result[".".join(theirs)] = value if tensor.is_floating_point() else tensor
    return result


def test_it_has_the_published_number_of_weights_and_blocks() -> None:
    network = EfficientNetLite0()
    assert len(network.blocks) == 16
    # 4,652,008 of the whole network without its head of 1280 features and its classifier of 1000 classes.
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert sum(p.numel() for p in network.parameters()) == 4_652_008 - head


@pytest.mark.parametrize("size", [64, 65, 224])
def test_sizes_are_divided_by_32_and_rounded_up(size: int) -> None:
    network = EfficientNetLite0().eval()
    with torch.no_grad():
        features = network(torch.zeros(1, 3, size, size), torch.ones(1, FIRST_FEATURES, 1, 1))
    assert features.shape == (1, LAST_FEATURES, -(-size // 32), -(-size // 32))


def test_an_odd_border_is_padded_right_and_below() -> None:
    layer = ConvNormAct((1, 1), 3, stride=2, active=False).eval()
    nn.init.zeros_(layer.convolution.weight)
    with torch.no_grad():
        layer.convolution.weight[0, 0, 0, 0] = 1.0  # looks at the upper left of its window
        image = torch.arange(16.0).reshape(1, 1, 4, 4)
        seen = layer(image) * (1 + 1e-3) ** 0.5
    # Of four pixels with stride 2 one column is missing, and it is added on the right: windows begin at 0, 2.
    torch.testing.assert_close(seen[0, 0], torch.tensor([[0.0, 2.0], [8.0, 10.0]]))


def test_the_published_names_fill_every_weight() -> None:
    network = EfficientNetLite0()
    renamed = published_weights(published(network))
    assert set(renamed) == set(network.state_dict())
    network.load_state_dict(renamed)


def test_a_status_network_starts_from_published_weights_and_goes_on_from_its_own() -> None:
    network = StatusNetwork(SETTINGS)
    given = published(network.efficientnet)
    initialize(network, given)
    torch.testing.assert_close(network.efficientnet.stem.convolution.weight, given["_conv_stem.weight"])
    again = StatusNetwork(SETTINGS)
    initialize(again, network.state_dict())
    torch.testing.assert_close(again.state_dict(), network.state_dict())


def test_weights_of_the_other_backbone_are_refused_with_the_cure() -> None:
    own, other = StatusNetwork(SETTINGS), StatusNetwork(StatusNetworkSettings(width=0.25))
    with pytest.raises(ModelError, match="the start weights") as raised:
        initialize(own, other.resnet.state_dict())
    assert "lymphct models convert" in str(raised.value.cure)
    with pytest.raises(ModelError, match="the start weights"):
        initialize(other, published(own.efficientnet))


def test_every_part_of_the_network_learns() -> None:
    torch.manual_seed(0)
    network = StatusNetwork(SETTINGS).train()
    patches = torch.randn(4, 3, 64, 64)
    patches[:, 2] = (patches[:, 2] > 0).float()
    logits = network(patches, torch.tensor([0.0, 10.0, 200.0, 3000.0]))
    assert logits.shape == (4, 2)
    logits.square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert [name for name in without if name.startswith("efficientnet.")] == []
