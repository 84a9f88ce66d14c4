"""Sizes in voxels are given at one spacing and scaled to the working grid once (decision 0036)."""

import pytest

from lymphct.cascade.settings import Config
from lymphct.cascade.sizes import scaled, scaled_sizes
from lymphct.config import parse_config
from lymphct.core.errors import UsageError
from lymphct.io.settings import load_config
from lymphct.learning.scaling import SMALLEST

COARSE = ["imaging.spacing=[2, 2, 2.5]"]


def test_at_the_spacing_of_the_paper_nothing_but_the_note_changes() -> None:
    paper = load_config("paper")
    here = scaled(paper)
    assert here.imaging.sizes_at == "grid"
    assert here.model_copy(update={"imaging": paper.imaging}) == paper
    assert list(scaled_sizes(paper)) == []


def test_patches_keep_their_extent_and_networks_lose_resolutions_that_would_fall_below_four_voxels() -> None:
    here = scaled(load_config(None, COARSE))
    for stage in (here.structures, here.tumor, here.nodes):
        # 160 · 0.68 / 2 = 54.4, 192 · 0.68 / 2 = 65.3, 80 · 0.80 / 2.5 = 25.6, in multiples of 8
        assert stage.sampling.patch_size == (56, 72, 32)
        assert stage.unet.features == (32, 64, 128, 256)
        sizes = zip(stage.sampling.patch_size, stage.unet.total_stride, strict=True)
        assert min(size // step for size, step in sizes) == SMALLEST
    assert here.imaging.spacing == (2.0, 2.0, 2.5)


def test_stage_2_keeps_the_backbone_of_stage_1_and_margins_in_mm() -> None:
    here = scaled(load_config(None, COARSE))
    assert here.identification.unet == here.nodes.unet
    sampling = here.identification.sampling
    assert sampling.crop_size == (40, 40, 32)  # 32.6, 32.6, 25.6 in multiples of 8
    # 4 to 8 and 6 voxels of 0.72 mm on the average are 2.9 to 5.7 and 4.3 mm, 2.15 mm a voxel here.
    assert (sampling.box_jitter, sampling.box_margin) == ((1, 3), 2)
    exact = scaled(load_config(None, [*COARSE, "identification.sampling.box_jitter=[0, 0]"]))
    assert exact.identification.sampling.box_jitter == (0, 0)


def test_a_finer_grid_takes_more_voxels_and_no_further_resolution() -> None:
    here = scaled(load_config(None, ["imaging.spacing=[0.5, 0.5, 0.5]"]))
    assert here.nodes.sampling.patch_size == (224, 288, 128)
    assert here.nodes.unet == Config().nodes.unet


def test_patches_around_the_tumor_are_given_in_mm_and_stay() -> None:
    assert scaled(load_config(None, COARSE)).metastasis == Config().metastasis


@pytest.mark.parametrize("name", ["phantom_nano", "phantom_tiny"])
def test_a_recipe_that_gives_voxels_of_its_own_grid_stays_as_it_is(name: str) -> None:
    recipe = load_config(name)
    assert recipe.imaging.sizes_at == "grid"
    assert scaled(recipe) == recipe
    assert list(scaled_sizes(recipe)) == []


def test_what_is_scaled_is_not_scaled_again() -> None:
    once = scaled(load_config(None, COARSE))
    assert scaled(once) == once


def test_sizes_may_be_given_at_any_spacing() -> None:
    given = parse_config(
        "imaging: {spacing: [1, 1, 1], sizes_at: [2, 2, 2]}\n"
        "tumor:\n"
        "  unet: {features: [4, 8], strides: [[1, 1, 1], [2, 2, 2]]}\n"
        "  sampling: {patch_size: [16, 8, 8]}\n"
    )
    assert scaled(given).tumor.sampling.patch_size == (32, 16, 16)


def test_given_and_scaled_values_stand_side_by_side() -> None:
    told = {name: (given, here) for name, given, here in scaled_sizes(load_config(None, COARSE))}
    assert told["nodes.sampling.patch_size"] == ((160, 192, 80), (56, 72, 32))
    assert told["identification.sampling.box_margin"] == (6, 2)
    stages = {name.partition(".")[0] for name in told}
    assert stages == {"structures", "tumor", "nodes", "identification"}


@pytest.mark.parametrize("value", ["voxels", "[1, 1]", "[0.1, 1, 1]", "3", "{a: 1}"])
def test_a_spacing_of_sizes_that_is_none_is_told_in_one_sentence(value: str) -> None:
    with pytest.raises(UsageError, match=r"setting imaging\.sizes_at: Value error, should be grid, or three"):
        parse_config("", [f"imaging.sizes_at={value}"])


def test_sizes_that_were_printed_beside_the_settings_are_not_read() -> None:
    assert parse_config("on_grid: {nodes.sampling.patch_size: [1, 2, 3]}") == Config()
