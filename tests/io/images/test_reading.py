from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import lymphct.io
from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.terms import Phase
from lymphct.io.images.reading import read_ct, read_image, read_volume

Maker = Callable[..., Path]


def test_a_ct_is_the_same_from_nifti_and_from_dicom(
    make_nifti: Maker, make_series: Maker, body: AnyArray
) -> None:
    affine = np.diag([-4.0, -4.5, 5.0, 1.0])
    affine[:3, 3] = 90.0, -11.0, -300.0
    nifti = read_ct(make_nifti(body, affine=affine), phase=Phase.VENOUS)
    dicom = read_ct(make_series(body), phase=Phase.ARTERIAL)
    assert_array_equal(nifti.volume.array, dicom.volume.array)
    assert nifti.volume.geometry.matches(dicom.volume.geometry)
    assert nifti.volume.array.dtype == dicom.volume.array.dtype == np.int16
    assert (nifti.phase, dicom.phase) == (Phase.VENOUS, Phase.ARTERIAL)
    assert nifti.patient_key == ""
    assert dicom.patient_key != ""


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept"),
    [
        ("<i2", 1.0, 0.0),
        (">i2", 1.0, 0.0),
        ("<f4", 1.0, 0.0),
        ("<f8", 1.0, 0.0),
        ("<u2", 1.0, -1100.0),
        ("<i2", 0.5, 0.0),
    ],
)
def test_a_ct_is_the_same_however_it_is_stored(
    make_nifti: Maker, body: AnyArray, dtype: str, slope: float, intercept: float
) -> None:
    stored = ((body - intercept) / slope).astype(dtype)
    ct = read_ct(make_nifti(stored, scl_slope=slope, scl_inter=intercept), phase=Phase.VENOUS)
    assert_array_equal(ct.volume.array, np.maximum(body, -1024))


def test_anatomical_limits_hold_for_a_ct_and_not_for_other_images(make_nifti: Maker, body: AnyArray) -> None:
    path = make_nifti(body[:, :, :10])
    with pytest.raises(InputError, match=r"image\.nii\.gz: number of slices 10 lies outside the limits"):
        read_ct(path, phase=Phase.VENOUS)
    assert read_volume(path).geometry.shape == (48, 40, 10)


def test_values_that_are_no_hu_are_refused_by_file_name(make_nifti: Maker, body: AnyArray) -> None:
    with pytest.raises(InputError, match=r"image\.nii\.gz: the values are not HU"):
        read_ct(make_nifti((body > 0).astype(np.uint8)), phase=Phase.VENOUS)


def test_notices_of_file_and_values_come_along(make_nifti: Maker, body: AnyArray) -> None:
    padded = body.copy()
    padded[:3] = -2000
    ct = read_ct(make_nifti(padded, extra=b"abc"), phase=Phase.VENOUS)
    assert [notice.code for notice in ct.notices] == ["trailing_bytes", "padding_clipped"]


def test_any_image_may_be_a_dicom_folder(make_series: Maker, body: AnyArray) -> None:
    folder = make_series(body[:, :, :4])
    assert_array_equal(read_volume(folder).array, body[:, :, :4])
    assert read_image(folder).digest == read_image(folder).digest


def test_the_room_offers_read_volume_at_its_door(make_nifti: Maker, body: AnyArray) -> None:
    assert_array_equal(lymphct.io.read_volume(make_nifti(body)).array, body)
    with pytest.raises(AttributeError, match="no attribute 'read_anything'"):
        lymphct.io.read_anything  # noqa: B018 - the name must not exist
