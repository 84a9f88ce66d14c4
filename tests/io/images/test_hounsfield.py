import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.hounsfield import checked_hounsfield


def volume(array: AnyArray) -> Volume:
    shape = (array.shape[0], array.shape[1], array.shape[2])
    return Volume(array=array, geometry=Geometry(shape=shape, spacing=(0.68, 0.68, 0.8)))


def test_whole_numbers_become_int16_and_fractions_float32(body: AnyArray) -> None:
    for dtype, expected in ((np.int32, np.int16), (np.int16, np.int16), (np.float64, np.float32)):
        checked, notices = checked_hounsfield(volume(body.astype(dtype)))
        assert checked.array.dtype == expected
        assert_array_equal(checked.array, np.maximum(body, -1024))
        assert notices == ()


def test_values_beyond_int16_stay_float32(body: AnyArray) -> None:
    array = body.astype(np.int32)
    array[0, 0, 0] = 40_000
    assert checked_hounsfield(volume(array))[0].array.dtype == np.float32


@pytest.mark.parametrize("padding", [-2000, -3024])
def test_padding_is_cut_off_and_noticed(body: AnyArray, padding: int) -> None:
    array = body.copy()
    array[:3] = padding
    checked, (notice,) = checked_hounsfield(volume(array))
    assert checked.array.min() == -1024
    assert (notice.code, notice.value) == ("padding_clipped", float(padding))


def test_values_cut_off_at_the_top_are_noticed(body: AnyArray) -> None:
    _, (notice,) = checked_hounsfield(volume(np.minimum(body, 40)))
    assert (notice.code, notice.value) == ("values_cut_off", 40.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_share(body: AnyArray, bad: float) -> None:
    array = body.astype(np.float32)
    array.reshape(-1)[: array.size // 50] = bad
    with pytest.raises(InputError, match=r"2 % of the voxels are not finite \(NaN or infinite\)"):
        checked_hounsfield(volume(array))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda hu: np.full_like(hu, -1000), "same value -1000"),
        (lambda hu: hu.astype(np.float32) * 1e27, r"values from -1\.\d+e\+30"),
        (lambda hu: np.clip((hu + 160) * 255 // 400, 0, 255), "8-bit window"),
        (lambda hu: np.clip((hu + 160) / 400, 0, 1).astype(np.float32), "scaled to 0-1"),
        (lambda hu: np.maximum(hu + 1024, 0), r"shifted by \+1024, or not CT"),
        (lambda hu: np.where(hu < -900, -1000, hu + 1024), r"denser than 700 HU \(shifted by \+1024"),
        (lambda hu: np.where(hu > -500, -950, hu), "0 % of the voxels are soft tissue"),
    ],
)
def test_values_that_cannot_be_hu_are_refused_with_their_measure(
    body: AnyArray, change: object, word: str
) -> None:
    assert callable(change)
    with pytest.raises(InputError, match=word) as caught:
        checked_hounsfield(volume(change(body.astype(np.int32))))
    assert caught.value.code == "E_NOT_HU"
