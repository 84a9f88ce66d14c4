"""Settings of DEEDS: the levels they describe, and what they refuse."""

import pytest
from pydantic import ValidationError

from lymphct.registration.deeds_settings import DeedsSettings


def test_five_levels_search_forty_to_four_voxels() -> None:
    levels = DeedsSettings().levels
    assert [level.radius * level.step for level in levels] == [40, 28, 18, 10, 4]
    assert [level.labels**3 for level in levels] == [4913, 3375, 2197, 1331, 729]
    assert [level.descriptor_radius for level in levels] == [3, 3, 2, 2, 1]
    assert {level.alpha for level in levels} == {1.6}


def test_the_affine_stage_has_four_levels_without_smoothness() -> None:
    levels = DeedsSettings().affine_levels
    assert [level.descriptor_radius for level in levels] == [3, 2, 2, 1]
    assert {level.alpha for level in levels} == {1.0}


@pytest.mark.parametrize("name", ["step", "affine_search_radius"])
def test_every_level_needs_all_three_values(name: str) -> None:
    with pytest.raises(ValidationError, match="need one value per level"):
        DeedsSettings.model_validate({name: (2, 1)})


def test_control_points_farther_apart_than_the_sums_can_hold_are_refused() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 8"):
        DeedsSettings(grid_spacing=(16, 7, 6, 5, 4))
