"""The tumor measures what known shapes measure; the guess at its site agrees with phantoms."""

import numpy as np
import pytest

from lymphct.core.arrays import BoolArray, Index3
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings
from lymphct.report.tumor import TumorMeasures, largest_diameter, measure_tumor

GRID = Geometry(shape=(80, 60, 50), spacing=(0.68, 0.7, 0.8))


def volume(mask: BoolArray) -> Volume:
    return Volume(array=mask.astype(np.uint8), geometry=GRID)


def ball(center: Index3, radius: float) -> BoolArray:
    steps = (np.indices(GRID.shape).T - center) * np.asarray(GRID.spacing)
    inside: BoolArray = np.less_equal(np.linalg.norm(steps, axis=-1).T, radius)
    return inside


def organs(**boxes: tuple[slice, slice, slice]) -> Volume:
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    for name, box in boxes.items():
        labels[box] = Structure[name.upper()]
    return Volume(array=labels, geometry=GRID)


def measured(mask: BoolArray, structures: Volume | None = None) -> TumorMeasures:
    found = measure_tumor(volume(mask), organs() if structures is None else structures)
    assert found is not None
    return found


def test_a_ball_measures_its_diameter() -> None:
    mask = ball((40, 30, 25), 12.0)
    found = measured(mask)
    assert found.volume == pytest.approx(np.count_nonzero(mask) * 0.68 * 0.7 * 0.8)
    assert found.volume == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.02)
    assert found.largest_diameter == pytest.approx(24.0, abs=1.0)  # a voxel
    assert (found.parts, found.site, found.landmark) == (1, None, "")


def test_the_largest_diameter_goes_in_any_direction() -> None:
    box = np.ones((10, 5, 20), dtype=bool)
    # From the middle of a face at one corner to that at the opposite one.
    across = np.linalg.norm(np.array([9, 4, 20]) * (0.68, 0.7, 0.8))
    assert largest_diameter(box, GRID.spacing) == pytest.approx(across)
    voxel = np.ones((1, 1, 1), dtype=bool)
    assert largest_diameter(voxel, (1.0, 2.0, 3.0)) == pytest.approx(3.0)


def test_the_diameter_is_that_of_the_largest_part_and_the_volume_that_of_all() -> None:
    both = ball((40, 30, 25), 8.0)
    alone = measured(both)
    both[2:4, 2:4, 2:4] = True
    found = measured(both)
    assert found.parts == 2
    assert found.largest_diameter == alone.largest_diameter
    assert found.volume == pytest.approx(alone.volume + 8 * 0.68 * 0.7 * 0.8)


def test_an_empty_mask_has_no_measures() -> None:
    assert measure_tumor(volume(np.zeros(GRID.shape, dtype=bool)), organs()) is None


HIGH = slice(20, 30)


@pytest.mark.parametrize(
    ("center", "site"),
    [(44, "head/uncinate"), (45, "body/tail")],
)
def test_the_head_ends_at_the_left_border_of_the_vein(center: int, site: str) -> None:
    # Working axes: i grows to the patient's left. The vein's last voxel is 44, its left border at 44.5.
    vein = (slice(38, 45), slice(20, 26), HIGH)
    aorta = (slice(2, 8), slice(40, 50), HIGH)  # would say body/tail of both
    structures = organs(superior_mesenteric_vein=vein, aorta=aorta)
    found = measured(ball((center, 30, 25), 5.0), structures)
    assert found.site == site
    assert found.landmark == "the left border of the superior mesenteric vein"


def test_without_the_vein_the_artery_and_then_the_aorta_tell() -> None:
    artery, aorta = (slice(40, 44), slice(20, 24), HIGH), (slice(30, 50), slice(40, 50), HIGH)
    mask = ball((39, 30, 25), 5.0)
    by_artery = measured(mask, organs(superior_mesenteric_artery=artery, aorta=aorta))
    assert (by_artery.site, by_artery.landmark) == (
        "head/uncinate",
        "the right border of the superior mesenteric artery",
    )
    by_aorta = measured(mask, organs(aorta=aorta))
    assert (by_aorta.site, by_aorta.landmark) == ("head/uncinate", "the middle of the aorta")
    assert measured(ball((40, 30, 25), 5.0), organs(aorta=aorta)).site == "body/tail"


def test_a_vessel_tells_at_the_tumors_level_and_says_nothing_from_far_away() -> None:
    vein = organs(superior_mesenteric_vein=(slice(10, 20), slice(20, 24), slice(0, 5))).array.copy()
    vein[50:60, 20:24, 24:27] = Structure.SUPERIOR_MESENTERIC_VEIN
    slanted = Volume(array=vein, geometry=GRID)
    assert measured(ball((40, 30, 25), 4.0), slanted).site == "head/uncinate"
    assert measured(ball((40, 30, 8), 1.0), slanted).site == "body/tail"  # the lower piece is nearer
    tall = Geometry(shape=GRID.shape, spacing=(0.68, 0.7, 8.0))
    far = Volume(array=np.where(vein * (np.arange(50) < 5) > 0, vein, 0).astype(np.uint8), geometry=tall)
    lesion = Volume(array=ball((40, 30, 25), 4.0).astype(np.uint8), geometry=tall)
    found = measure_tumor(lesion, far)
    assert found is not None
    assert found.site is None


@pytest.mark.parametrize("index", range(4))
def test_the_guess_agrees_with_phantoms(index: int) -> None:
    patient = generate_patient(PhantomSettings(size="nano", phase_shift=False), seed=5, index=index)
    found = measure_tumor(patient.tumor, patient.structures)
    assert found is not None
    assert found.site == patient.tumor_location
    # The ratios of its axes spread by 8 %, voxels of 4 mm and the ripple of its surface add to that.
    assert found.largest_diameter == pytest.approx(patient.tumor_diameter_mm, rel=0.45)


def test_the_axes_of_the_file_do_not_matter() -> None:
    structures = organs(aorta=(slice(30, 50), slice(40, 50), HIGH))
    mask = ball((52, 30, 25), 6.0)
    order = AxisOrder(axes=(2, 0, 1), flipped=(True, False, True))
    assert measure_tumor(order.apply(volume(mask)), order.apply(structures)) == measured(mask, structures)
