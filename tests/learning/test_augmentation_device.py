"""Processor and device give the same patches from the same numbers, here on tensors of the processor."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from lymphct.core.arrays import AnyArray
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.augmentation import (
    IntensityChanges,
    Noise,
    PatchPlace,
    attention_on_device,
    change_intensities,
    cut_attention,
    cut_image,
    cut_labels,
    draw_changes,
    image_on_device,
    intensities_on_device,
    labels_on_device,
)
from lymphct.learning.settings import AugmentationSettings

STATISTICS = (IntensityStatistics(-100.5, 240.0, 70.0, 85.0), IntensityStatistics(-80.0, 190.25, 50.0, 60.0))
PATCH = (16, 22, 18)
LOUD = AugmentationSettings.model_validate(
    {name: 1.0 for name in AugmentationSettings.model_fields if name.endswith("_probability")}
)
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
    ),
]


def patient(seed: int = 0) -> tuple[AnyArray, AnyArray, AnyArray]:
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(2, 40, 44, 42)), (0, 1, 1, 1)) * 900
    attention = np.clip(field[0] / 2, 0, 255).astype(np.uint8)
    return (field + 60).astype(np.int16), attention, rng.integers(0, 4, size=(40, 44, 42)).astype(np.uint8)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("settings", [LOUD, AugmentationSettings(), AugmentationSettings.preset("flips")])
@pytest.mark.parametrize("start", [(6, 5, 7), (-9, 21, -4), (60, 0, 0)])
def test_a_device_gives_the_processors_patch(
    device: str, settings: AugmentationSettings, start: tuple[int, int, int]
) -> None:
    image, attention, labels = patient()
    for seed in range(4):
        changes = draw_changes(settings, np.random.default_rng(seed), 2)
        place = PatchPlace(start, PATCH, changes.spatial)
        there = [torch.from_numpy(array).to(device) for array in (image, attention, labels)]
        assert_array_equal(labels_on_device(there[2], place).cpu(), cut_labels(labels, place))
        assert_allclose(
            attention_on_device(there[1], place).cpu(), cut_attention(attention, place), atol=1e-6
        )
        patch = cut_image(image, place, STATISTICS)
        moved = image_on_device(there[0], place, STATISTICS)
        assert_allclose(moved.cpu(), patch, atol=1e-5)
        changed = intensities_on_device(moved, changes.intensities)
        assert_allclose(changed.cpu(), change_intensities(patch, changes.intensities), atol=1e-4)


def test_noise_is_a_function_of_seed_and_voxel_on_either_side() -> None:
    flat = np.zeros((2, 5, 6, 7), np.float32)
    for seed in (0, 1, 2**64 - 1):
        changes = IntensityChanges(noise=Noise(seed, 1.0))
        ours = change_intensities(flat.copy(), changes)
        assert_allclose(intensities_on_device(torch.from_numpy(flat), changes), ours, atol=2e-6)
        assert_array_equal(change_intensities(flat.copy(), changes), ours)


def test_an_empty_patch_survives_every_change_on_a_device() -> None:
    changes = draw_changes(LOUD, np.random.default_rng(0), 2).intensities
    constant = torch.full((2, *PATCH), -2.0)
    assert torch.isfinite(intensities_on_device(constant, changes)).all()


def test_what_is_given_is_not_changed() -> None:
    changes = draw_changes(LOUD, np.random.default_rng(0), 2).intensities
    given = torch.randn((2, *PATCH), generator=torch.Generator().manual_seed(0))
    before = given.clone()
    intensities_on_device(given, changes)
    assert torch.equal(given, before)
