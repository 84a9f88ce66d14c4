from collections.abc import Callable

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from pydantic import ValidationError
from torch import nn

from lymphct.learning.settings import UNetSettings
from lymphct.learning.unet import ConvNorm, SegmentationNetwork, UNet, from_nnunet, initialize

SETTINGS = UNetSettings(features=(4, 6, 8, 10), strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 1)))
RESIDUAL = SETTINGS.model_copy(update={"encoder": "residual", "residual_blocks": (1, 2, 1, 2)})
KJI_STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 2, 2))


def _peer(kind: type[nn.Module], **blocks: object) -> nn.Module:
    network = kind(
        input_channels=2,
        n_stages=4,
        features_per_stage=SETTINGS.features,
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=KJI_STRIDES,
        num_classes=3,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
        **blocks,
    )
    for weight in network.parameters():  # norms and biases too: 1 and 0 would hide a swap
        nn.init.normal_(weight, mean=0.2, std=0.3)
    return network


@pytest.mark.parametrize(
    ("settings", "peer"),
    [
        (SETTINGS, lambda: _peer(PlainConvUNet, n_conv_per_stage=2, n_conv_per_stage_decoder=2)),
        (
            RESIDUAL,
            lambda: _peer(ResidualEncoderUNet, n_blocks_per_stage=(1, 2, 1, 2), n_conv_per_stage_decoder=1),
        ),
    ],
    ids=["plain", "residual"],
)
def test_with_the_same_weights_the_output_is_that_of_nnunet(
    settings: UNetSettings, peer: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(0)
    theirs = peer()
    ours = SegmentationNetwork(2, 3, settings)
    ours.load_state_dict(from_nnunet(theirs.state_dict()), strict=True)
    image = torch.randn(2, 2, 8, 16, 16)
    with torch.inference_mode():
        for mine, expected in zip(ours(image), theirs(image), strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)


def test_all_parameter_names_are_those_of_nnunet() -> None:
    theirs = _peer(PlainConvUNet, n_conv_per_stage=2, n_conv_per_stage_decoder=2)
    ours = SegmentationNetwork(2, 3, SETTINGS).state_dict()
    assert {name: x.shape for name, x in ours.items()} == {
        name: theirs.state_dict()[name].shape for name in ours
    }


def test_the_backbone_loads_nnunet_weights_without_their_heads() -> None:
    theirs = _peer(PlainConvUNet, n_conv_per_stage=2, n_conv_per_stage_decoder=2)
    backbone = UNet(2, SETTINGS)
    backbone.load_state_dict(from_nnunet(theirs.state_dict(), heads=False), strict=True)
    name = "decoder.transpconvs.1.weight"
    assert torch.equal(backbone.state_dict()[name], theirs.state_dict()[name])


def test_names_of_a_parallel_or_compiled_network_are_cleaned() -> None:
    assert from_nnunet({"module._orig_mod.encoder.a": torch.ones(1)}).keys() == {"encoder.a"}


def test_the_backbone_returns_decoder_features_finest_first() -> None:
    backbone = UNet(2, SETTINGS)
    features = backbone(torch.zeros(1, 2, 8, 16, 24))
    assert [x.shape[1] for x in features] == [4, 6, 8] == list(backbone.feature_counts)
    assert backbone.strides == ((1, 1, 1), (2, 2, 2), (4, 4, 4))
    assert [tuple(x.shape[2:]) for x in features] == [(8, 16, 24), (4, 8, 12), (2, 4, 6)]


@pytest.mark.parametrize("resolutions", [2, 3, 4, 5, 6])
def test_two_to_six_resolutions_keep_the_shape_of_the_image(resolutions: int) -> None:
    strides = ((1, 1, 1), (2, 2, 1), (2, 1, 2), (2, 2, 2), (1, 2, 2), (2, 2, 2))[:resolutions]
    settings = UNetSettings(features=(3,) * resolutions, strides=strides)
    i, j, k = settings.total_stride
    # Two voxels along i at the lowest resolution: the norm needs more than one value.
    logits = SegmentationNetwork(1, 5, settings)(torch.zeros(1, 1, k, j, 2 * i))
    assert tuple(logits[0].shape) == (1, 5, k, j, 2 * i)
    assert len(logits) == resolutions - 1


def test_the_default_is_nnunets_plan_for_the_paper_patch() -> None:
    settings = UNetSettings()
    assert settings.total_stride == (32, 32, 16)
    count = sum(x.numel() for x in SegmentationNetwork(2, 2, settings).parameters())
    assert 30.5e6 < count < 31e6  # 30.8 million parameters


def test_the_norm_of_zero_features_is_exactly_its_bias() -> None:
    block = ConvNorm((3, 3), kernel=1, active=False)
    nn.init.normal_(block.norm.weight)
    nn.init.normal_(block.norm.bias)
    out = block(torch.zeros(1, 3, 4, 5, 6))
    assert torch.equal(out, block.norm.bias.reshape(1, 3, 1, 1, 1).expand_as(out))


def test_the_same_generator_gives_the_same_weights_whatever_the_global_seed() -> None:
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = SegmentationNetwork(2, 2, SETTINGS)
        initialize(network, torch.Generator().manual_seed(7))
        weights.append(network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not weights[0]["encoder.stages.0.0.convs.0.conv.bias"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": (8,), "strides": ((1, 1, 1),)}, "at least two resolutions"),
        ({"features": (8, 16, 32)}, "one stride for each, got 3 feature counts and 6 strides"),
        ({"features": (8, 16), "strides": ((2, 2, 2), (2, 2, 2))}, "first stride must be"),
        ({"encoder": "residual", "residual_blocks": (1, 2)}, "residual_blocks names 2 of 6 resolutions"),
    ],
)
def test_impossible_architectures_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UNetSettings.model_validate(change)


def test_settings_that_say_nothing_of_kernels_read_as_before_there_were_any() -> None:
    assert "kernel_sizes" not in SETTINGS.model_dump()
    flat = SETTINGS.model_copy(update={"kernel_sizes": ((3, 3, 1), *[(3, 3, 3)] * 3)})
    assert UNetSettings.model_validate_json(flat.model_dump_json()) == flat


def test_a_kernel_for_each_resolution_and_odd_is_asked_for() -> None:
    for kernels in (((3, 3, 3),), ((3, 3, 2), *[(3, 3, 3)] * 3)):
        with pytest.raises(ValidationError, match="odd edges for each of 4 resolutions"):
            UNetSettings.model_validate({**SETTINGS.model_dump(), "kernel_sizes": kernels})
