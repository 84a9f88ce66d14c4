import math

import pytest
import torch
from torch import Tensor

from lymphct.core.errors import InputError
from lymphct.learning.inference import AttentionGated, sliding_window_logits
from lymphct.learning.inference_settings import InferenceSettings
from lymphct.learning.settings import UNetSettings
from lymphct.learning.unet import initialize
from lymphct.nodes.features import FEATURES
from lymphct.nodes.network import (
    LEAST_PRIOR,
    IdentificationNetwork,
    NodeNetwork,
    attention_pyramid,
    box_average,
    mask_average,
    slice_maximum,
)
from lymphct.nodes.settings import HeadSettings, IdentificationHeadSettings

UNET = UNetSettings(features=(4, 6, 8, 8), strides=((1, 1, 1), (2, 2, 2), (2, 2, 1), (2, 2, 1)))
FACTORIAL = [(a, b, c) for a in (True, False) for b in (True, False) for c in (True, False)]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def node_network(heads: HeadSettings) -> NodeNetwork:
    """A network whose every parameter, norms and biases too, has a random value, as after training."""
    network = NodeNetwork(2, UNET, heads)
    generator = seeded()
    initialize(network, generator)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 2, 8, 16, 24, generator=seeded())


@pytest.mark.parametrize(("use_attention", "extra_block", "attention_channel"), FACTORIAL)
def test_every_cell_of_the_factorial_gives_logits_at_every_scale(
    use_attention: bool,  # noqa: FBT001 - pytest passes by name
    extra_block: bool,  # noqa: FBT001 - the same
    attention_channel: bool,  # noqa: FBT001 - the same
    image: Tensor,
) -> None:
    heads = HeadSettings(
        use_attention=use_attention, extra_block=extra_block, attention_channel=attention_channel
    )
    logits = node_network(heads)(image, torch.rand(2, 1, 8, 16, 24))
    assert [tuple(scale.shape) for scale in logits] == [(2, 2, 8, 16, 24), (2, 2, 4, 8, 12), (2, 2, 4, 4, 6)]


@pytest.mark.parametrize("extra_block", [True, False])
def test_a_window_without_attention_gets_the_constant_to_the_last_bit(
    extra_block: bool,  # noqa: FBT001 - pytest passes by name
    image: Tensor,
) -> None:
    network = node_network(HeadSettings(extra_block=extra_block))
    attention = torch.zeros(2, 1, 8, 16, 24)
    attention[1, 0, 3, 4, 5] = 0.5
    with torch.no_grad():
        logits = network(image, attention)[0]
        constant = network.background_logits()
    assert constant is not None
    assert torch.equal(logits[0], constant.reshape(2, 1, 1, 1).expand(2, 8, 16, 24))
    assert not torch.equal(logits[1], logits[0])


@pytest.mark.parametrize("extra_block", [True, False])
def test_the_constant_is_what_the_head_computes_for_features_of_zero(
    extra_block: bool,  # noqa: FBT001 - pytest passes by name
    image: Tensor,
) -> None:
    network = node_network(HeadSettings(extra_block=extra_block)).train()  # training substitutes nothing
    with torch.no_grad():
        logits = network(image, torch.zeros(2, 1, 8, 16, 24))[0]
    constant = network.background_logits()
    assert constant is not None
    torch.testing.assert_close(logits, constant.reshape(1, 2, 1, 1, 1).expand_as(logits))


def test_the_constant_holds_under_reduced_precision(image: Tensor) -> None:
    network = node_network(HeadSettings())
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(image, torch.zeros(2, 1, 8, 16, 24))[0]
        inside = network.background_logits()
    outside = network.background_logits()
    assert outside is not None
    assert inside is not None
    assert torch.equal(inside, outside)
    assert torch.equal(logits[0, :, 0, 0, 0], outside)


def test_attention_as_a_prior_moves_the_odds_by_its_logarithm(image: Tensor) -> None:
    plain = node_network(HeadSettings(use_attention=False))
    prior = node_network(HeadSettings(use_attention=False, log_prior=2.0))
    attention = torch.ones(2, 1, 8, 16, 24)
    attention[:, :, 4:] = 0.5
    attention[:, :, :, 8:] = 0.0
    with torch.no_grad():
        before, after = plain(image), prior(image, attention)
    maps = attention_pyramid(attention, prior.unet.strides)
    for one, other, values in zip(before, after, maps, strict=True):
        assert torch.equal(one[:, 0], other[:, 0])
        expected = one[:, 1] + 2.0 * torch.log(values[:, 0].clamp(min=LEAST_PRIOR))
        torch.testing.assert_close(other[:, 1], expected)


def test_a_prior_of_weight_0_needs_no_attention(image: Tensor) -> None:
    node_network(HeadSettings(use_attention=False, log_prior=0.0))(image)
    with pytest.raises(InputError, match="needs an attention map"):
        node_network(HeadSettings(use_attention=False, log_prior=1.0))(image)


def test_without_attention_the_prior_is_part_of_the_constant(image: Tensor) -> None:
    network = node_network(HeadSettings(log_prior=1.0))
    with torch.no_grad():
        logits = network(image, torch.zeros(2, 1, 8, 16, 24))[0]
    constant, plain = network.background_logits(), node_network(HeadSettings()).background_logits()
    assert constant is not None
    assert plain is not None
    assert torch.equal(logits[0, :, 0, 0, 0], constant)
    torch.testing.assert_close(constant - plain, torch.tensor([0.0, math.log(LEAST_PRIOR)]))


@pytest.mark.parametrize("heads", [HeadSettings(), HeadSettings(log_prior=1.0)])
def test_skipping_windows_changes_no_logit(heads: HeadSettings) -> None:
    network = node_network(heads)
    image = torch.randn(2, 24, 40, 40, generator=seeded())
    attention = torch.zeros(24, 40, 40)
    attention[2:6, 3:9, 4:8] = 1.0
    results = [
        sliding_window_logits(
            network, image, attention, (16, 16, 8), InferenceSettings(skip_without_attention=skip)
        )
        for skip in (True, False)
    ]
    assert torch.equal(results[0], results[1])


@pytest.mark.parametrize("heads", [HeadSettings(use_attention=False), HeadSettings(attention_channel=True)])
def test_there_is_no_constant_where_attention_does_not_decide_alone(heads: HeadSettings) -> None:
    network = node_network(heads)
    assert isinstance(network, AttentionGated)
    assert network.background_logits() is None


def test_attention_off_is_attention_of_one(image: Tensor) -> None:
    off, on = node_network(HeadSettings(use_attention=False)), node_network(HeadSettings())
    with torch.no_grad():
        expected = on(image, torch.ones(2, 1, 8, 16, 24))
        for attention in (None, torch.zeros(2, 1, 8, 16, 24)):
            for scale, other in zip(off(image, attention), expected, strict=True):
                assert torch.equal(scale, other)


def test_a_network_that_needs_attention_says_so(image: Tensor) -> None:
    with pytest.raises(InputError, match="needs an attention map"):
        node_network(HeadSettings())(image)
    with pytest.raises(InputError, match="needs an attention map"):
        node_network(HeadSettings(use_attention=False, attention_channel=True))(image)


def test_the_attention_pyramid_of_a_constant_map_stays_constant() -> None:
    strides = NodeNetwork(2, UNET, HeadSettings()).unet.strides
    assert strides == ((1, 1, 1), (2, 2, 2), (2, 4, 4))
    for scale in attention_pyramid(torch.full((1, 1, 8, 16, 24), 0.3), strides):
        torch.testing.assert_close(scale, torch.full_like(scale, 0.3), rtol=0, atol=1e-7)


def test_the_attention_pyramid_averages_and_never_drops_a_voxel() -> None:
    attention = torch.zeros(1, 1, 8, 16, 24)
    attention[0, 0, 7, 15, 23] = 1.0
    sums = [float(scale.sum()) for scale in attention_pyramid(attention, ((1, 1, 1), (2, 2, 2), (2, 4, 4)))]
    assert sums == [1.0, 1 / 8, 1 / 32]


def test_gradients_reach_the_backbone_only_where_there_is_attention(image: Tensor) -> None:
    network = node_network(HeadSettings()).train()
    lit = network(image, torch.ones(2, 1, 8, 16, 24))[0].square().sum()
    dark = network(image, torch.zeros(2, 1, 8, 16, 24))[0].square().sum()
    last = next(iter(network.unet.decoder.stages[-1].parameters()))
    assert torch.autograd.grad(lit, last)[0].abs().max() > 0
    assert torch.autograd.grad(dark, last)[0].abs().max() == 0


def identification(head: IdentificationHeadSettings) -> IdentificationNetwork:
    network = IdentificationNetwork(2, UNET, head)
    initialize(network, seeded())
    return network.eval()


def test_boxes_are_averaged_at_each_scale() -> None:
    x = torch.arange(2 * 4 * 4 * 4, dtype=torch.float32).reshape(1, 2, 4, 4, 4)
    box = torch.tensor([[[2, 0, 3], [6, 4, 8]]])  # in voxels of an image of 8³
    expected = x[0, :, 1:3, 0:2, 1:4].mean(dim=(1, 2, 3))
    torch.testing.assert_close(box_average(x, box, (2, 2, 2))[0], expected)


@pytest.mark.parametrize(
    "head",
    [
        IdentificationHeadSettings(),
        IdentificationHeadSettings(node_features=False),
        IdentificationHeadSettings(classes=3, multi_scale=True),
        IdentificationHeadSettings(mask_branch=True),
        IdentificationHeadSettings(mask_average=True, logistic_start=True),
        IdentificationHeadSettings(mask_average=True, slice_pooling=True, multi_scale=True),
    ],
)
def test_every_option_of_the_classifier_gives_one_row_per_node(
    head: IdentificationHeadSettings, image: Tensor
) -> None:
    mask, box = torch.ones(2, 1, 8, 16, 24), torch.tensor([[[1, 2, 3], [5, 9, 11]]] * 2)
    logits = identification(head)(image, mask, box, torch.zeros(2, len(FEATURES)))
    assert logits.shape == (2, head.classes)
    assert bool(torch.isfinite(logits).all())


def test_the_average_over_the_node_leaves_its_box_out() -> None:
    x = torch.arange(8.0).reshape(1, 1, 2, 2, 2)
    mask = torch.zeros(1, 1, 2, 2, 2)
    mask[0, 0, 0, 0, 1] = mask[0, 0, 1, 1, 1] = 1
    assert mask_average(x, mask).tolist() == [[4.0]]


def test_of_the_slices_of_a_node_the_one_with_the_largest_average_counts() -> None:
    x = torch.tensor([[[[[1.0, 3.0]], [[-9.0, 8.0]], [[5.0, 6.0]], [[99.0, 99.0]]]]])  # 4 slices of 2 voxels
    mask = torch.tensor([[[[[1.0, 1.0]], [[1.0, 1.0]], [[1.0, 0.0]], [[0.0, 0.0]]]]])
    assert slice_maximum(x, mask).tolist() == [[5.0]]
    assert slice_maximum(-x, mask).tolist() == [[0.5]]
    assert slice_maximum(x, torch.zeros_like(mask)).tolist() == [[0.0]]


def test_only_features_within_the_box_count(image: Tensor) -> None:
    network = identification(IdentificationHeadSettings(node_features=False))
    box = torch.tensor([[[1, 2, 3], [5, 9, 11]]] * 2)
    mask, features = torch.ones(2, 1, 8, 16, 24), torch.zeros(2, 7)
    first = network(image, mask, box, features)
    assert torch.equal(first, network(image, mask, box, features + 5))
    assert not torch.allclose(first, network(image, mask, box + 1, features))


def test_a_missing_feature_counts_as_the_training_mean(image: Tensor) -> None:
    network = identification(IdentificationHeadSettings())
    network.feature_mean.copy_(torch.arange(7.0))
    network.feature_sd.copy_(torch.arange(1.0, 8.0))
    mask, box = torch.ones(2, 1, 8, 16, 24), torch.tensor([[[1, 2, 3], [5, 9, 11]]] * 2)
    mean = torch.arange(7.0).repeat(2, 1)
    missing = mean.clone()
    missing[:, 1:4] = torch.nan
    assert torch.equal(network(image, mask, box, missing), network(image, mask, box, mean))
    assert not torch.equal(network(image, mask, box, mean + 1), network(image, mask, box, mean))
