"""Our ResNet-18 is MONAI's with `conv1_t_stride=2` and `bias_downsample=False`: names, numbers, start."""

import pytest
import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from lymphct.metastasis.resnet import ResNet18

torch.set_num_threads(1)

WIDTHS = [(8, 16, 32, 64), (5, 5, 7, 7)]
"""A narrow network, and one with equal neighbours, where only the stride changes the shape."""


def ours(features: tuple[int, int, int, int], seed: int = 3) -> ResNet18:
    torch.manual_seed(seed)
    return ResNet18(features)


def theirs(features: tuple[int, int, int, int], seed: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    network: nn.Module = ResNet(
        "basic", [2, 2, 2, 2], list(features), spatial_dims=2, n_input_channels=3, conv1_t_size=7,
        conv1_t_stride=2, bias_downsample=False, feed_forward=False,
    )  # fmt: skip
    return network


def images(height: int = 64, width: int = 48) -> Tensor:
    return torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(2))


def pooled(features: Tensor) -> Tensor:
    return nn.functional.adaptive_avg_pool2d(features, 1).flatten(1)


@pytest.mark.parametrize("features", WIDTHS)
def test_a_seed_gives_the_same_tensors_by_the_same_names_in_the_same_order(
    features: tuple[int, int, int, int],
) -> None:
    mine, peer = ours(features).state_dict(), theirs(features).state_dict()
    assert list(mine) == list(peer)
    assert all(torch.equal(mine[name], peer[name]) for name in mine)


def test_as_many_numbers_are_drawn_so_that_what_follows_is_the_same_too() -> None:
    ours(WIDTHS[0])
    mine = torch.rand(4)
    theirs(WIDTHS[0])
    assert torch.equal(mine, torch.rand(4))


@pytest.mark.parametrize("features", WIDTHS)
@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_statistics_are_equal(
    features: tuple[int, int, int, int],
    training: bool,  # noqa: FBT001 - a case
) -> None:
    mine, peer = ours(features, seed=1), theirs(features, seed=2)
    peer.load_state_dict(mine.state_dict())
    mine.train(training), peer.train(training)
    for size in ((64, 48), (33, 65)):
        found, known = pooled(mine(images(*size))), peer(images(*size))
        torch.testing.assert_close(found, known, rtol=1e-6, atol=1e-6)
        assert (known.std(dim=0) > 0).any()
    for name, tensor in mine.state_dict().items():
        torch.testing.assert_close(tensor, peer.state_dict()[name], rtol=1e-6, atol=1e-6)


def test_gradients_are_equal() -> None:
    mine, peer = ours(WIDTHS[0]).train(), theirs(WIDTHS[0]).train()
    torch.autograd.backward(pooled(mine(images())).square().sum())
    torch.autograd.backward(peer(images()).square().sum())
    gradients = [{name: p.grad for name, p in network.named_parameters()} for network in (mine, peer)]
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient is not None
        assert gradient.any(), name
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-5, atol=1e-6)


def test_at_width_1_it_has_the_parameters_of_resnet_18_without_its_classifier() -> None:
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_689_512 - 1000 * 512 - 1000


def test_sizes_shrink_to_a_32nd_rounded_up_and_nothing_is_below_0() -> None:
    features = ours(WIDTHS[0]).eval()(images(96, 70))
    assert features.shape == (3, 64, 3, 3)
    assert (features >= 0).all()


def test_a_gain_scales_the_features_of_conv1_before_they_are_pooled() -> None:
    network = ours(WIDTHS[0]).eval().requires_grad_(requires_grad=False)
    gain = torch.ones(3, 8, 32, 24)
    assert torch.equal(network(images(), gain), network(images()))
    seen: list[Tensor] = []
    network.layer1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(images())
    network(images(), 3 * gain)
    torch.testing.assert_close(seen[1], 3 * seen[0])
