import numpy as np
import torch
from numpy.testing import assert_allclose

from lymphct.learning.settings import AugmentationSettings
from lymphct.metastasis.augmentation import augment, move

torch.set_num_threads(1)

NONE = AugmentationSettings.preset("none")


def smooth_patches(b: int = 2, size: int = 40) -> torch.Tensor:
    """CT channels that fall with the distance from the blob of the mask channel."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    distance = np.hypot(y - 12.0, x - 24.0)
    patch = np.stack([10.0 - distance, 20.0 - distance, (distance < 8).astype(np.float32)])
    return torch.from_numpy(np.stack([patch] * b).astype(np.float32))


def test_without_augmentation_patches_stay_as_they_are() -> None:
    patches = smooth_patches()
    assert_allclose(augment(patches, NONE, np.random.default_rng(0)), patches, atol=1e-4)


def test_phases_and_mask_move_together() -> None:
    always = NONE.model_copy(
        update={"rotation_probability": 1.0, "scaling_probability": 1.0, "mirror_axes": (True, True, True)}
    )
    moved = move(smooth_patches(8), always, np.random.default_rng(1))
    assert not torch.allclose(moved[0], moved[1], atol=0.5)
    assert set(moved[:, 2].flatten().tolist()) == {0.0, 1.0}
    inside = moved[:, 2] > 0
    # in every patch the blob still is where the phases are brightest: distance < 8 means more than 2 and 12
    assert float(moved[:, 0][inside].min()) > 1.0
    assert float(moved[:, 1][inside].min()) > 11.0
    assert float(moved[:, 0][~inside].max()) < 3.0


def test_scaling_changes_the_area_by_the_square_of_the_factor() -> None:
    zoomed = NONE.model_copy(update={"scaling_probability": 1.0, "scaling": (1.25, 1.25)})
    patches = smooth_patches(1, size=60)
    area = float(move(patches, zoomed, np.random.default_rng(2))[:, 2].sum())
    # 1.25 pixels of the image per pixel of the patch
    assert_allclose(area, float(patches[:, 2].sum()) / 1.25**2, rtol=0.06)


def test_mirroring_is_exact_and_follows_the_setting() -> None:
    patches = smooth_patches(16)
    mirrored = move(
        patches, NONE.model_copy(update={"mirror_axes": (True, False, False)}), np.random.default_rng(3)
    )
    flips = [patches[0].flip(axes) for axes in ((), (1,), (2,), (1, 2))]
    found = {
        next(n for n, flip in enumerate(flips) if torch.allclose(one, flip, atol=1e-3)) for one in mirrored
    }
    assert found == {0, 1, 2, 3}


def test_the_lowest_value_comes_in_from_outside() -> None:
    patches = smooth_patches(1)
    shrunk = NONE.model_copy(update={"scaling_probability": 1.0, "scaling": (1.4, 1.4)})
    moved = move(patches, shrunk, np.random.default_rng(4))
    assert_allclose(moved[0, 0, 0, :5], patches[0, 0].min())
    assert not moved[0, 2, 0].any()


def test_a_mask_that_fills_the_patch_does_not_reach_beyond_it() -> None:
    patches = smooth_patches(1)
    patches[:, 2] = 1.0
    shrunk = NONE.model_copy(update={"scaling_probability": 1.0, "scaling": (1.4, 1.4)})
    assert not move(patches, shrunk, np.random.default_rng(4))[0, 2, 0].any()


def test_intensity_changes_never_touch_the_mask() -> None:
    names = [name for name in AugmentationSettings.model_fields if name.endswith("_probability")]
    still = {"rotation_probability", "scaling_probability"}
    loud = NONE.model_copy(update={name: 1.0 for name in names if name not in still})
    patches = smooth_patches(3)
    changed = augment(patches, loud, np.random.default_rng(5))
    assert torch.equal(changed[:, 2], patches[:, 2])
    assert float((changed[:, :2] - patches[:, :2]).abs().mean()) > 0.05
    assert not torch.allclose(changed[0], changed[1])
