from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from lymphct.core.errors import InputError
from lymphct.learning.cases import TrainingCase
from lymphct.learning.patches import Batch, PatchSampler
from lymphct.learning.settings import AugmentationSettings, SamplingSettings

MakeCase = Callable[..., TrainingCase]
PAPER = AugmentationSettings()
NONE = AugmentationSettings.preset("none")
FLIPS = AugmentationSettings.preset("flips")


def _settings(**changes: object) -> SamplingSettings:
    return SamplingSettings.model_validate({"patch_size": (12, 16, 8)} | changes)


def _equal(first: Batch, second: Batch) -> bool:
    assert first.attention is not None
    assert second.attention is not None
    return (
        torch.equal(first.image, second.image)
        and torch.equal(first.labels, second.labels)
        and torch.equal(first.attention, second.attention)
    )


def test_a_batch_has_the_shapes_and_types_the_networks_take(make_case: MakeCase) -> None:
    batch = PatchSampler([make_case(0), make_case(1)], _settings(), PAPER, 0).batch(3)
    assert batch.attention is not None
    assert tuple(batch.image.shape) == (2, 2, 8, 16, 12)
    assert tuple(batch.labels.shape) == (2, 8, 16, 12)
    assert tuple(batch.attention.shape) == (2, 1, 8, 16, 12)
    assert (batch.image.dtype, batch.labels.dtype) == (torch.float32, torch.int64)


def test_a_batch_depends_on_seed_and_iteration_alone(make_case: MakeCase) -> None:
    cases = [make_case(0), make_case(1)]
    one, two = (PatchSampler(cases, _settings(), PAPER, 5) for _ in range(2))
    for iteration in range(4):
        one.batch(iteration)
    assert _equal(one.batch(9), two.batch(9))
    assert not _equal(one.batch(9), one.batch(10))
    assert not _equal(one.batch(9), PatchSampler(cases, _settings(), PAPER, 6).batch(9))


@pytest.mark.parametrize(
    ("size", "fraction", "expected"),
    [(1, 1 / 3, 1), (2, 1 / 3, 1), (3, 1 / 3, 2), (4, 1 / 3, 2), (6, 0.5, 4), (4, 1.0, 4), (4, 0.0, 0)],
)
def test_more_than_the_fraction_of_a_batch_is_foreground(size: int, fraction: float, expected: int) -> None:
    assert _settings(batch_size=size, foreground_fraction=fraction).foreground_patches == expected


def test_one_of_two_final_patches_contains_foreground_even_under_strong_augmentation(
    make_case: MakeCase,
) -> None:
    cases = [make_case(0), make_case(1, labelled=False), make_case(2)]
    sampler = PatchSampler(cases, _settings(patch_size=(4, 4, 4)), PAPER, 0)
    assert all(sampler.batch(n).labels[1].any() for n in range(40))
    assert not all(sampler.batch(n).labels[0].any() for n in range(40))


def test_every_final_patch_has_attention_and_the_rejected_share_is_reported(make_case: MakeCase) -> None:
    sampler = PatchSampler([make_case(0, (40, 60, 50))], _settings(patch_size=(8, 8, 8)), PAPER, 0)
    assert sampler.rejected_share == 0
    for n in range(40):
        attention = sampler.batch(n).attention
        assert attention is not None
        assert attention.amax((1, 2, 3, 4)).min() > 0
    assert 0.3 < sampler.rejected_share < 1
    assert sampler.drawn == 80 + sampler.rejected


def test_without_the_rule_patches_may_lie_where_no_attention_is(make_case: MakeCase) -> None:
    settings = _settings(patch_size=(8, 8, 8), informative_negatives=False)
    sampler = PatchSampler([make_case(0, (40, 60, 50))], settings, NONE, 0)
    highest = [sampler.batch(n).attention[0].max().item() for n in range(20)]  # type: ignore[index] # it has attention
    assert min(highest) == 0
    assert sampler.rejected == 0


def test_a_minimum_share_of_attention_can_be_asked_for(make_case: MakeCase) -> None:
    settings = _settings(min_attention_fraction=0.5, patch_size=(8, 8, 8), tries=200)
    sampler = PatchSampler([make_case(0)], settings, FLIPS, 0)
    for n in range(10):
        attention = sampler.batch(n).attention
        assert attention is not None
        assert ((attention > 0).float().mean((1, 2, 3, 4)) > 0.5).all()


def test_when_all_tries_fail_the_patch_is_cut_from_the_attention(make_case: MakeCase) -> None:
    case = make_case(0, (60, 80, 80))
    attention = np.zeros_like(case.attention)
    attention[50, 70, 3] = 1.0  # one voxel of 384,000: hardly ever drawn by chance
    lonely = TrainingCase(
        patient="lonely", image=case.image, labels=case.labels, attention=attention, fill=-4.0
    )
    settings = _settings(patch_size=(4, 4, 4), tries=1, foreground_fraction=0)
    batch = PatchSampler([lonely], settings, PAPER, 0).batch(0)
    assert batch.attention is not None
    assert batch.attention.amax((1, 2, 3, 4)).tolist() == [1, 1]


def test_patients_without_attention_are_not_drawn_for_background(make_case: MakeCase) -> None:
    dark = make_case(3, labelled=False)
    dark = TrainingCase(
        patient="dark",
        image=np.asarray(dark.image) + 100,
        labels=dark.labels,
        attention=0 * np.asarray(dark.labels).astype(np.float32),
        fill=-4.0,
    )
    sampler = PatchSampler([dark, make_case(0)], _settings(), NONE, 0)
    assert all(sampler.batch(n).image.max() < 50 for n in range(10))


def test_image_labels_and_attention_move_together(make_case: MakeCase) -> None:
    case = make_case(0)
    labels = np.asarray(case.labels)
    marked = TrainingCase(
        patient="marked",
        image=np.stack([labels, labels]).astype(np.float32),
        labels=labels,
        attention=labels.astype(np.float32),
        fill=0.0,
    )
    spatial = AugmentationSettings.model_validate(
        NONE.model_dump()
        | {"mirror_axes": (True, True, True), "rotation_probability": 1, "scaling_probability": 1}
    )
    sampler = PatchSampler([marked], _settings(), spatial, 0)
    for n in range(5):
        batch = sampler.batch(n)
        assert batch.attention is not None
        assert torch.equal(batch.image[:, :1], batch.attention)
        away = (batch.attention[:, 0] - 0.5).abs() > 0.45  # nearest and linear may differ at the edge
        assert torch.equal((batch.attention[:, 0] > 0.5)[away], (batch.labels == 1)[away])


def test_a_small_image_is_padded_with_fill_background_and_no_attention(make_case: MakeCase) -> None:
    case = make_case(0, (6, 8, 10))
    batch = PatchSampler([case], _settings(batch_size=1), NONE, 0).batch(0)
    assert batch.attention is not None
    assert_array_equal(batch.image[0, :, 1:7, 4:12, 1:11].numpy(), case.image)
    assert (batch.image[0, :, 0] == -4).all()
    assert (batch.image[0, :, :, :4] == -4).all()
    assert int(batch.labels.sum()) == int(np.asarray(case.labels).sum())
    assert batch.attention.sum().item() == pytest.approx(float(np.asarray(case.attention).sum()), rel=1e-5)


def test_phase_dropout_empties_the_arterial_channel_only(make_case: MakeCase) -> None:
    sampler = PatchSampler([make_case(0)], _settings(batch_size=4, phase_dropout=0.5), NONE, 0)
    images = torch.cat([sampler.batch(n).image for n in range(20)])
    empty = ~images[:, 0].flatten(1).any(dim=1)
    assert 20 < int(empty.sum()) < 60
    assert images[:, 1].flatten(1).any(dim=1).all()


def test_rare_classes_are_drawn_as_often_as_common_ones(make_case: MakeCase) -> None:
    case = make_case(0, labelled=False, with_attention=False)
    labels = np.array(case.labels)
    labels[:10], labels[16, 30, 20], labels[18:] = 1, 2, 255
    several = TrainingCase(patient="several", image=case.image, labels=labels, attention=None, fill=-4.0)
    sampler = PatchSampler([several], _settings(patch_size=(4, 4, 4), batch_size=1), NONE, 0)
    batches = [sampler.batch(n) for n in range(60)]
    assert 18 < sum(bool((batch.labels == 2).any()) for batch in batches) < 42
    assert batches[0].attention is None


def test_a_class_that_few_patients_show_is_drawn_as_often_as_if_all_did(make_case: MakeCase) -> None:
    case = make_case(0, labelled=False, with_attention=False)
    both, one = np.zeros_like(case.labels), np.zeros_like(case.labels)
    both[4:8], both[-8:-4], one[4:8] = 1, 2, 1
    whole = TrainingCase(
        patient="w", image=case.image, labels=both, attention=None, fill=-4.0, labelled=(1, 2)
    )
    partial = TrainingCase(
        patient="p", image=case.image, labels=one, attention=None, fill=-4.0, labelled=(1,)
    )
    settings = _settings(patch_size=(4, 4, 4), batch_size=1)
    sampler = PatchSampler([whole, *[partial] * 9], settings, NONE, 0)
    batches = [sampler.batch(n) for n in range(100)]
    assert 35 < sum(bool((batch.labels == 2).any()) for batch in batches) < 65
    shown = sum(bool(batch.labelled is not None and batch.labelled[0, 2]) for batch in batches)
    assert 40 < shown < 70  # the other class is drawn from all ten


def test_a_memory_map_is_read_patch_by_patch(make_case: MakeCase, tmp_path: object) -> None:
    case = make_case(0)
    np.save(f"{tmp_path}/image.npy", case.image)
    mapped = TrainingCase(
        patient="mapped",
        image=np.load(f"{tmp_path}/image.npy", mmap_mode="r"),
        labels=case.labels,
        attention=case.attention,
        fill=case.fill,
    )
    assert _equal(
        PatchSampler([mapped], _settings(), FLIPS, 0).batch(2),
        PatchSampler([case], _settings(), FLIPS, 0).batch(2),
    )


def test_patients_with_and_without_attention_are_not_mixed(make_case: MakeCase) -> None:
    with pytest.raises(InputError, match="1 of 2 training patients have an attention map"):
        PatchSampler([make_case(0), make_case(1, with_attention=False)], _settings(), NONE, 0)
    with pytest.raises(InputError, match="0 of 0 training patients"):
        PatchSampler([], _settings(), NONE, 0)


def test_informative_patches_from_nowhere_are_refused(make_case: MakeCase) -> None:
    case = make_case(0)
    dark = TrainingCase(
        patient="dark",
        image=case.image,
        labels=case.labels,
        attention=0 * np.asarray(case.image)[0],
        fill=-4.0,
    )
    with pytest.raises(InputError, match="no voxel of any training patient has attention"):
        PatchSampler([dark], _settings(), NONE, 0)
    free = PatchSampler([dark], _settings(informative_negatives=False), NONE, 0)
    assert tuple(free.batch(0).image.shape) == (2, 2, 8, 16, 12)
