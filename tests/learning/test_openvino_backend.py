import copy
import importlib.util
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lymphct.core.errors import EnvironmentProblemError
from lymphct.learning import openvino_backend
from lymphct.learning.devices import resolved_backend
from lymphct.learning.inference import sliding_window_logits
from lymphct.learning.inference_settings import InferenceSettings
from lymphct.learning.settings import UNetSettings
from lymphct.learning.unet import SegmentationNetwork, initialize

UNET = UNetSettings(features=(8, 12, 16), strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)))
PATCH = (16, 24, 8)
OPENVINO = InferenceSettings(backend="openvino", window_batch=3)

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


class Gated(SegmentationNetwork):
    """Looks at the image where there is attention."""

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        gate = torch.ones_like(image[:, :1]) if attention is None else attention
        return [logits * gate[:, :, : logits.shape[2]] for logits in super().forward(image)[:1]]

    def background_logits(self) -> Tensor | None:
        return torch.zeros(3)


def _network(kind: type[SegmentationNetwork] = SegmentationNetwork) -> SegmentationNetwork:
    network = kind(2, 3, UNET)
    initialize(network, torch.Generator().manual_seed(2))
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(3))
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=torch.Generator().manual_seed(4))
    return network.eval()


def _scene() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    attention = np.zeros((14, 40, 30), np.float32)
    attention[-8:-2, -18:-6, 4:10] = rng.uniform(0.1, 1, size=(6, 12, 6))
    return rng.normal(size=(2, 14, 40, 30)).astype(np.float32), attention


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    image, _ = _scene()
    with pytest.raises(EnvironmentProblemError, match="backend openvino is not installed") as caught:
        sliding_window_logits(_network(), image, None, PATCH, OPENVINO)
    assert caught.value.exit_code == 6
    assert "lymphct[openvino]" in str(caught.value)


def test_sums_in_two_stages_are_the_same_norm() -> None:
    size = (2, 4, 8, 12, 8)
    norm = nn.InstanceNorm3d(4, affine=True)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    x = 5 + 2 * torch.randn(size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(openvino_backend._StagedNorm(norm)(x), norm(x))


def test_norms_are_staged_where_blocks_fit_and_a_small_image_stands_for_the_patch() -> None:
    network = _network()
    sizes = openvino_backend._norm_sizes(network, [(1, 2, 8, 24, 16)])
    assert set(sizes.values()) == {(8, 24, 16), (4, 12, 8), (2, 6, 4)}
    staged = openvino_backend._with_staged_norms(copy.deepcopy(network), sizes)
    plain = {name for name, module in staged.named_modules() if isinstance(module, nn.InstanceNorm3d)}
    assert plain == {name for name, size in sizes.items() if size == (2, 6, 4)}
    assert openvino_backend._least_size((8, 24, 16), sizes.values()) == (8, 16, 16)
    assert openvino_backend._least_size((8, 24, 16), [(3, 24, 16)]) == (8, 24, 16)
    assert openvino_backend._least_size((8, 24, 16), []) == (8, 24, 16)
    image = torch.randn(1, 2, 8, 24, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(staged(image)[0], network(image)[0], atol=1e-5, rtol=1e-5)


@needs_openvino
def test_auto_is_openvino_where_it_is_installed() -> None:
    network = _network()
    image, _ = _scene()
    auto, openvino = (
        sliding_window_logits(network, image, None, PATCH, OPENVINO.model_copy(update={"backend": backend}))
        for backend in ("auto", "openvino")
    )
    assert torch.equal(auto, openvino)


def test_auto_is_torch_without_openvino_and_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved_backend("auto", torch.device("cuda")) == "torch"
    assert resolved_backend("openvino", torch.device("cuda")) == "openvino"  # refused later, with a cure
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert resolved_backend("auto", torch.device("cpu")) == "torch"
    network = _network()
    image, _ = _scene()
    auto, torch_s = (
        sliding_window_logits(network, image, None, PATCH, InferenceSettings(backend=backend))
        for backend in ("auto", "torch")
    )
    assert torch.equal(auto, torch_s)


@needs_openvino
def test_mirrored_passes_do_not_overwrite_one_another() -> None:
    network = _network()
    image, _ = _scene()
    ours, theirs = (
        sliding_window_logits(network, image, None, PATCH, InferenceSettings(backend=backend, mirroring=True))
        for backend in ("torch", "openvino")
    )
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


@needs_openvino
def test_logits_are_those_of_torch() -> None:
    network = _network()
    image, _ = _scene()
    ours = sliding_window_logits(network, image, None, PATCH, InferenceSettings())
    theirs = sliding_window_logits(network, image, None, PATCH, OPENVINO)
    assert not torch.equal(ours, theirs)  # another library did run
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


@needs_openvino
@pytest.mark.parametrize("edge", [8, 16, 20, 24, 32])
def test_patches_that_divide_into_blocks_at_any_scale_are_converted(edge: int) -> None:
    network = _network()
    image = np.random.default_rng(edge).normal(size=(2, edge, edge, edge)).astype(np.float32)
    patch = (edge, edge, edge)
    ours = sliding_window_logits(network, image, None, patch, InferenceSettings())
    theirs = sliding_window_logits(network, image, None, patch, OPENVINO)
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


@needs_openvino
def test_skipping_changes_no_bit() -> None:
    network = _network(Gated)
    image, attention = _scene()
    everything = OPENVINO.model_copy(update={"skip_without_attention": False})
    skipped, all_windows = (
        sliding_window_logits(network, image, attention, PATCH, settings)
        for settings in (OPENVINO, everything)
    )
    assert torch.equal(skipped, all_windows)
    torch.testing.assert_close(
        skipped,
        sliding_window_logits(network, image, attention, PATCH, InferenceSettings()),
        atol=1e-4,
        rtol=0,
    )


@needs_openvino
def test_a_network_is_converted_once_and_again_when_its_weights_changed() -> None:
    network = _network()
    shapes = [(1, 2, 8, 8, 8)]
    image = torch.ones(shapes[0])
    run = openvino_backend.compiled(network, shapes, "float32")
    assert openvino_backend.compiled(network, shapes, "float32") is run
    before = run(image, None).clone()
    head = network.decoder.seg_layers[-1]
    assert isinstance(head, nn.Conv3d)
    assert head.bias is not None
    nn.init.constant_(head.bias, 1.0)  # was 0
    after = openvino_backend.compiled(network, shapes, "float32")(image, None)
    torch.testing.assert_close(after, before + 1)
    torch.testing.assert_close(run(image, None), before)


@needs_openvino
def test_bfloat16_is_coarser() -> None:
    network = _network()
    image, _ = _scene()
    exact = sliding_window_logits(network, image, None, PATCH, OPENVINO)
    coarse = sliding_window_logits(
        network, image, None, PATCH, OPENVINO.model_copy(update={"precision": "bfloat16"})
    )
    assert coarse.dtype == torch.float32
    assert 1e-4 < (coarse - exact).abs().mean() / exact.std() < 0.05
