"""Given the same numbers, changes are those of batchgeneratorsv2, which is nnU-Net's; so are the draws."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform as TheirSpatial
from numpy.testing import assert_allclose
from scipy import ndimage, stats
from torch import Tensor

from lymphct.core.arrays import FloatArray
from lymphct.learning.augmentation import (
    IntensityChanges,
    PatchPlace,
    SpatialTransform,
    change_intensities,
    cut_image,
    cut_labels,
    draw_intensities,
)
from lymphct.learning.augmentation_drawing import rotation
from lymphct.learning.settings import AugmentationSettings

SIZE = (13, 22, 35)
ALL = torch.tensor([0, 1])


def image(seed: int = 0, size: tuple[int, int, int] = SIZE) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(2, *size)).astype(np.float32)


def made(transform: BasicTransform, patch: Tensor, **numbers: object) -> Tensor:
    """Apply a transform with given numbers instead of drawn ones."""
    changed: Tensor = transform._apply_to_image(patch, **numbers)
    return changed


def blurred_by_them(patch: Tensor) -> Tensor:
    transform = GaussianBlurTransform(blur_sigma=(0.5, 1.0), p_per_channel=1)
    sigmas = [[0.5, 0.8, 1.0], [0.99, 0.55, 0.71]]
    return made(transform, patch, apply_to_channel=torch.tensor([True, True]), sigmas=sigmas)


def brightened_by_them(patch: Tensor) -> Tensor:
    transform = MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), synchronize_channels=False)
    return made(transform, patch, apply_to_channel=ALL, multipliers=torch.tensor([0.8, 1.2]))


def stretched_by_them(patch: Tensor) -> Tensor:
    transform = ContrastTransform(BGContrast((0.75, 1.25)), preserve_range=True, synchronize_channels=False)
    return made(transform, patch, apply_to_channel=ALL, multipliers=torch.tensor([0.8, 1.2]))


def coarsened_by_them(patch: Tensor, *shares: float) -> Tensor:
    transform = SimulateLowResolutionTransform(
        (0.5, 1.0), synchronize_channels=False, synchronize_axes=True, ignore_axes=None
    )
    scales = [torch.full((3,), share) for share in shares]
    return made(transform, patch, apply_to_channel=[0, 1], scales=scales)


def bent_by_them(patch: Tensor, *, inverted: bool) -> Tensor:
    transform = GammaTransform(
        BGContrast((0.7, 1.5)),
        p_invert_image=float(inverted),
        synchronize_channels=False,
        p_per_channel=1.0,
        p_retain_stats=1.0,
    )
    return made(
        transform,
        patch,
        apply_to_channel=ALL,
        retain_stats=torch.tensor([True, True]),
        invert_image=torch.tensor([inverted, inverted]),
        gamma=torch.tensor([0.7, 1.45]),
    )


@pytest.mark.parametrize(
    ("changes", "theirs"),
    [
        (IntensityChanges(blur=((0.5, 0.8, 1.0), (0.99, 0.55, 0.71))), blurred_by_them),
        (IntensityChanges(brightness=(0.8, 1.2)), brightened_by_them),
        (IntensityChanges(contrast=(0.8, 1.2)), stretched_by_them),
        (IntensityChanges(low_resolution=(0.53, 0.87)), lambda patch: coarsened_by_them(patch, 0.53, 0.87)),
        (IntensityChanges(gamma=(0.7, 1.45)), lambda patch: bent_by_them(patch, inverted=False)),
        (IntensityChanges(inverted_gamma=(0.7, 1.45)), lambda patch: bent_by_them(patch, inverted=True)),
    ],
)
def test_each_change_gives_their_patch(changes: IntensityChanges, theirs: Callable[[Tensor], Tensor]) -> None:
    patch = image()
    expected = theirs(torch.from_numpy(patch.copy())).numpy()
    changed = change_intensities(patch.copy(), changes)
    assert np.abs(expected - patch).max() > 0.1  # they do change it
    assert_allclose(changed, expected, atol=3e-5)


@pytest.mark.parametrize("share", [0.5, 0.61, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("size", [(1, 8, 9), (20, 31, 48)])
def test_low_resolution_keeps_the_voxels_they_keep(share: float, size: tuple[int, int, int]) -> None:
    if round(size[0] * share) == 0:
        share = 0.51  # of one voxel they would keep none
    patch = image(size=size)
    expected = coarsened_by_them(torch.from_numpy(patch.copy()), share, share)
    changed = change_intensities(patch.copy(), IntensityChanges(low_resolution=(share, share)))
    assert_allclose(changed, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(("angles", "factor"), [((20, -12, 28), 1.0), ((0, 0, 0), 1.37), ((-9, 30, 4), 0.72)])
def test_turned_and_scaled_patches_are_theirs(angles: tuple[float, ...], factor: float) -> None:
    radians = np.deg2rad(angles)
    transform = SpatialTransform(factor * rotation(radians))
    size = transform.source_size(SIZE)
    field = 6 * ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(2, *size)), (0, 2, 2, 2))
    labels = (field[0] > 0).astype(np.uint8) + (field[1] > 0.2)
    spatial = TheirSpatial(
        patch_size=SIZE,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=1.0,
        rotation=lambda image, dim: radians[dim],  # noqa: ARG005 - they pass it
        p_scaling=1.0,
        scaling=factor,
        p_synchronize_scaling_across_axes=1.0,
        mode_seg="nearest",
    )
    theirs = spatial(
        image=torch.from_numpy(field.astype(np.float32)), segmentation=torch.from_numpy(labels[None])
    )
    place = PatchPlace((0, 0, 0), SIZE, transform)
    assert_allclose(cut_image(field.astype(np.float32), place, 0.0), theirs["image"].numpy(), atol=1e-4)
    assert np.mean(cut_labels(labels, place) != theirs["segmentation"][0].numpy()) < 1e-3


def test_factors_are_drawn_as_theirs() -> None:
    settings = AugmentationSettings(gamma_probability=1.0)
    ours = [draw_intensities(settings, np.random.default_rng(n), 2).gamma for n in range(2000)]
    np.random.seed(0)  # noqa: NPY002 - they draw from the global state
    theirs = [BGContrast((0.7, 1.5))() for _ in range(4000)]
    assert stats.ks_2samp(np.ravel([gamma for gamma in ours if gamma is not None]), theirs).pvalue > 0.01


def test_how_often_each_change_is_drawn_is_nnunets() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_intensities(AugmentationSettings(), rng, 2) for _ in range(4000)]
    expected = {
        "noise": 0.1,
        "blur": 0.2,
        "brightness": 0.15,
        "contrast": 0.15,
        "low_resolution": 0.25,
        "inverted_gamma": 0.1,
        "gamma": 0.3,
    }
    for name, probability in expected.items():
        share = np.mean([getattr(changes, name) is not None for changes in drawn])
        assert share == pytest.approx(probability, abs=0.025), name
    for name in ("blur", "low_resolution"):
        channels = [one for changes in drawn for one in getattr(changes, name) or ()]
        assert np.mean([one is not None for one in channels]) == pytest.approx(0.5, abs=0.05), name
    deviations = [changes.noise.deviation for changes in drawn if changes.noise is not None]
    assert stats.kstest(deviations, "uniform", (0, 0.1)).pvalue > 0.01
