import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lymphct.core.arrays import FloatArray
from lymphct.core.errors import UsageError
from lymphct.learning.inference import (
    sliding_window_labels,
    sliding_window_logits,
    sliding_window_probability,
)
from lymphct.learning.inference_settings import InferenceSettings
from lymphct.learning.settings import UNetSettings
from lymphct.learning.unet import ConvNorm, SegmentationNetwork, UNet

UNET = UNetSettings(features=(12, 8, 8), strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)))
PATCH = (16, 20, 8)
SHAPE = (20, 50, 30)


class Gated(nn.Module):
    """The smallest network with an attention head: x · A, convolution, norm, LeakyReLU, convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet(2, UNET)
        self.block = ConvNorm((12, 12), kernel=1)
        self.last = nn.Conv3d(12, 2, 1)
        self.passes = 0

    def forward(self, image: Tensor, attention: Tensor) -> list[Tensor]:
        self.passes += 1
        return [self.last(self.block(self.unet(image)[0] * attention))]

    def background_logits(self) -> Tensor | None:
        return self.last(self.block(torch.zeros(1, 12, 2, 2, 2)))[0, :, 0, 0, 0]  # type: ignore[no-any-return] # a module


class Echo(nn.Module):
    """Returns the image itself, so that every weight and sum can be checked."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor, _attention: Tensor | None = None) -> list[Tensor]:
        self.shapes.append(tuple(image.shape))
        return [image]


def _gated() -> Gated:
    torch.manual_seed(0)
    network = Gated()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)
    return network


def _scene(shape: tuple[int, int, int] = SHAPE) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, *shape)).astype(np.float32)
    attention = np.zeros(shape, np.float32)
    attention[-8:-2, -18:-6, 4:10] = rng.uniform(0.1, 1, size=(6, 12, 6))
    return image, attention


def _settings(**changes: object) -> InferenceSettings:
    return InferenceSettings.model_validate(changes)


@pytest.mark.parametrize("window_batch", [1, 3, 4])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_skipping_windows_without_attention_changes_no_bit(window_batch: int, precision: str) -> None:
    network = _gated()
    image, attention = _scene()
    settings = {"window_batch": window_batch, "precision": precision}
    skipped = sliding_window_logits(network, image, attention, PATCH, _settings(**settings))
    few, network.passes = network.passes, 0
    plain = _settings(**settings, skip_without_attention=False)
    everything = sliding_window_logits(network, image, attention, PATCH, plain)
    assert torch.equal(skipped, everything)
    assert few < 0.5 * network.passes


def test_skipping_changes_no_bit_when_mirrored_padded_or_stored_with_channels_last() -> None:
    network = _gated().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # not in torch's stubs
    image, attention = _scene((20, 44, 12))
    images = [
        sliding_window_logits(
            network, image, attention, PATCH, _settings(mirroring=True, skip_without_attention=skip)
        )
        for skip in (True, False)
    ]
    assert torch.equal(*images)
    assert tuple(images[0].shape) == (2, 20, 44, 12)


def test_a_patient_without_any_attention_costs_one_pass_and_gets_the_constant() -> None:
    network = _gated()
    image, _ = _scene()
    logits = sliding_window_logits(
        network, image, np.zeros(SHAPE, np.float32), PATCH, _settings(window_batch=1)
    )
    assert network.passes == 1
    constant = network.background_logits()
    assert constant is not None
    torch.testing.assert_close(logits, constant.detach()[:, None, None, None].expand_as(logits))


def test_box_mode_runs_fewer_windows_and_agrees_where_windows_are_the_same() -> None:
    network = _gated()
    image, attention = _scene()
    sliding_window_logits(network, image, attention, PATCH, _settings(window_batch=1))
    exact, network.passes = network.passes, 0
    logits = sliding_window_logits(network, image, attention, PATCH, _settings(mode="box", window_batch=1))
    assert 0 < network.passes < exact
    constant = network.background_logits()
    assert constant is not None
    assert torch.equal(
        logits[:, :10, :20], constant.detach()[:, None, None, None].expand_as(logits[:, :10, :20])
    )
    # One patch alone: both modes see the same single window.
    small, bright = image[:, :8, :20, :16], np.ones((8, 20, 16), np.float32)
    both = [sliding_window_logits(network, small, bright, PATCH, _settings(mode=m)) for m in ("box", "exact")]
    assert torch.equal(*both)


def test_box_mode_without_attention_runs_nothing() -> None:
    network = _gated()
    image, attention = _scene()
    logits = sliding_window_logits(network, image, 0 * attention, PATCH, _settings(mode="box"))
    assert network.passes == 0
    assert tuple(logits.shape) == (2, *SHAPE)


def test_a_network_without_attention_heads_runs_every_window() -> None:
    torch.manual_seed(0)
    network = SegmentationNetwork(2, 3, UNET)
    image, attention = _scene()
    with_map = sliding_window_logits(network, image, 0 * attention, PATCH, _settings(mode="box"))
    without = sliding_window_logits(network, image, None, PATCH, _settings())
    assert torch.equal(with_map, without)
    assert tuple(without.shape) == (3, *SHAPE)
    assert without.dtype == torch.float32


def test_the_weighted_mean_of_equal_predictions_is_the_prediction() -> None:
    image, _ = _scene()
    network = Echo()
    logits = sliding_window_logits(network, image, None, PATCH, _settings(mirroring=True))
    np.testing.assert_allclose(logits.numpy(), image, atol=1e-5)
    assert set(network.shapes) == {(2, 2, 8, 20, 16)}  # every pass has the same shape


def test_an_image_smaller_than_the_patch_is_padded_and_cut_back() -> None:
    image = np.stack([np.full((5, 12, 9), 2.0), np.arange(540.0).reshape(5, 12, 9)]).astype(np.float32)
    logits = sliding_window_logits(Echo(), image, None, PATCH, _settings())
    np.testing.assert_allclose(logits.numpy(), image, rtol=1e-6)


def test_the_grid_covers_the_image_at_half_steps() -> None:
    image = np.zeros((2, 12, 30, 16), np.float32)
    network = Echo()
    sliding_window_logits(network, image, None, PATCH, _settings(window_batch=1))
    assert len(network.shapes) == 2  # starts k: 0, 4 · j: 0, 10 · i: 0 in passes of two


def test_the_network_returns_to_the_mode_it_was_in() -> None:
    network = Echo().train()
    sliding_window_logits(network, np.zeros((2, 8, 20, 16), np.float32), None, PATCH, _settings())
    assert network.training


def test_read_only_and_float64_images_are_taken_as_they_are() -> None:
    image = np.random.default_rng(0).normal(size=(2, 8, 20, 16))
    image.flags.writeable = False
    logits = sliding_window_logits(Echo(), image, image[0], PATCH, _settings())  # type: ignore[arg-type] # on purpose
    np.testing.assert_allclose(logits.numpy(), image, rtol=1e-5)


@pytest.mark.parametrize("shape", [SHAPE, (5, 44, 12)])
@pytest.mark.parametrize("mode", ["exact", "box"])
def test_labels_and_probabilities_are_those_of_the_logits(shape: tuple[int, int, int], mode: str) -> None:
    network = _gated()
    image, attention = _scene()
    scene = (image[:, -shape[0] :, -shape[1] :, : shape[2]], attention[-shape[0] :, -shape[1] :, : shape[2]])
    settings = _settings(mode=mode)
    logits = sliding_window_logits(network, *scene, PATCH, settings)
    labels = sliding_window_labels(network, *scene, PATCH, settings)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels, logits.argmax(0).to(torch.uint8))
    assert 0 < int(labels.sum()) < labels.numel()
    probability = sliding_window_probability(network, *scene, PATCH, settings)
    torch.testing.assert_close(probability, logits.softmax(0)[1])


@pytest.mark.parametrize("window_batch", [1, 3])
def test_skipping_changes_no_bit_in_windows_laid_for_few_with_attention(window_batch: int) -> None:
    network = _gated()
    image = np.random.default_rng(0).normal(size=(2, 20, 60, 48)).astype(np.float32)
    attention = np.zeros(image.shape[1:], np.float32)
    attention[9:11, 29:31, 15:30] = 0.5
    few = {"windows": "few", "window_batch": window_batch}
    skipped = sliding_window_logits(network, image, attention, PATCH, _settings(**few))
    passes, network.passes = network.passes, 0
    plain = _settings(**few, skip_without_attention=False)
    everything = sliding_window_logits(network, image, attention, PATCH, plain)
    assert torch.equal(skipped, everything)
    assert torch.isfinite(skipped).all()
    complete, network.passes = network.passes, 0
    even = sliding_window_logits(network, image, attention, PATCH, _settings(window_batch=window_batch))
    assert passes < network.passes < complete
    assert not torch.equal(even, skipped)  # windows do lie elsewhere
    torch.testing.assert_close(even[:, :3, :20], skipped[:, :3, :20])  # where no attention is near


def test_windows_are_not_laid_by_the_attention_of_a_network_that_runs_them_all() -> None:
    network = SegmentationNetwork(2, 3, UNET)
    image, attention = _scene()
    even, few = (
        sliding_window_logits(network, image, attention, PATCH, _settings(windows=windows))
        for windows in ("even", "few")
    )
    assert torch.equal(even, few)


def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _gated()
    image, attention = _scene()
    logits = {
        precision: sliding_window_logits(network, image, attention, PATCH, _settings(precision=precision))
        for precision in ("float32", "bfloat16")
    }
    assert not torch.equal(logits["float32"], logits["bfloat16"])
    apart = (logits["float32"] - logits["bfloat16"]).abs().mean()
    assert apart < 0.05 * logits["float32"].std()
    for capabilities, precision in (({"avx512_bf16": True}, "bfloat16"), ({"avx512_bf16": False}, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        auto = sliding_window_logits(network, image, attention, PATCH, _settings(precision="auto"))
        assert torch.equal(auto, logits[precision])


def test_openvino_is_refused_for_a_network_that_is_not_on_the_cpu() -> None:
    image, attention = _scene()
    with pytest.raises(UsageError, match="openvino runs on the CPU, the network is on meta"):
        sliding_window_logits(_gated().to("meta"), image, attention, PATCH, _settings(backend="openvino"))
