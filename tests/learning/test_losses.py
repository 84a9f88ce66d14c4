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
    labelled_classes,
    labels_at,
    segmentation_loss,
    tversky_loss,
    with_merged_background,
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


def _all(patches: int) -> Tensor:
    return torch.ones(patches, 255, dtype=torch.bool)


def _only(*drawn: tuple[int, ...] | None) -> Tensor:
    labelled = labelled_classes(drawn)
    assert labelled is not None
    return labelled


def test_with_every_class_drawn_loss_and_gradient_stay_the_same_to_the_last_bit() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (2, 4, 8, 8))
    labels[0, 0] = 255
    for settings in (PAPER, LossSettings(average_over="present", positive_voxel_weight=4)):
        results = []
        for labelled in (None, _all(2)):
            torch.manual_seed(1)
            logits = torch.randn(2, 4, 4, 8, 8, requires_grad=True)
            value = DeepSupervisionLoss(settings)([logits], labels, labelled)
            value.backward()  # type: ignore[no-untyped-call] # torch's stubs
            assert logits.grad is not None
            results.append((value.detach(), logits.grad))
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])


def test_which_classes_were_drawn_is_told_patch_by_patch() -> None:
    assert labelled_classes([None, None]) is None
    assert _only((2,), None)[:, :4].tolist() == [[True, False, True, False], [True] * 4]
    assert _only((), None)[0].sum() == 1  # background


def test_background_stands_for_what_was_not_drawn_worked_out_by_hand() -> None:
    # Class 2 was not drawn: the voxel called background has p = 0.2 + 0.3, the one of class 1 has 0.6.
    p = torch.tensor([[0.2, 0.1], [0.5, 0.6], [0.3, 0.3]]).reshape(1, 3, 1, 1, 2)
    merged = with_merged_background(p.log(), _only((1,)))
    assert merged[0, 0].exp().flatten().tolist() == pytest.approx([0.5, 0.4])
    loss = segmentation_loss(p.log(), _labels([0, 1]), PAPER, _only((1,)))
    entropy = -(math.log(0.5) + math.log(0.6)) / 2
    overlap = -(2 * 0.6 + 1e-5) / (2 * 0.6 + 0.5 * 0.5 + 1.5 * 0.4 + 1e-5)  # of class 1 alone
    assert loss.item() == pytest.approx(entropy + overlap, abs=1e-6)


def test_in_background_a_class_that_was_not_drawn_is_pushed_with_background_and_not_against_it() -> None:
    logits = torch.tensor([0.3, -0.2, 1.1, 0.4]).reshape(1, 4, 1, 1, 1).requires_grad_()
    only_entropy = LossSettings(tversky_weight=0)
    segmentation_loss(logits, _labels([0]), only_entropy, _only((1,))).backward()  # type: ignore[no-untyped-call] # torch's stubs
    assert logits.grad is not None
    pushed = logits.grad.flatten().clone()
    p = logits.detach().flatten().softmax(0)
    merged = p[0] + p[2] + p[3]
    # d −log(p0 + p2 + p3): within the sum nothing decides, all of it is pushed up in proportion.
    expected = [p[n] - (p[n] / merged if n != 1 else 0) for n in range(4)]
    assert pushed.tolist() == pytest.approx([float(x) for x in expected], abs=1e-6)
    assert (pushed[[0, 2, 3]] < 0).all()
    assert pushed[1] > 0
    segmentation_loss(logits, _labels([0]), only_entropy).backward()  # type: ignore[no-untyped-call] # torch's stubs
    assert ((logits.grad.flatten() - pushed)[[2, 3]] > 0).all()  # drawn classes are pushed down there


def test_the_overlap_of_a_class_is_counted_in_the_patches_that_show_it_alone() -> None:
    torch.manual_seed(0)
    probabilities = torch.randn(2, 3, 2, 3, 4).softmax(1)
    labels = torch.randint(0, 3, (2, 2, 3, 4))
    labels[1][labels[1] == 2] = 0
    for average in ("all", "present"):
        settings = LossSettings(average_over=average)
        partly = tversky_loss(probabilities, labels, settings, _only(None, (1,)))
        one = tversky_loss(probabilities[:, :2], labels * (labels == 1), settings)
        two = tversky_loss(probabilities[:1, 1:], (labels[:1] - 1).clamp(min=0), settings)
        assert partly.item() == pytest.approx((one + two).item() / 2, rel=1e-6)


def test_a_class_that_no_patch_of_the_batch_shows_is_left_out_of_the_average() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 2, 3, 4, requires_grad=True), torch.zeros(1, 2, 3, 4).long()
    for average in ("all", "present"):
        settings = LossSettings(average_over=average, cross_entropy_weight=0)
        value = segmentation_loss(logits, labels, settings, _only((1,)))
        assert value.item() == pytest.approx(
            tversky_loss(logits.softmax(1)[:, :2], labels, settings).item(), rel=1e-6
        )
        nothing = segmentation_loss(logits, labels, settings, _only(()))
        assert nothing.item() == 0
        nothing.backward()  # type: ignore[no-untyped-call] # torch's stubs
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
