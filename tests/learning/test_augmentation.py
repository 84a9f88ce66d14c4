from importlib import resources
from typing import Literal

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError
from scipy import ndimage

from lymphct.config import parse_config
from lymphct.core.arrays import AnyArray, DoubleArray, FloatArray
from lymphct.learning.augmentation import SpatialTransform, change_intensity, draw_spatial, move
from lymphct.learning.settings import AugmentationSettings

PATCH = (12, 18, 14)
OFF = AugmentationSettings.preset("none")


def _only(**changes: object) -> AugmentationSettings:
    return AugmentationSettings.model_validate(OFF.model_dump() | changes)


def _patch(seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(2, *PATCH)).astype(np.float32)


def _smooth_field(shape: tuple[int, ...]) -> FloatArray:
    field = np.random.default_rng(1).normal(size=shape)
    return (10 * ndimage.gaussian_filter(field, 2)).astype(np.float32)


def test_without_augmentation_nothing_moves_and_no_number_changes() -> None:
    rng = np.random.default_rng(0)
    assert draw_spatial(OFF, rng) == SpatialTransform()
    image = _patch()
    assert_array_equal(change_intensity(image, OFF, rng), image)


def test_mirroring_reverses_the_named_axes_of_image_and_labels() -> None:
    image = _patch()
    labels = (image[0] > 0).astype(np.uint8)
    moved, moved_labels = move(SpatialTransform(None, (True, False, True)), PATCH, image, labels)
    assert_array_equal(moved, image[:, ::-1, :, ::-1])
    assert_array_equal(moved_labels, labels[::-1, :, ::-1])


def test_only_the_allowed_axis_is_mirrored_and_about_half_the_time() -> None:
    rng = np.random.default_rng(0)
    settings = _only(mirror_axes=(True, False, False))  # i, the last axis of a tensor
    drawn = np.array([draw_spatial(settings, rng).mirrored for _ in range(200)])
    assert not drawn[:, :2].any()
    assert 70 < drawn[:, 2].sum() < 130


def _reference(field: AnyArray, matrix: DoubleArray, order: Literal[0, 1]) -> AnyArray:
    """Resample with scipy about the common centre of patch and source."""
    offset = (np.array(field.shape) - 1) / 2 - matrix @ ((np.array(PATCH) - 1) / 2)
    return ndimage.affine_transform(field, matrix, offset, PATCH, order=order, mode="nearest")


@pytest.mark.parametrize("seed", range(4))
def test_rotation_and_scaling_are_those_of_scipy_and_read_only_what_was_cut(seed: int) -> None:
    settings = _only(rotation_probability=1.0, scaling_probability=1.0)
    transform = draw_spatial(settings, np.random.default_rng(seed))
    size = transform.source_size(PATCH)
    field = _smooth_field(size)
    labels = (field > 0.2).astype(np.uint8)
    moved, moved_labels = move(transform, PATCH, field[None], labels)
    assert transform.matrix is not None
    assert_allclose(moved[0], _reference(field, transform.matrix, 1), atol=1e-3)
    assert np.mean(moved_labels != _reference(labels, transform.matrix, 0)) < 0.005
    # No voxel of the patch lies outside what was cut.
    corners = np.array(np.meshgrid(*[(-(n - 1) / 2, (n - 1) / 2) for n in PATCH])).reshape(3, -1)
    assert np.all(np.abs(transform.matrix @ corners).max(axis=1) <= (np.array(size) - 1) / 2)


def test_attention_stays_within_its_range_and_labels_within_their_values() -> None:
    settings = _only(rotation_probability=1.0, scaling_probability=1.0)
    transform = draw_spatial(settings, np.random.default_rng(5))
    size = transform.source_size(PATCH)
    rng = np.random.default_rng(0)
    attention = rng.uniform(size=size).astype(np.float32)
    labels = rng.choice(np.array([0, 7, 255], np.uint8), size=size)
    moved, moved_labels = move(transform, PATCH, attention[None], labels)
    assert 0 <= moved.min() <= moved.max() <= 1
    assert set(np.unique(moved_labels)) == {0, 7, 255}
    assert moved_labels.dtype == np.uint8


def test_a_map_that_is_zero_stays_exactly_zero_under_rotation() -> None:
    transform = draw_spatial(_only(rotation_probability=1.0), np.random.default_rng(5))
    size = transform.source_size(PATCH)
    moved, _ = move(transform, PATCH, np.zeros((1, *size), np.float32), np.zeros(size, np.uint8))
    assert not moved.any()


def test_noise_adds_its_deviation() -> None:
    settings = _only(noise_probability=1.0, noise_deviation=(0.2, 0.2))
    change = change_intensity(np.zeros((1, 30, 30, 30), np.float32), settings, np.random.default_rng(0))
    assert change.std() == pytest.approx(0.2, rel=0.02)
    assert change.dtype == np.float32


def test_blur_smooths_each_channel_or_leaves_it() -> None:
    image = _patch()
    settings = _only(blur_probability=1.0, blur_sigma=(1.0, 1.0))
    seen = set()
    for seed in range(8):
        blurred = change_intensity(image, settings, np.random.default_rng(seed))
        for channel, original in zip(blurred, image, strict=True):
            seen.add(bool(channel.std() < 0.5 * original.std()))
            assert np.array_equal(channel, original) or channel.std() < 0.5 * original.std()
    assert seen == {True, False}


def test_brightness_multiplies() -> None:
    image = _patch()
    brighter = change_intensity(
        image, _only(brightness_probability=1.0, brightness=(1.2, 1.2)), np.random.default_rng(0)
    )
    assert_allclose(brighter, 1.2 * image, rtol=1e-6)


def test_contrast_keeps_the_range_of_each_channel() -> None:
    image = _patch()
    changed = change_intensity(
        image, _only(contrast_probability=1.0, contrast=(1.2, 1.2)), np.random.default_rng(0)
    )
    assert_array_equal(changed.max((1, 2, 3)), image.max((1, 2, 3)))
    assert np.all(changed.std((1, 2, 3)) > image.std((1, 2, 3)))


@pytest.mark.parametrize("name", ["gamma_probability", "inverted_gamma_probability"])
def test_gamma_bends_intensities_but_keeps_mean_and_deviation(name: str) -> None:
    image = _patch()
    changed = change_intensity(image, _only(**{name: 1.0}, gamma=(1.5, 1.5)), np.random.default_rng(0))
    assert_allclose(changed.mean((1, 2, 3)), image.mean((1, 2, 3)), atol=1e-4)
    assert_allclose(changed.std((1, 2, 3)), image.std((1, 2, 3)), rtol=1e-3)
    assert_array_equal(np.argsort(changed[0].ravel())[-5:], np.argsort(image[0].ravel())[-5:])
    assert not np.allclose(changed, image, atol=0.05)


def test_a_constant_patch_survives_every_intensity_change() -> None:
    settings = _only(
        **{name: 1.0 for name in AugmentationSettings.model_fields if name.endswith("_probability")}
    )
    changed = change_intensity(np.full((2, *PATCH), -2.0, np.float32), settings, np.random.default_rng(0))
    assert np.isfinite(changed).all()


def test_the_presets_differ_in_what_they_switch_on() -> None:
    assert AugmentationSettings.preset("paper") == AugmentationSettings()
    assert AugmentationSettings.preset("flips").mirror_axes == (True, True, True)
    assert OFF.mirror_axes == (False, False, False)
    for preset in (AugmentationSettings.preset("flips"), OFF):
        assert not any(value for name, value in preset if name.endswith("_probability"))


def test_records_from_before_low_resolution_keep_their_meaning() -> None:
    older = AugmentationSettings.preset("flips").model_dump()
    for name in ("augment_on", "low_resolution", "low_resolution_probability", "noise_deviation"):
        del older[name]
    older["noise_variance"] = (0.0, 0.1)
    read = AugmentationSettings.model_validate(older)
    assert read.low_resolution_probability == 0
    assert_allclose(read.noise_deviation, (0, 0.1**0.5))
    merged = AugmentationSettings.model_validate(AugmentationSettings().model_dump() | older)
    assert merged == read
    assert AugmentationSettings().low_resolution_probability == 0.25


def test_without_low_resolution_no_number_is_drawn_for_it() -> None:
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    change_intensity(_patch(), OFF, rng)
    other.random(6)
    assert rng.random() == other.random()


@pytest.mark.parametrize("variance", [[0.1], "loud", [-1, 2], None])
def test_a_variance_that_cannot_be_is_refused(variance: object) -> None:
    with pytest.raises(ValidationError, match="noise_variance"):
        AugmentationSettings.model_validate({"noise_variance": variance})


def test_the_recipes_of_older_bundles_change_patches_as_before() -> None:
    for recipe in ("phantom_tiny", "phantom_nano"):
        text = (resources.files("lymphct") / "bundles" / "recipes" / f"{recipe}.yaml").read_text("utf-8")
        config = parse_config(text)
        groups = (
            config.structures.augmentation,
            config.tumor.augmentation,
            config.nodes.augmentation,
            config.identification.sampling.augmentation,
            config.metastasis.augmentation,
        )
        assert [group.low_resolution_probability for group in groups] == [0.0] * 5
