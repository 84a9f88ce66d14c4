import numpy as np
import pytest

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Phase
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import CT
from lymphct.io.images.pairing import check_pair, grid_overlap, phases_look_swapped

GRID = Geometry(shape=(96, 96, 40), spacing=(4.0, 3.5, 5.0), origin=(-190.0, -170.0, 40.0))


def phase_image(aorta: float, liver: float, seed: int, grid: Geometry = GRID) -> Volume:
    """Return a body with fat, liver, aorta and spine; HU with noise."""
    world = grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))
    x, y = world[..., 0], world[..., 1]
    values = np.full(grid.shape, -1000.0)
    values[(x / 160) ** 2 + (y / 120) ** 2 < 1] = -90
    values[((x + 70) / 70) ** 2 + (y / 80) ** 2 < 1] = liver
    values[(x - 10) ** 2 + (y - 40) ** 2 < 14**2] = aorta
    values[x**2 + (y - 80) ** 2 < 25**2] = 400
    values += np.random.default_rng(seed).normal(0, 15, grid.shape)
    return Volume(array=values.astype(np.int16), geometry=grid)


def aorta_mask(grid: Geometry = GRID) -> Volume:
    world = grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))
    inside = (world[..., 0] - 10) ** 2 + (world[..., 1] - 40) ** 2 < 14**2
    return Volume(array=inside.astype(np.uint8), geometry=grid)


VENOUS = phase_image(aorta=150, liver=110, seed=1)
ARTERIAL = phase_image(aorta=320, liver=65, seed=2)
NATIVE = phase_image(aorta=40, liver=55, seed=3)


def ct(volume: Volume, *, digest: str = "", patient_key: str = "", frame_key: str = "") -> CT:
    return CT(
        volume=volume,
        phase=Phase.VENOUS,
        digest=digest or str(id(volume)),
        patient_key=patient_key,
        frame_key=frame_key,
    )


def test_exchanged_phases_show_without_any_mask() -> None:
    notice = phases_look_swapped(venous=ARTERIAL, arterial=VENOUS)
    assert notice is not None
    assert notice.code == "phases_swapped"
    assert "swapped" in notice.text


def test_phases_in_place_raise_no_alarm() -> None:
    assert phases_look_swapped(venous=VENOUS, arterial=ARTERIAL) is None


@pytest.mark.parametrize(
    ("venous", "arterial"), [(VENOUS, NATIVE), (NATIVE, VENOUS), (NATIVE, ARTERIAL), (VENOUS, VENOUS)]
)
def test_one_sign_alone_raises_no_alarm(venous: Volume, arterial: Volume) -> None:
    assert phases_look_swapped(venous, arterial) is None


def test_exchange_shows_across_grids_and_breathing() -> None:
    finer = Geometry(
        shape=(100, 160, 90),
        spacing=(3.0, 2.0, 2.0),
        origin=(-150.0, 160.0, 52.0),
        direction=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    moved = phase_image(aorta=150, liver=110, seed=4, grid=finer)
    shifted = Volume(array=moved.array, geometry=finer.cropped((2, 2, 3), finer.shape))
    assert phases_look_swapped(ARTERIAL, shifted) is not None
    assert phases_look_swapped(shifted, ARTERIAL) is None


def test_phases_without_common_region_raise_no_alarm() -> None:
    away = Volume(array=VENOUS.array, geometry=GRID.cropped((0, 0, 500), GRID.shape))
    assert phases_look_swapped(ARTERIAL, away) is None
    assert phases_look_swapped(ARTERIAL, away, aorta_mask()) is None


@pytest.mark.parametrize(
    ("venous", "arterial", "code", "gain"),
    [
        (ARTERIAL, VENOUS, "phases_swapped", -170.0),
        (VENOUS, NATIVE, "phases_swapped", -110.0),
        (VENOUS, VENOUS, "weak_arterial_contrast", 0.0),
    ],
)
def test_the_aorta_decides_where_it_is_known(
    venous: Volume, arterial: Volume, code: str, gain: float
) -> None:
    notice = phases_look_swapped(venous, arterial, aorta_mask())
    assert notice is not None
    assert notice.code == code
    assert notice.value == pytest.approx(gain, abs=3)


def test_a_bright_arterial_aorta_raises_no_alarm_and_an_empty_mask_decides_nothing() -> None:
    assert phases_look_swapped(VENOUS, ARTERIAL, aorta_mask()) is None
    empty = VENOUS.with_array(np.zeros(GRID.shape, np.uint8))
    assert phases_look_swapped(ARTERIAL, VENOUS, empty) is not None


def test_a_good_pair_raises_no_notice() -> None:
    assert check_pair(ct(VENOUS, patient_key="a"), ct(ARTERIAL, patient_key="a")) == ()
    assert check_pair(ct(VENOUS, patient_key="a"), ct(ARTERIAL)) == ()


def test_two_patients_are_refused_unless_the_user_vouches_for_them() -> None:
    venous, arterial = ct(VENOUS, patient_key="secret"), ct(ARTERIAL, patient_key="other")
    with pytest.raises(InputError, match="belong to different patients") as caught:
        check_pair(venous, arterial)
    assert "secret" not in str(caught.value)
    (notice,) = check_pair(venous, arterial, trust_pairing=True)
    assert notice.code == "patient_ids_differ"


def copy_of(array: AnyArray) -> Volume:
    return Volume(array=array.copy(), geometry=GRID)


def test_one_image_twice_is_refused_by_file_or_by_content() -> None:
    with pytest.raises(InputError, match="the same image was given"):
        check_pair(ct(VENOUS, digest="x"), ct(ARTERIAL, digest="x"))
    with pytest.raises(InputError, match="the same image was given"):
        check_pair(ct(VENOUS), ct(copy_of(VENOUS.array)))


def test_another_frame_of_reference_is_noticed() -> None:
    (notice,) = check_pair(ct(VENOUS, frame_key="a"), ct(ARTERIAL, frame_key="b"))
    assert notice.code == "frames_differ"


def placed(k: int) -> CT:
    return ct(Volume(array=ARTERIAL.array, geometry=GRID.cropped((0, 0, k), GRID.shape)))


def test_little_overlap_is_noticed_and_none_refused() -> None:
    assert check_pair(ct(VENOUS), placed(5)) == ()
    (notice,) = check_pair(ct(VENOUS), placed(20))
    assert (notice.code, notice.value) == ("little_overlap", 0.5)
    with pytest.raises(InputError, match=r"different regions \(overlap 0 %"):
        check_pair(ct(VENOUS), placed(40))


def test_a_short_phase_inside_a_long_one_overlaps_fully() -> None:
    assert grid_overlap(GRID, GRID.cropped((10, 10, 10), (50, 50, 20))) == 1.0
    assert grid_overlap(GRID.cropped((10, 10, 10), (50, 50, 20)), GRID) == 1.0
