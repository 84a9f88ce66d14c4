from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.io.images.masks import read_mask, read_whole_numbers

Maker = Callable[..., Path]
GRID = Geometry(shape=(4, 5, 6), spacing=(4.0, 4.5, 5.0))
MASK = (np.random.default_rng(1).random((4, 5, 6)) < 0.3).astype(np.uint8)


def test_an_empty_mask_is_a_mask(make_nifti: Maker) -> None:
    mask = read_mask(make_nifti(np.zeros((4, 5, 6), np.float32)), GRID)
    assert mask.array.dtype == np.uint8
    assert not mask.array.any()


def test_a_permuted_and_flipped_mask_is_reordered_exactly(make_nifti: Maker) -> None:
    # Axes k, i, j of the CT, k from cranial to caudal; the affine is RAS.
    affine = np.array([[0.0, -4.0, 0, 0], [0, 0, -4.5, 0], [-5.0, 0, 0, 25.0], [0, 0, 0, 1]])
    mask = read_mask(make_nifti(MASK.transpose(2, 0, 1)[::-1], affine=affine), GRID)
    assert_array_equal(mask.array, MASK)
    assert mask.geometry == GRID


@pytest.mark.parametrize("shift", [0.05, 4.0])
def test_a_shifted_mask_is_refused(make_nifti: Maker, shift: float) -> None:
    affine = np.diag([-4.0, -4.5, 5.0, 1.0])
    affine[0, 3] = shift
    with pytest.raises(
        GeometryMismatchError, match=r"image\.nii\.gz: the tumor mask lies on another voxel grid"
    ):
        read_mask(make_nifti(MASK, affine=affine), GRID, name="tumor mask")


def test_a_mask_of_another_shape_is_refused_before_it_is_unpacked(make_nifti: Maker) -> None:
    path = make_nifti(np.zeros((40, 50, 60), np.uint8))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(GeometryMismatchError, match=r"has \(40, 50, 60\) voxels, the CT \(4, 5, 6\)"):
        read_mask(path, GRID)


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (MASK * 255, "values from 0 to 255, only 0 and 1"),
        (MASK * 7, "values from 0 to 7"),
        (MASK.astype(np.int8) * -1, "values from -1 to 0"),
        (MASK.astype(np.float32) * 0.5, "fractional values"),
        (MASK.astype(np.float32) * np.nan, "not finite"),
    ],
)
def test_other_values_than_0_and_1_are_refused(make_nifti: Maker, array: np.ndarray, word: str) -> None:
    with pytest.raises(InputError, match=word):
        read_mask(make_nifti(array), GRID)


def test_what_was_noticed_in_a_mask_file_is_logged(
    make_nifti: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    read_whole_numbers(make_nifti(MASK, extra=b"abc"), GRID, name="mask")
    assert "3 bytes behind the last voxel" in caplog.text
