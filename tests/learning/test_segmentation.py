from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from lymphct.core.arrays import LabelArray
from lymphct.learning.batches import Batch
from lymphct.learning.cases import TrainingCase
from lymphct.learning.inference import sliding_window_labels
from lymphct.learning.patches import PatchSampler
from lymphct.learning.segmentation import (
    batch_loss,
    fit_segmentation,
    is_augmented_on_device,
    without_untaught,
)
from lymphct.learning.settings import (
    AugmentationSettings,
    LossSettings,
    SamplingSettings,
    SegmentationTrainingSettings,
    TrainingSettings,
    UNetSettings,
)
from lymphct.learning.unet import SegmentationNetwork, initialize
from lymphct.learning.validation import mean_dice, patch_dice, validation_sampler

MakeCase = Callable[..., TrainingCase]
UNET = UNetSettings(features=(8, 12, 16), strides=((1, 1, 1), (2, 2, 2), (2, 2, 1)))


def _settings(**training: object) -> SegmentationTrainingSettings:
    fast = {"epochs": 2, "iterations_per_epoch": 20, "optimizer": "adamw", "learning_rate": 5e-3}
    return SegmentationTrainingSettings(
        unet=UNET,
        sampling=SamplingSettings(patch_size=(24, 24, 16)),
        augmentation=AugmentationSettings.preset("flips"),
        training=TrainingSettings.model_validate(fast | training),
    )


def _network() -> SegmentationNetwork:
    network = SegmentationNetwork(2, 2, UNET)
    initialize(network, torch.Generator().manual_seed(0))
    return network


@pytest.mark.slow
def test_one_case_is_learned_in_a_few_seconds(make_case: MakeCase) -> None:
    case = make_case(0)
    records = list(
        fit_segmentation(_network(), [case], [case], _settings(epochs=4, validate_every=4), seed=0)
    )
    assert records[-1].score is not None
    assert records[-1].score > 0.9
    assert records[-1].loss < records[0].loss


def test_a_resumed_segmentation_training_equals_an_uninterrupted_one(make_case: MakeCase) -> None:
    cases, settings = [make_case(0), make_case(1)], _settings(iterations_per_epoch=3)
    whole = list(fit_segmentation(_network(), cases, cases[:1], settings, seed=4))
    torch.manual_seed(99)
    (rest,) = fit_segmentation(_network(), cases, cases[:1], settings, seed=4, state=whole[0].state)
    assert rest.score == whole[1].score
    for name, x in whole[1].state.tensors.items():
        assert torch.equal(rest.state.tensors[name], x), name


def test_without_validation_patients_no_score_is_given(make_case: MakeCase) -> None:
    settings = _settings(epochs=1, iterations_per_epoch=1)
    (record,) = fit_segmentation(_network(), [make_case(0)], [], settings, seed=0)
    assert record.score is None


class Fixed(nn.Module):
    """Calls a voxel class n where the first channel is n."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor, _attention: Tensor | None = None) -> list[Tensor]:
        return [torch.stack([-((image[:, 0] - n) ** 2) for n in range(4)], dim=1)]


def _case(prediction: list[int], truth: list[int]) -> TrainingCase:
    def spread(values: list[int]) -> LabelArray:
        array = np.zeros((16, 32, 24), np.uint8)
        array[0, 0, : len(values)] = values
        return array

    return TrainingCase(
        patient="p",
        image=spread(prediction)[None].astype(np.float32),
        labels=spread(truth),
        attention=None,
        fill=0.0,
    )


def test_the_score_is_the_dice_of_the_voxels_of_all_patients_averaged_over_classes() -> None:
    cases = [_case([1, 1, 2, 0], [1, 2, 2, 0]), _case([0, 1, 0, 0], [0, 0, 0, 0])]
    # class 1: one common voxel, 3 found, 1 drawn; class 2: one common, 1 found, 2 drawn; class 3: nowhere
    expected = (2 / 4 + 2 / 3) / 2
    assert mean_dice(Fixed(), cases, _settings()) == pytest.approx(expected)


def test_unlabelled_voxels_are_not_scored_and_nothing_to_find_scores_1() -> None:
    assert mean_dice(Fixed(), [_case([1, 2], [1, 255])], _settings()) == 1.0
    assert mean_dice(Fixed(), [_case([0, 0], [0, 0])], _settings()) == 1.0
    assert mean_dice(Fixed(), [], _settings()) == 1.0


def test_a_patient_counts_for_the_classes_that_were_drawn_in_him() -> None:
    partly = replace(_case([1, 2, 2, 1], [1, 0, 0, 0]), labelled=(1,))
    # class 1: one common voxel, 2 found, 1 drawn; class 2 was not drawn and is nowhere else
    assert mean_dice(Fixed(), [partly], _settings()) == pytest.approx(2 / 3)
    whole = _case([2, 2, 0, 0], [2, 0, 0, 0])
    # class 2 of the other patient: one common, 2 found, 1 drawn
    assert mean_dice(Fixed(), [partly, whole], _settings()) == pytest.approx((2 / 3 + 2 / 3) / 2)
    # a voxel of class 1 that was called something not drawn is still missed
    missed = replace(_case([2, 1, 0, 0], [1, 1, 0, 0]), labelled=(1,))
    assert mean_dice(Fixed(), [missed], _settings()) == pytest.approx(2 / 3)


def _labelled(batch: Batch) -> Tensor:
    return torch.ones(len(batch.labels), 2) if batch.labelled is None else batch.labelled


def test_a_batch_says_which_classes_its_patients_show(make_case: MakeCase) -> None:
    cases = [replace(make_case(0), labelled=()), make_case(1)]
    sampling = SamplingSettings(patch_size=(24, 24, 16), batch_size=4, informative_negatives=False)
    sampler = PatchSampler(cases, sampling, AugmentationSettings.preset("none"), seed=0)
    shown = [row for n in range(4) for row in _labelled(sampler.batch(n))[:, 1].tolist()]
    assert {True, False} == {bool(x) for x in shown}
    assert PatchSampler(cases[1:], sampling, AugmentationSettings.preset("none"), 0).batch(0).labelled is None


def test_validation_can_be_limited_to_the_first_patients(make_case: MakeCase) -> None:
    calls = []
    for limit in (1, None):
        settings = _settings(epochs=1, iterations_per_epoch=1).model_copy(
            update={"validate_on": "windows", "validation_cases": limit}
        )
        network = _network()
        seen: list[int] = []
        network.register_forward_hook(lambda module, *_, seen=seen: seen.append(int(module.training)))
        list(fit_segmentation(network, [make_case(0)], [make_case(n) for n in range(3)], settings, seed=0))
        calls.append(seen.count(0))
    assert calls[1] == 3 * calls[0] > 0


def test_validation_looks_at_as_many_patches_as_asked_for(make_case: MakeCase) -> None:
    settings = _settings(epochs=2, iterations_per_epoch=1).model_copy(update={"validation_patches": 5})
    network = _network()
    seen: list[int] = []
    network.register_forward_hook(
        lambda module, given, _: seen.extend([] if module.training else [len(given[0])])
    )
    list(fit_segmentation(network, [make_case(0)], [make_case(1), make_case(2)], settings, seed=0))
    assert seen == 2 * [2, 2, 2]  # twice three batches of two hold five
    assert network.training


def test_the_patches_of_a_validation_stay_the_same_and_are_not_changed(make_case: MakeCase) -> None:
    cases = [make_case(1), make_case(2)]
    changed = {"rotation_probability": 1.0, "noise_probability": 1.0, "mirror_axes": (True, True, True)}
    settings = _settings().model_copy(
        update={
            "augmentation": AugmentationSettings.model_validate(changed),
            "sampling": SamplingSettings(patch_size=(24, 24, 16), phase_dropout=1.0),
        }
    )
    sampler = validation_sampler(cases, settings, seed=3)
    batch = sampler.batch(0)
    values = np.concatenate([np.asarray(case.image).ravel() for case in cases])
    assert np.isin(batch.image.numpy().ravel(), np.append(values, np.float32(-4.0))).all()
    again = validation_sampler(cases, settings, seed=3).batch(0)
    assert torch.equal(batch.image, again.image)
    network = _network()
    assert patch_dice(network, sampler, settings) == patch_dice(network, sampler, settings)


def test_dice_on_patches_pools_the_voxels_of_all_of_them() -> None:
    cases = [_case([1, 1, 2, 0], [1, 2, 2, 0])]
    # The patch is the whole image, so every one of the four holds the same voxels.
    settings = _settings().model_copy(
        update={"sampling": SamplingSettings(patch_size=(24, 32, 16)), "validation_patches": 4}
    )
    expected = (2 / 3 + 2 / 3) / 2
    assert patch_dice(Fixed(), validation_sampler(cases, settings, 0), settings) == pytest.approx(expected)


def test_validation_patients_without_any_attention_are_scored_too(make_case: MakeCase) -> None:
    case = make_case(0)
    dark = TrainingCase(
        patient="dark",
        image=case.image,
        labels=case.labels,
        attention=np.zeros((20, 36, 28), np.float32),
        fill=-4.0,
    )
    settings = _settings(epochs=1, iterations_per_epoch=1)
    (record,) = fit_segmentation(_network(), [case], [dark], settings, seed=0)
    assert record.score is not None


def test_the_share_of_rejected_patches_is_recorded_and_survives_a_resume(
    make_case: MakeCase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings = _settings(epochs=3, iterations_per_epoch=8).model_copy(
        update={"sampling": SamplingSettings(patch_size=(4, 4, 4)), "unet": UNET}
    )
    cases = [make_case(0, (40, 60, 50))]
    whole = list(fit_segmentation(_network(), cases, [], settings, seed=4))
    assert all(record.rejected_share is not None for record in whole)
    assert max(record.rejected_share or 0 for record in whole) > 0
    drawn, rejected = (whole[-1].state.meta[name] for name in ("drawn", "rejected"))
    assert isinstance(drawn, int)
    assert isinstance(rejected, int)
    assert drawn == 3 * 8 * 2 + rejected
    assert f"{100 * rejected / drawn:.1f} % of {drawn} patches were drawn again" in caplog.text
    rest = list(fit_segmentation(_network(), cases, [], settings, seed=4, state=whole[0].state))
    assert [r.rejected_share for r in rest] == [r.rejected_share for r in whole[1:]]
    assert rest[-1].state.meta == whole[-1].state.meta


def test_patches_finished_where_the_network_is_teach_the_same(make_case: MakeCase) -> None:
    losses = []
    for where in ("cpu", "device"):
        changed = AugmentationSettings.model_validate(
            {"augment_on": where, "rotation_probability": 0.5, "noise_probability": 0.5}
        )
        settings = _settings(iterations_per_epoch=4).model_copy(update={"augmentation": changed})
        records = fit_segmentation(_network(), [make_case(0)], [], settings, seed=1)
        losses.append([record.loss for record in records])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] != [losses[0][0]] * 2


def test_patches_are_finished_on_a_gpu_unless_told_otherwise() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert not is_augmented_on_device("auto", cpu)
    assert is_augmented_on_device("auto", gpu)
    assert not is_augmented_on_device("cpu", gpu)
    assert is_augmented_on_device("device", cpu)


def test_the_loss_shows_the_network_image_and_attention() -> None:
    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, image: Tensor, attention: Tensor) -> list[Tensor]:
            return [self.scale * torch.cat([image, attention], dim=1)]

    labels = torch.ones(1, 2, 2, 2, dtype=torch.long)
    batch = Batch(torch.zeros(1, 1, 2, 2, 2), labels, torch.full((1, 1, 2, 2, 2), 20.0))
    assert batch_loss(LossSettings())(Spy(), batch).item() == pytest.approx(-1.0, abs=1e-3)


def test_a_patch_that_the_strides_do_not_divide_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"patch_size \(24, 24, 15\) must be a multiple .* \(4, 4, 2\)"):
        SegmentationTrainingSettings(unet=UNET, sampling=SamplingSettings(patch_size=(24, 24, 15)))


def test_classes_that_nobody_drew_are_background_for_everybody(make_case: MakeCase) -> None:
    one, other = (replace(make_case(n), labelled=labelled) for n, labelled in enumerate(((1, 2), (1,))))
    first, second = without_untaught([one, other])
    assert first.labelled is None  # it shows all that anybody drew
    assert second.labelled == (1, *range(3, 255))  # 2 may be in its background, 3 and above are nowhere
    whole = make_case(2)
    assert without_untaught([one, whole]) == [one, whole]  # whoever drew everything drew those as well
    alone = without_untaught([other])
    assert [case.labelled for case in alone] == [None]


def test_a_network_does_not_call_anything_what_nobody_showed_it(make_case: MakeCase) -> None:
    case = replace(make_case(0), labelled=(1,))
    network = SegmentationNetwork(2, 4, UNET)
    initialize(network, torch.Generator().manual_seed(0))
    *_, last = fit_segmentation(network, [case], [], _settings(epochs=1, iterations_per_epoch=40), seed=0)
    assert last.state.epoch == 1
    found = sliding_window_labels(
        network, case.normalized_image(), None, (24, 24, 16), _settings().inference
    ).numpy()
    assert (found == 1).any()
    assert (found > 1).mean() < 0.02
