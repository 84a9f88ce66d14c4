from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.arrays import AnyArray, IntArray
from lymphct.core.errors import InputError
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.batches import Batch
from lymphct.learning.cases import TrainingCase
from lymphct.learning.centers import RECENT, Centers
from lymphct.learning.lazy_array import LazyArray
from lymphct.learning.patches import PatchSampler
from lymphct.learning.prefetching import pinned
from lymphct.learning.settings import AugmentationSettings, SamplingSettings
from lymphct.learning.windows import Box

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
    assert (batch.image.dtype, batch.labels.dtype) == (torch.float32, torch.uint8)


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


STATISTICS = (IntensityStatistics(-100.0, 240.0, 70.0, 85.0), IntensityStatistics(-79.5, 200.5, 60.0, 50.0))


def raw_case(seed: int = 0, *, stored: bool = False, without_arterial: bool = False) -> TrainingCase:
    """HU and attention in bytes, in memory or behind views; voxels with a class and with attention given."""
    rng = np.random.default_rng(seed)
    shape = (20, 36, 28)
    image = rng.integers(-400, 500, (2, *shape)).astype(np.int16)
    if without_arterial:
        image[0] = 0
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    radius = np.linalg.norm(grid - np.array(shape) / 2, axis=-1)
    labels = (radius < 5).astype(np.uint8)
    attention = np.clip((12 - radius) * 40, 0, 255).astype(np.uint8)
    views = [image, labels, attention]
    if stored:
        views = [
            LazyArray(partial(_boxed, array.swapaxes(-1, -3)), array.shape, array.dtype) for array in views
        ]
    return TrainingCase(
        patient=f"raw{seed}",
        image=views[0],
        labels=views[1],
        attention=views[2],
        intensity=(None if without_arterial else STATISTICS[0], STATISTICS[1]),
        foreground=lambda: {1: np.flatnonzero(labels)},
        attentive=lambda: np.flatnonzero(attention),
    )


READ: list[int] = []


def _boxed(array: AnyArray, box: Box) -> AnyArray:
    part: AnyArray = array[(..., *box)]
    READ.append(part[..., :, :, :].size)
    return part


def normalised_case(case: TrainingCase) -> TrainingCase:
    """The same patient with everything normalised beforehand."""
    return TrainingCase(
        patient=case.patient,
        image=case.normalized_image(),
        labels=case.labels,
        attention=case.whole_attention(),
        fill=tuple(0.0 if s is None else s.fill for s in case.intensity or ()),
        foreground=case.foreground,
        attentive=case.attentive,
    )


STRONG = AugmentationSettings.model_validate(
    dict.fromkeys((n for n in AugmentationSettings.model_fields if n.endswith("_probability")), 0.5)
)


@pytest.mark.parametrize("without_arterial", [False, True])
@pytest.mark.parametrize("augmentation", [NONE, PAPER, STRONG], ids=["none", "paper", "strong"])
def test_hu_normalised_where_they_are_read_give_the_same_patches(
    augmentation: AugmentationSettings, *, without_arterial: bool
) -> None:
    raw = raw_case(without_arterial=without_arterial)
    samplers = [
        PatchSampler([case], _settings(patch_size=(24, 40, 24)), augmentation, 1)
        for case in (raw, raw_case(stored=True, without_arterial=without_arterial), normalised_case(raw))
    ]
    for n in range(4):
        one, stored, other = (sampler.batch(n) for sampler in samplers)
        assert _equal(one, stored)
        seen = slice(int(without_arterial), None)
        assert one.image[:, 0].any() != without_arterial  # no noise where no phase is
        assert one.attention is not None
        assert other.attention is not None
        assert_allclose(one.image[:, seen], other.image[:, seen], atol=2e-5)
        assert_array_equal(one.labels, other.labels)
        assert_allclose(one.attention, other.attention, atol=1e-6)
        assert_array_equal(one.attention > 0, other.attention > 0)


def test_beside_the_image_lies_the_lower_clip_value_of_each_channel() -> None:
    case = raw_case()
    image = PatchSampler([case], _settings(patch_size=(48, 40, 24), batch_size=1), NONE, 0).batch(0).image[0]
    assert image[0, 0, 0, 0].item() == pytest.approx(STATISTICS[0].fill, abs=1e-6)
    assert image[1, 0, 0, 0].item() == pytest.approx(STATISTICS[1].fill, abs=1e-6)
    inside = PatchSampler([normalised_case(case)], _settings(patch_size=(48, 40, 24)), NONE, 0).batch(0)
    assert inside.image[1, 1, 0, 0, 0].item() == pytest.approx(STATISTICS[1].fill, abs=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_patches_finished_elsewhere_equal_those_finished_at_once(dropout: float) -> None:
    cases = [raw_case(0), raw_case(1, without_arterial=True)]
    settings = _settings(phase_dropout=dropout, batch_size=4)
    for given in (cases, [normalised_case(case) for case in cases]):
        sampler = PatchSampler(given, settings, STRONG, 3)
        for n in range(6):
            finished, raw = sampler.batch(n), sampler.raw_batch(n).to(torch.device("cpu"))
            assert_allclose(raw.image, finished.image, atol=1e-4)
            assert torch.equal(raw.labels, finished.labels)
            assert raw.attention is not None
            assert finished.attention is not None
            assert torch.equal(raw.attention, finished.attention)


def test_raw_patches_can_wait_in_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[int] = []

    def pin(x: torch.Tensor) -> torch.Tensor:
        moved.append(x.numel())
        return x.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)  # without a GPU torch refuses
    raw = PatchSampler([raw_case()], _settings(), STRONG, 3).raw_batch(1)
    held = pinned(raw)
    # Two images, labels and attention; nothing but tensors is touched.
    assert len(moved) == 4
    cpu = torch.device("cpu")
    assert _equal(held.to(cpu), raw.to(cpu))


def test_nothing_is_read_before_the_first_batch_and_then_boxes_alone() -> None:
    READ.clear()
    cases = [raw_case(n, stored=True) for n in range(3)]
    sampler = PatchSampler(cases, _settings(patch_size=(12, 16, 8), batch_size=2), NONE, 0)
    assert READ == []
    sampler.batch(0)
    patch = 12 * 16 * 8
    assert set(READ) <= {patch, 2 * patch}
    # The image of a patch is read once, however often the patch was drawn again for its attention.
    images = sum(size == 2 * patch for size in READ)
    assert images == 2


def test_given_voxels_are_asked_for_again_and_not_kept(make_case: MakeCase) -> None:
    asked: list[int] = []

    def case(number: int) -> TrainingCase:
        plain = make_case(number)

        def foreground() -> dict[int, IntArray]:
            asked.append(number)
            return {1: np.flatnonzero(np.asarray(plain.labels))}

        return TrainingCase(
            patient=f"p{number}",
            image=plain.image,
            labels=plain.labels,
            attention=None,
            fill=-4.0,
            foreground=foreground,
        )

    centers = Centers([case(n) for n in range(RECENT + 1)], 0, attention=False)
    assert asked == list(range(RECENT + 1))
    centers.foreground(RECENT, 0)
    assert len(asked) == RECENT + 1  # still remembered
    centers.foreground(0, 0)
    assert asked[-1] == 0
    assert len(asked) == RECENT + 2
