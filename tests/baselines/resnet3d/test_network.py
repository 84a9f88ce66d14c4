"""ResNet3D-18: MONAI's numbers, a mask branch that starts as nothing, and weights that fit or are refused."""

import pytest
import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from lymphct.baselines.resnet3d.network import ResNet3D, build_resnet3d, fitting
from lymphct.core.errors import ModelError
from lymphct.metastasis.resnet import ResNet18
from lymphct.metastasis.settings import StatusNetworkSettings

torch.set_num_threads(1)

FEATURES = (4, 6, 8, 10)
NARROW = StatusNetworkSettings(width=0.0625)


def theirs(seed: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    network: nn.Module = ResNet(
        "basic", [2, 2, 2, 2], list(FEATURES), spatial_dims=3, n_input_channels=3, conv1_t_size=7,
        conv1_t_stride=(1, 2, 2), bias_downsample=False, feed_forward=False,
    )  # fmt: skip
    return network


def ours(seed: int = 3) -> ResNet18:
    torch.manual_seed(seed)
    return ResNet18(FEATURES, dimensions=3)


def boxes(depth: int = 20, width: int = 36, seed: int = 2) -> Tensor:
    return torch.randn(2, 3, depth, width, 32, generator=torch.Generator().manual_seed(seed))


def test_a_seed_gives_monais_tensors_by_the_same_names_in_the_same_order() -> None:
    mine, peer = ours().state_dict(), theirs().state_dict()
    assert list(mine) == list(peer)
    assert all(torch.equal(mine[name], peer[name]) for name in mine)


@pytest.mark.parametrize("training", [False, True])
def test_outputs_statistics_and_gradients_are_monais(training: bool) -> None:  # noqa: FBT001 - a case
    mine, peer = ours(), theirs(4)
    peer.load_state_dict(mine.state_dict())
    mine.train(training), peer.train(training)
    for box in (boxes(), boxes(17, 33)):
        found = nn.functional.adaptive_avg_pool3d(mine(box), 1).flatten(1)
        known = peer(box)
        torch.testing.assert_close(found, known, rtol=1e-5, atol=1e-6)
        assert (known.std(dim=0) > 0).any()
        torch.autograd.backward(found.square().sum())
        torch.autograd.backward(known.square().sum())
    for (name, one), (_, other) in zip(mine.named_parameters(), peer.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)
    for name, tensor in mine.state_dict().items():
        torch.testing.assert_close(tensor, peer.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_at_width_1_it_has_the_parameters_of_a_3d_resnet_18() -> None:
    """torchvision's has 33,371,472: a classifier of 400 films, and a Conv1 that is 3 deep where ours is 7."""
    count = sum(p.numel() for p in ResNet18(dimensions=3).parameters())
    assert count == 33_371_472 - (512 * 400 + 400) + (7 - 3) * 7 * 7 * 3 * 64


def test_the_slices_keep_their_number_in_conv1_and_all_sizes_shrink_rounded_up() -> None:
    assert ours().eval()(boxes(20, 36)).shape == (2, 10, 2, 2, 1)
    assert ours().conv1(boxes(20, 36)).shape == (2, 4, 20, 18, 16)


def test_a_fresh_mask_branch_leaves_the_features_as_they_are() -> None:
    network = build_resnet3d(NARROW, None, seed=0).eval()
    box = boxes()
    with torch.no_grad():
        pooled = nn.functional.adaptive_avg_pool3d(network.resnet(box), 1).flatten(1)
        assert torch.equal(network(box), network.classifier(pooled))
        nn.init.constant_(torch.as_tensor(network.mask_branch.convolution.bias), 0.0)
        dark = network(box)
    assert not torch.equal(dark, network.classifier(pooled))


def test_the_difference_of_the_phases_can_stand_for_the_mask() -> None:
    torch.manual_seed(0)
    network = ResNet3D(NARROW.model_copy(update={"input_channels": "arterial venous difference"})).eval()
    seen: list[Tensor] = []
    network.resnet.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    box = boxes()
    network(box)
    assert torch.equal(seen[0][:, :2], box[:, :2])
    assert torch.equal(seen[0][:, 2], box[:, 1] - box[:, 0])


def test_random_weights_depend_on_the_seed_alone_and_leave_the_generator_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, second, other = (build_resnet3d(NARROW, None, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["resnet.conv1.weight"], other["resnet.conv1.weight"])


def kinetics() -> dict[str, Tensor]:
    """A file of 3D-ResNets-PyTorch, as narrow as the network: its backbone and a classifier of films."""
    torch.manual_seed(9)
    backbone = ResNet3D(NARROW).resnet.state_dict()
    return {**backbone, "fc.weight": torch.ones(1039, 32), "fc.bias": torch.ones(1039)}


def test_kinetics_weights_come_into_the_backbone_and_nowhere_else() -> None:
    given, plain = kinetics(), build_resnet3d(NARROW, None, seed=1).state_dict()
    started = build_resnet3d(NARROW, given, seed=1).state_dict()
    for name, tensor in started.items():
        source = given[name.removeprefix("resnet.")] if name.startswith("resnet.") else plain[name]
        assert torch.equal(tensor, source), name
    without_counters = {name: t for name, t in given.items() if not name.endswith("num_batches_tracked")}
    again = build_resnet3d(NARROW, without_counters, seed=1).state_dict()
    assert torch.equal(again["resnet.layer4.1.bn2.running_var"], given["layer4.1.bn2.running_var"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer1.0.conv1.weight": None}, r"lack tensor layer1\.0\.conv1\.weight \(1 such problems\)"),
        ({"layer5.weight": torch.ones(1)}, r"have the unknown tensor layer5\.weight"),
        ({"bn1.bias": torch.ones(64)}, r"have tensor bn1\.bias of shape \(64,\), not \(4,\)"),
    ],
)
def test_weights_of_another_architecture_are_refused(change: dict[str, Tensor | None], words: str) -> None:
    changed = {**kinetics(), **change}
    given = {name: tensor for name, tensor in changed.items() if tensor is not None}
    with pytest.raises(ModelError, match=words):
        build_resnet3d(NARROW, given, seed=0)
    with pytest.raises(ModelError):
        fitting(ResNet3D(NARROW).resnet.state_dict(), given)
