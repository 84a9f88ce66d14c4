import pytest
import torch
from numpy.testing import assert_allclose
from pydantic import ValidationError
from torch import nn

from lymphct.metastasis.network import MaskBranch, StatusNetwork, VolumeFusion
from lymphct.metastasis.settings import StatusNetworkSettings

torch.set_num_threads(1)

NARROW = StatusNetworkSettings(width=0.125)


def build(**changes: object) -> StatusNetwork:
    torch.manual_seed(1)
    return StatusNetwork(NARROW.model_copy(update=changes))


def patches(b: int = 4) -> torch.Tensor:
    images = torch.randn(b, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    images[:, 2] = 0.0
    images[:, 2, 16:30, 18:32] = 1.0
    return images


def linear_shapes(network: StatusNetwork) -> list[tuple[int, ...]]:
    return [tuple(layer.weight.shape) for layer in network.classifier if isinstance(layer, nn.Linear)]


VOLUMES = torch.tensor([0.0, 300.0, 0.0, 2500.0])


def test_a_fresh_mask_branch_leaves_the_plain_resnet_unchanged() -> None:
    with_branch, without = build(), build(mask_branch=False)
    missing, unexpected = with_branch.load_state_dict(without.state_dict(), strict=False)
    assert missing == ["mask_branch.convolution.weight", "mask_branch.convolution.bias"]
    assert unexpected == []
    for network in (with_branch.eval(), without.eval()):
        network.requires_grad_(requires_grad=False)
    assert torch.equal(with_branch(patches(), VOLUMES), without(patches(), VOLUMES))


def test_the_mask_branch_gives_one_gain_per_feature_of_conv1_and_learns() -> None:
    branch = MaskBranch(64)
    gains = branch(torch.ones(1, 1, 224, 224))
    assert gains.shape == (1, 64, 112, 112)
    assert torch.equal(gains, torch.ones_like(gains))
    gains.sum().backward()
    gradient = branch.convolution.weight.grad
    assert gradient is not None
    assert (gradient != 0).all()


def test_full_width_has_the_feature_counts_of_the_paper() -> None:
    network = StatusNetwork(StatusNetworkSettings())
    assert network.texture is not None
    assert network.texture.out_features == 512
    assert network.texture.codewords.shape == (8, 64)
    assert network.fusion is not None
    assert network.fusion.expand.weight.shape == (1024, 1)
    assert linear_shapes(network) == [(64, 1024), (2, 64)]
    assert network.resnet.conv1.weight.shape == (64, 3, 7, 7)


def test_a_quarter_of_the_width_quarters_every_count_but_the_codewords() -> None:
    network = StatusNetwork(StatusNetworkSettings(width=0.25))
    assert network.resnet.state_dict()["layer4.1.conv2.weight"].shape == (128, 128, 3, 3)
    assert network.texture is not None
    assert network.texture.codewords.shape == (8, 16)
    assert linear_shapes(network) == [(16, 256), (2, 16)]
    assert sum(p.numel() for p in network.parameters()) < 800_000


class Answer(nn.Module):
    """Stands for a part of the network whose result is known."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *_: object) -> torch.Tensor:
        return self.answer


def test_averaged_features_stand_beside_texture_encoded_ones() -> None:
    network = build(volume_fusion=False)
    # two features of 2×2 positions; their averages are 4 and 10
    layer4 = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]], [[4.0, 8.0], [12.0, 16.0]]]])
    network.resnet.add_module("layer4", Answer(layer4))
    network.add_module("texture", Answer(torch.tensor([[0.6, 0.8]])))
    network.add_module("classifier", nn.Identity())
    assert_allclose(network(patches(1), torch.zeros(1)), [[4.0, 10.0, 0.6, 0.8]], rtol=1e-6)


def test_fusion_adds_the_normalised_volume_to_the_features() -> None:
    fusion = VolumeFusion(3, log_volume=False).eval()
    fusion.norm.running_mean = torch.tensor([100.0])
    fusion.norm.running_var = torch.tensor([2500.0])
    with torch.no_grad():
        fusion.expand.weight.copy_(torch.tensor([[1.0], [-1.0], [0.5]]))
        fusion.expand.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
        # BN(200) = (200 - 100) / 50 = 2 → FC, ReLU: 2, 0, 2
        combined = fusion(torch.tensor([[10.0, 20.0, 30.0]]), torch.tensor([200.0]))
    assert_allclose(combined, [[12.0, 20.0, 32.0]], rtol=1e-5)


def test_log_volume_takes_the_logarithm_first() -> None:
    fusion = VolumeFusion(1, log_volume=True).eval()
    with torch.no_grad():
        fusion.expand.weight.fill_(1.0)
        fusion.expand.bias.fill_(0.0)
        combined = fusion(torch.zeros(2, 1), torch.tensor([0.0, torch.e - 1]))
    assert_allclose(combined[:, 0], [0.0, 1.0], atol=1e-4)


@pytest.mark.parametrize("log_volume", [False, True])
def test_a_training_batch_without_any_positive_node_gives_finite_logits_and_gradients(
    log_volume: bool,  # noqa: FBT001 - a case
) -> None:
    network = build(log_volume=log_volume).train()
    for _ in range(3):
        logits = network(patches(), torch.zeros(4))
        torch.autograd.backward(logits.sum())
    assert torch.isfinite(logits).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()
    assert torch.isfinite(network(patches(1), torch.zeros(1))).all()


def test_gradients_reach_every_parameter() -> None:
    network = build()
    loss = nn.functional.cross_entropy(network(patches(), VOLUMES), torch.tensor([0, 1, 0, 1]))
    torch.autograd.backward(loss)
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize(
    "changes",
    [
        {"texture_encoding": False, "volume_fusion": False},  # ResNet2D
        {"global_pooling": False, "volume_fusion": False},  # DeepTEN
        {"volume_fusion": False},  # ClsfromPDAC
        {"weight_texture_by_mask": True},
    ],
    ids=["ResNet2D", "DeepTEN", "ClsfromPDAC", "weighted"],
)
def test_every_variant_of_table_vi_is_a_setting(changes: dict[str, bool]) -> None:
    logits = build(**changes).eval()(patches(), VOLUMES)
    assert logits.shape == (4, 2)
    assert not torch.equal(logits[0], logits[1])


def test_without_fusion_the_volume_does_not_count() -> None:
    alone, fused = build(volume_fusion=False).eval(), build().eval()
    assert torch.equal(alone(patches(), VOLUMES), alone(patches(), 2 * VOLUMES))
    assert not torch.equal(fused(patches(), VOLUMES), fused(patches(), 2 * VOLUMES))


def test_the_difference_of_the_phases_can_replace_the_mask_channel() -> None:
    plain, difference = build(), build(input_channels="arterial venous difference")
    plain.eval(), difference.eval()
    images = patches()
    replaced = images.clone()
    replaced[:, 2] = images[:, 1] - images[:, 0]
    # a fresh mask branch is 1 for any mask, so the plain network shows what its ResNet was given
    assert torch.equal(difference(images, VOLUMES), plain(replaced, VOLUMES))


def test_a_network_that_sees_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs global_pooling, texture_encoding or both"):
        StatusNetworkSettings(global_pooling=False, texture_encoding=False)
