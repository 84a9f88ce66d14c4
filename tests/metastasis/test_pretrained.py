import logging

import pytest
import torch
from torch import Tensor

from lymphct.core.errors import ModelError
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.pretrained import fitting, initialize, load_imagenet
from lymphct.metastasis.settings import StatusNetworkSettings

torch.set_num_threads(1)


def torchvision_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's resnet18, written down from its definition."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    before = 64
    for stage, features in ((1, 64), (2, 128), (3, 256), (4, 512)):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (features, before, 3, 3)
            shapes |= norm(f"{name}.bn1", features)
            shapes[f"{name}.conv2.weight"] = (features, features, 3, 3)
            shapes |= norm(f"{name}.bn2", features)
            if before != features:
                shapes[f"{name}.downsample.0.weight"] = (features, before, 1, 1)
                shapes |= norm(f"{name}.downsample.1", features)
            before = features
    return shapes | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def norm(name: str, features: int) -> dict[str, tuple[int, ...]]:
    vectors = {f"{name}.{part}": (features,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**vectors, f"{name}.num_batches_tracked": ()}


def imagenet(*, batches_tracked: bool = True) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(7)
        for name, shape in torchvision_shapes().items()
        if batches_tracked or shape
    }


@pytest.fixture(scope="module")
def network() -> StatusNetwork:
    return StatusNetwork(StatusNetworkSettings())


def test_the_backbone_has_the_names_and_shapes_of_torchvision(network: StatusNetwork) -> None:
    ours = {name: tuple(tensor.shape) for name, tensor in network.resnet.state_dict().items()}
    theirs = torchvision_shapes()
    assert len(theirs) == 122
    assert ours == {name: shape for name, shape in theirs.items() if not name.startswith("fc.")}


@pytest.mark.parametrize("batches_tracked", [True, False])
def test_imagenet_weights_arrive_as_they_are(network: StatusNetwork, *, batches_tracked: bool) -> None:
    tensors = imagenet(batches_tracked=batches_tracked)
    load_imagenet(network, tensors)
    loaded = network.resnet.state_dict()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors if not name.startswith("fc."))


def test_a_missing_tensor_is_named(network: StatusNetwork) -> None:
    tensors = imagenet()
    del tensors["layer3.1.conv2.weight"]
    with pytest.raises(ModelError, match=r"lack tensor layer3\.1\.conv2\.weight \(1 such tensors\)"):
        load_imagenet(network, tensors)


def test_an_unknown_tensor_is_named(network: StatusNetwork) -> None:
    with pytest.raises(ModelError, match=r"unknown tensor layer1\.2\.conv1\.weight"):
        load_imagenet(network, imagenet() | {"layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)})


def test_a_narrow_network_refuses_imagenet_weights() -> None:
    narrow = StatusNetwork(StatusNetworkSettings(width=0.125))
    with pytest.raises(ModelError, match=r"shape \(64, 3, 7, 7\), the network needs \(8, 3, 7, 7\).*width 1"):
        load_imagenet(narrow, imagenet())


def test_looking_whether_weights_fit_changes_no_network() -> None:
    network = StatusNetwork(StatusNetworkSettings())
    before = {name: x.clone() for name, x in network.state_dict().items()}
    found = fitting(network, imagenet())
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    assert torch.equal(found["resnet.conv1.weight"], imagenet()["conv1.weight"])
    assert torch.equal(found["classifier.0.weight"], before["classifier.0.weight"])


def test_weights_of_a_status_network_start_another(caplog: pytest.LogCaptureFixture) -> None:
    settings = StatusNetworkSettings(width=0.125)
    first, second = StatusNetwork(settings), StatusNetwork(settings)
    with caplog.at_level(logging.INFO):
        initialize(second, first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert "starts from an earlier status network" in caplog.text


def test_the_log_says_what_the_network_starts_from(
    network: StatusNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        initialize(network, None)
        assert "random start" in caplog.text
        caplog.clear()
        initialize(network, imagenet())
        assert "ImageNet" in caplog.text
