"""What torso, organs and bowel leave on the canvas, one painter at a time."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import FloatArray
from lymphct.core.terms import Structure
from lymphct.phantom import atlas
from lymphct.phantom.bowel import paint_bowel, paint_unlabelled_vessels
from lymphct.phantom.canvas import Canvas, Fat
from lymphct.phantom.deformation import positions
from lymphct.phantom.organs import paint_gut_and_pancreas, paint_solid_organs, paint_vessel
from lymphct.phantom.settings import PhantomSettings
from lymphct.phantom.tissues import MEANS
from lymphct.phantom.torso import paint_torso

GRID = PhantomSettings(size="nano").grid


@pytest.fixture(scope="module")
def torso() -> tuple[Canvas, FloatArray]:
    """A trunk without organs, and the distance to its cavity."""
    world = positions(GRID)
    canvas = Canvas(GRID, world, world)
    return canvas, paint_torso(canvas, MEANS, np.random.default_rng(1))


@pytest.fixture
def canvas(torso: tuple[Canvas, FloatArray]) -> Canvas:
    painted, _ = torso
    fresh = replace(painted)
    for name in ("arterial", "venous", "labels", "fat"):
        setattr(fresh, name, getattr(painted, name).copy())
    return fresh


def near(canvas: Canvas, value: float, tolerance: float = 5.0) -> FloatArray:
    found: FloatArray = np.abs(canvas.venous - value) < tolerance
    return found


def test_a_trunk_has_air_around_it_and_fat_skin_muscle_bone_and_lung_within(
    torso: tuple[Canvas, FloatArray],
) -> None:
    canvas, cavity = torso
    assert not canvas.labels.any()
    for border in (canvas.venous[0], canvas.venous[-1], canvas.venous[:, 0], canvas.venous[:, -1]):
        assert border.max() < -900
    for tissue in ("fat", "muscle", "spongy bone", "lung"):
        assert near(canvas, MEANS[tissue].venous).any()
    assert (cavity[canvas.fat == Fat.INNER] < -1.0).all()
    assert (canvas.fat == Fat.UNDER_SKIN).any()


def test_solid_organs_stay_in_the_cavity_and_bear_their_labels(
    canvas: Canvas, torso: tuple[Canvas, FloatArray]
) -> None:
    _, cavity = torso
    paint_solid_organs(canvas, MEANS, cavity, np.random.default_rng(2))
    for label in (
        Structure.LIVER,
        Structure.SPLEEN,
        Structure.RIGHT_KIDNEY,
        Structure.LEFT_KIDNEY,
        Structure.RIGHT_ADRENAL,
        Structure.LEFT_ADRENAL,
        Structure.GALLBLADDER,
        Structure.INFERIOR_VENA_CAVA,
    ):
        assert (canvas.labels == label).any()
    assert (cavity[np.isin(canvas.labels, (Structure.LIVER, Structure.SPLEEN))] < 0).all()
    assert not canvas.fat[canvas.labels > 0].any()


def test_gut_and_pancreas_and_the_vessels_among_them_bear_their_labels(canvas: Canvas) -> None:
    paint_gut_and_pancreas(canvas, MEANS, np.random.default_rng(3))
    assert set(np.unique(canvas.labels)) == {0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17}
    stomach = canvas.labels == Structure.STOMACH
    assert canvas.venous[stomach].min() < -500  # gas in front
    assert canvas.venous[stomach].max() > 50  # and a wall


def test_the_label_of_a_thin_vessel_is_thicker_than_the_vessel(canvas: Canvas) -> None:
    path = atlas.LEFT_GASTRIC_ARTERY
    paint_vessel(canvas, path, MEANS["artery"], Structure.LEFT_GASTRIC_ARTERY)
    reach = 0.8 * max(GRID.spacing) - float(path.path[:, 3].min())
    assert reach > 0
    labelled = canvas.labels == Structure.LEFT_GASTRIC_ARTERY
    assert_array_equal(labelled, path.distance(canvas.atlas) < reach)


def test_bowel_fills_only_fat_of_the_cavity_and_bears_no_label(canvas: Canvas) -> None:
    before, fat = canvas.venous.copy(), canvas.fat.copy()
    bladder = atlas.BLADDER.distance(canvas.atlas) < canvas.edge
    paint_bowel(canvas, MEANS, np.random.default_rng(4))
    assert not canvas.labels.any()
    changed = np.abs(canvas.venous - before) > 1.0
    assert changed.any()
    assert (fat[changed & ~bladder] == Fat.INNER).mean() > 0.95  # edges are spread over one voxel
    assert near(canvas, MEANS["gas"].venous, 60.0).any()


def test_vessels_within_the_liver_keep_its_label(canvas: Canvas) -> None:
    canvas.labels[:] = Structure.LIVER
    paint_unlabelled_vessels(canvas, MEANS)
    inside = atlas.LIVER_VESSELS[0].distance(canvas.atlas) < 0
    others = (*atlas.RENAL_VEINS, *atlas.RENAL_ARTERIES, *atlas.ILIAC_VEINS, *atlas.ILIAC_ARTERIES)
    elsewhere = np.min(
        [path.distance(canvas.atlas) for path in (*others, *atlas.MESENTERIC_BRANCHES)], axis=0
    )
    assert (canvas.labels[inside & (elsewhere > 0)] == Structure.LIVER).all()
    assert (canvas.labels[elsewhere < 0] == 0).all()
