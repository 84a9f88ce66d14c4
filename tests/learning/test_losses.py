import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lymphct.learning.losses import (
    DeepSupervisionLoss,
    cross_entropy,
    deep_supervision_weights,
    labels_at,
    segmentation_loss,
    tversky_loss,
)
from lymphct.learning.settings import LossSettings

PAPER = LossSettings()


def _two_channels(foreground: list[float]) -> Tensor:
    p = torch.tensor(foreground).reshape(1, 1, 1, 1, -1)
    return torch.cat([1 - p, p], dim=1)


def _labels(values: list[int]) -> Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


def test_tversky_of_four_voxels_worked_out_by_hand() -> None:
    # TP = 0.8 + 0.6, FP = 0.3 + 0.1, FN = 0.2 + 0.4
    loss = tversky_loss(_two_channels([0.8, 0.6, 0.3, 0.1]), _labels([1, 1, 0, 0]), PAPER)
    expected = -(2 * 1.4 + 1e-5) / (2 * 1.4 + 0.5 * 0.4 + 1.5 * 0.6 + 1e-5)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(0, 1)), min_size=1, max_size=30))
def test_tversky_with_alpha_and_beta_1_is_dice(voxels: list[tuple[float, int]]) -> None:
    p, y = [v[0] for v in voxels], [v[1] for v in voxels]
    loss = tversky_loss(_two_channels(p), _labels(y), LossSettings(tversky_alpha=1, tversky_beta=1))
    both = sum(a * b for a, b in voxels)
    assert loss.item() == pytest.approx(-(2 * both + 1e-5) / (sum(p) + sum(y) + 1e-5), abs=1e-5)


def test_the_paper_weights_are_the_common_tversky_index_at_a_quarter_and_three_quarters() -> None:
    probabilities, labels = _two_channels([0.9, 0.2, 0.7, 0.4]), _labels([1, 1, 0, 0])
    tp, fp, fn = 1.1, 1.1, 0.9
    common = tp / (tp + 0.25 * fp + 0.75 * fn)
    assert tversky_loss(probabilities, labels, PAPER).item() == pytest.approx(-common, abs=1e-5)


def test_counts_are_pooled_over_the_batch() -> None:
    probabilities = torch.cat([_two_channels([0.9, 0.1]), _two_channels([0.5, 0.5])])
    labels = torch.cat([_labels([1, 0]), _labels([0, 0])])
    joined = tversky_loss(_two_channels([0.9, 0.1, 0.5, 0.5]), _labels([1, 0, 0, 0]), PAPER)
    assert tversky_loss(probabilities, labels, PAPER).item() == pytest.approx(joined.item())


def test_the_gradient_is_finite_when_nothing_is_foreground() -> None:
    logits = torch.randn(2, 2, 3, 4, 5, requires_grad=True)
    segmentation_loss(logits, torch.zeros(2, 3, 4, 5, dtype=torch.long), PAPER).backward()  # type: ignore[no-untyped-call] # torch's stubs
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_unlabelled_voxels_change_neither_loss_nor_gradient() -> None:
    labels = torch.tensor([[[[0, 1, 2, 255]]]])
    logits = torch.randn(1, 3, 1, 1, 4)
    other = logits.clone()
    other[..., 3] = 17.0
    assert segmentation_loss(logits, labels, PAPER).item() == segmentation_loss(other, labels, PAPER).item()


def test_a_batch_without_any_label_has_a_finite_loss() -> None:
    logits = torch.randn(1, 2, 2, 2, 2)
    assert math.isfinite(segmentation_loss(logits, torch.full((1, 2, 2, 2), 255), PAPER).item())


def test_cross_entropy_of_four_voxels_worked_out_by_hand() -> None:
    # -ln 0.8 - ln 0.6 - ln 0.7 - ln 0.9 = 0.2231 + 0.5108 + 0.3567 + 0.1054 = 1.1960
    entropy = cross_entropy(_two_channels([0.8, 0.6, 0.3, 0.1]).log(), _labels([1, 1, 0, 0]))
    assert entropy.item() == pytest.approx(1.1960 / 4, abs=1e-4)


def test_the_loss_is_the_sum_of_cross_entropy_and_tversky_worked_out_by_hand() -> None:
    # as above: 1.1960 / 4 = 0.2990, and -2.8 / (2.8 + 0.2 + 0.9) = -0.7179
    logits = _two_channels([0.8, 0.6, 0.3, 0.1]).log()
    assert segmentation_loss(logits, _labels([1, 1, 0, 0]), PAPER).item() == pytest.approx(-0.4189, abs=2e-4)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_cross_entropy_is_that_of_torch_with_the_weight_of_positive_voxels(weight: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 2, 3, 4), torch.randint(0, 3, (2, 2, 3, 4))
    labels[0, 0] = 255
    expected = nn.functional.cross_entropy(
        logits, labels, torch.tensor([1.0, weight, weight]), ignore_index=255
    )
    mine = cross_entropy(logits.log_softmax(1), labels, weight)
    assert mine.item() == pytest.approx(expected.item(), rel=1e-6)


def test_classes_absent_from_the_batch_can_be_left_out_of_the_average() -> None:
    probabilities = torch.tensor([0.1, 0.7, 0.2]).reshape(1, 3, 1, 1, 1)
    present = tversky_loss(probabilities, _labels([1]), LossSettings(average_over="present"))
    only = -(2 * 0.7 + 1e-5) / (2 * 0.7 + 1.5 * 0.3 + 1e-5)
    assert present.item() == pytest.approx(only, rel=1e-5)
    everything = tversky_loss(probabilities, _labels([1]), PAPER)
    assert everything.item() == pytest.approx((only - 1e-5 / (0.5 * 0.2 + 1e-5)) / 2, rel=1e-4)


def test_with_no_class_present_all_of_them_count() -> None:
    probabilities = torch.tensor([0.1, 0.7, 0.2]).reshape(1, 3, 1, 1, 1)
    settings = LossSettings(average_over="present")
    assert (
        tversky_loss(probabilities, _labels([0]), settings).item()
        == tversky_loss(probabilities, _labels([0]), PAPER).item()
    )


@pytest.mark.parametrize(
    ("scales", "expected"), [(1, [1.0]), (2, [1.0, 0.0]), (4, [4 / 7, 2 / 7, 1 / 7, 0.0])]
)
def test_deep_supervision_weights_halve_and_end_in_0(scales: int, expected: list[float]) -> None:
    assert deep_supervision_weights(scales) == pytest.approx(expected)


def test_labels_of_a_coarse_scale_are_picked_without_mixing_them() -> None:
    labels = torch.arange(4 * 4 * 2).reshape(1, 4, 4, 2)
    assert labels_at(labels, (2, 2, 2)).tolist() == labels[:, ::2, ::2, :].tolist()
    assert labels_at(labels, (1, 1, 1)).tolist() == [[[[labels[0, 1, 1, 0].item()]]]]


def test_the_sum_over_scales_is_weighted_and_the_lowest_plays_no_part() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (1, 4, 8, 8))
    logits = [torch.randn(1, 2, 4 // s, 8 // s, 8 // s) for s in (1, 2, 4)]
    total = DeepSupervisionLoss(PAPER)(logits, labels)
    first = segmentation_loss(logits[0], labels, PAPER)
    second = segmentation_loss(logits[1], labels_at(labels, (2, 4, 4)), PAPER)
    assert total.item() == pytest.approx((2 * first + second).item() / 3, rel=1e-6)
