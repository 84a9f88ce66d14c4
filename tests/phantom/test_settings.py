from itertools import product

import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError

from lymphct.core.settings import Settings
from lymphct.phantom.settings import SIZES, PhantomSettings, SizeName


@pytest.mark.parametrize(
    ("size", "shape", "spacing"),
    [
        ("nano", (64, 64, 48), (3.0, 3.0, 3.0)),
        ("tiny", (96, 96, 64), (2.0, 2.0, 2.5)),
        ("tall", (96, 96, 160), (2.0, 2.0, 2.5)),
        ("small", (128, 128, 96), (1.5, 1.5, 1.5)),
        ("paper", (288, 288, 200), (0.68, 0.68, 0.80)),
    ],
)
def test_each_size_has_the_grid_its_name_promises(
    size: SizeName, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    grid = PhantomSettings(size=size).grid
    assert grid.shape == shape
    assert grid.spacing == spacing


def test_every_field_of_view_ends_at_the_same_height_and_holds_the_celiac_trunk() -> None:
    for size in SIZES:
        grid = PhantomSettings(size=size).grid
        faces = [grid.world([i - 0.5 for i in (0, 0, 0)]), grid.world([n - 0.5 for n in grid.shape])]
        assert_allclose(faces[1][2], 62.0)
        assert all(low < 0 < high for low, high in zip(*faces, strict=True))


def test_prevalence_follows_the_center_unless_it_is_given() -> None:
    assert_allclose(PhantomSettings().positive_share, 351 / 749)
    assert_allclose(PhantomSettings(center="external1").positive_share, 39 / 132)
    assert PhantomSettings(center="elsewhere").positive_share == 0.469
    assert PhantomSettings(center="external2", prevalence=0.1).positive_share == 0.1


def test_only_the_coarsest_grid_raises_the_smallest_node() -> None:
    assert [PhantomSettings(size=size).smallest_node for size in SIZES] == [200.0, 60.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize(
    "wrong",
    [{"size": "huge"}, {"prevalence": 1.5}, {"noise_venous": -1.0}, {"mode": "biased"}, {"sizes": "nano"}],
)
def test_impossible_settings_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        PhantomSettings.model_validate(wrong)


def test_every_setting_says_where_its_value_comes_from() -> None:
    assert issubclass(PhantomSettings, Settings)
    for name, field in PhantomSettings.model_fields.items():
        text = " ".join((field.description or "").split())
        assert any(source in text for source in ("Sec.", "Tab.", "ot stated in the paper")), name


def test_sizes_differ_in_voxels_or_spacing() -> None:
    assert all(SIZES[a] != SIZES[b] for a, b in product(SIZES, SIZES) if a != b)
