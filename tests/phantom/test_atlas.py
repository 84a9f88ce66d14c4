"""The average patient: what lies where, mm from the celiac trunk."""

import numpy as np
import pytest

from lymphct.core.terms import Structure
from lymphct.phantom import atlas
from lymphct.phantom.shapes import Ellipsoid, Shape, Tube

SHAPES = {
    name: value
    for name, value in vars(atlas).items()
    if isinstance(value, Tube | Ellipsoid) and name != "LIVER_AROUND"  # only says where to look for it
}


def side(shape: Shape) -> float:
    low, high = shape.bounds()
    return float((low[0] + high[0]) / 2)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_shape_has_an_extent_and_lies_within_the_trunk(name: str) -> None:
    low, high = SHAPES[name].bounds()
    assert (low < high).all()
    # The trunk is 160 mm wide and 146 mm deep; the pelvis ends 300 mm below.
    assert low[0] > -90
    assert high[0] < 90
    assert low[2] > -330
    assert high[2] < 140


def test_right_is_right_and_left_is_left() -> None:
    for name in ("RIGHT_KIDNEY", "GALLBLADDER", "INFERIOR_VENA_CAVA", "ASCENDING_COLON", "LIVER_RIGHT"):
        assert side(SHAPES[name]) < 0
    for name in ("LEFT_KIDNEY", "SPLEEN", "STOMACH", "DESCENDING_COLON"):
        assert side(SHAPES[name]) > 0


def test_the_arteries_leave_the_aorta_or_each_other() -> None:
    trunk = atlas.CELIAC_TRUNK.path[:, :3].astype(np.float32)
    assert (atlas.AORTA.distance(trunk[:1].reshape(1, 1, 1, 3)) < 0).all()
    for branch in (atlas.SPLENIC_ARTERY, atlas.HEPATIC_ARTERY):
        start = branch.path[:1, :3].astype(np.float32).reshape(1, 1, 1, 3)
        assert (atlas.CELIAC_TRUNK.distance(start) < 0).all()


def test_the_labelled_vessels_are_painted_once_for_each_name_that_guides() -> None:
    painted = {label for label, _, _ in atlas.SOLID_VESSELS}
    assert painted >= {
        Structure.AORTA,
        Structure.SUPERIOR_MESENTERIC_ARTERY,
        Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY,
        Structure.LEFT_GASTRIC_ARTERY,
        Structure.HEPATIC_ARTERY_COMMON_AND_PROPER,
    }
    assert {tissue for _, _, tissue in atlas.SOLID_VESSELS} == {"artery", "portal"}
