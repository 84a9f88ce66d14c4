import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lymphct.metastasis.encoding import TextureEncoding

torch.set_num_threads(1)


@pytest.fixture
def encoding() -> TextureEncoding:
    torch.manual_seed(3)
    return TextureEncoding(12, channels=5, codewords=4).eval()


def features() -> torch.Tensor:
    return torch.randn(2, 12, 3, 4, generator=torch.Generator().manual_seed(4))


def naive(
    encoding: TextureEncoding, maps: torch.Tensor, coverage: torch.Tensor | None = None
) -> torch.Tensor:
    """Compute the formula of DeepTEN position by position."""
    reduced = encoding.reduce(maps).detach()
    codewords, smoothing = encoding.codewords.detach(), encoding.smoothing.detach()
    rows = []
    for b in range(len(maps)):
        e = torch.zeros(4, 5)
        for h in range(3):
            for w in range(4):
                x = reduced[b, :, h, w]
                exponents = torch.stack([-smoothing[k] * ((x - codewords[k]) ** 2).sum() for k in range(4)])
                a = exponents.exp() / exponents.exp().sum()
                share = 1.0 if coverage is None else float(coverage[b, 0, h, w])
                for k in range(4):
                    e[k] += share * a[k] * (x - codewords[k])
        rows.append(e.flatten() / e.norm())
    return torch.stack(rows)


def test_the_layer_equals_a_loop_over_positions_and_codewords(encoding: TextureEncoding) -> None:
    assert_allclose(encoding(features()).detach(), naive(encoding, features()), atol=1e-6)


def test_weighted_positions_equal_the_loop_too(encoding: TextureEncoding) -> None:
    coverage = torch.rand(2, 1, 3, 4, generator=torch.Generator().manual_seed(5))
    expected = naive(encoding, features(), coverage)
    assert_allclose(encoding(features(), coverage).detach(), expected, atol=1e-6)


def test_the_order_of_positions_does_not_matter(encoding: TextureEncoding) -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(6))
    shuffled = features().flatten(2)[:, :, order].reshape(2, 12, 3, 4)
    assert_allclose(encoding(shuffled).detach(), encoding(features()).detach(), atol=1e-6)


def test_codes_have_length_one(encoding: TextureEncoding) -> None:
    codes = encoding(features())
    assert codes.shape == (2, encoding.out_features) == (2, 20)
    assert_allclose(codes.detach().norm(dim=1), 1.0, atol=1e-6)


def test_without_any_coverage_the_code_is_zero_and_has_gradients(encoding: TextureEncoding) -> None:
    codes = encoding(features(), torch.zeros(2, 1, 3, 4))
    codes.sum().backward()
    assert not codes.any()
    gradient = encoding.codewords.grad
    assert gradient is not None
    assert np.isfinite(gradient.numpy()).all()


def test_half_precision_features_are_encoded_in_full(encoding: TextureEncoding) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        codes = encoding(features())
    assert codes.dtype == torch.float32
    assert_allclose(codes.detach(), encoding(features()).detach(), atol=0.02)
