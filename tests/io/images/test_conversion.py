"""Images of nibabel and SimpleITK arrive as `read_volume` reads them, and go back to where they lay."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.conversion import from_nibabel, from_sitk, to_nibabel, to_sitk
from lymphct.io.images.reading import read_volume, write_volume

Maker = Callable[..., Path]
TURNED = Geometry(
    shape=(4, 5, 6),
    spacing=(0.68, 0.7, 0.8),
    origin=(9.0, -4.0, 2.0),
    direction=((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
)
VALUES = np.random.default_rng(3).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
IMAGE = Volume(array=VALUES, geometry=TURNED)
ROUND_TRIPS = [lambda v: from_nibabel(to_nibabel(v)), lambda v: from_sitk(to_sitk(v))]


@pytest.mark.parametrize("there_and_back", ROUND_TRIPS, ids=["nibabel", "SimpleITK"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.int32])
def test_an_image_comes_back_the_same(there_and_back: Callable[[Volume], Volume], dtype: Any) -> None:
    volume = IMAGE.with_array(np.abs(VALUES).astype(dtype))
    back = there_and_back(volume)
    assert back.array.dtype == dtype
    assert_array_equal(back.array, volume.array)
    assert back.geometry.matches(TURNED, tolerance_voxels=1e-6)


@pytest.mark.parametrize("there_and_back", ROUND_TRIPS, ids=["nibabel", "SimpleITK"])
def test_truth_values_and_halves_become_types_that_both_libraries_know(
    there_and_back: Callable[[Volume], Volume],
) -> None:
    assert there_and_back(IMAGE.with_array(VALUES > 0)).array.dtype == np.uint8
    assert there_and_back(IMAGE.with_array(VALUES.astype(np.float16))).array.dtype == np.float32


def test_a_file_is_the_same_by_nibabel_by_sitk_and_by_us(tmp_path: Path) -> None:
    path = tmp_path / "image.nii.gz"
    write_volume(path, IMAGE)
    ours = read_volume(path)
    for other in (from_nibabel(nib.load(path)), from_sitk(SimpleITK.ReadImage(str(path)))):
        assert_array_equal(other.array, ours.array)
        assert other.array.dtype == ours.array.dtype == np.int16
        assert other.geometry.matches(ours.geometry, tolerance_voxels=1e-4)


def test_scaled_values_are_float32_as_from_a_file(make_nifti: Maker) -> None:
    path = make_nifti(VALUES, scl_slope=0.5, scl_inter=3.0)
    by_nibabel = from_nibabel(nib.load(path))
    assert by_nibabel.array.dtype == np.float32
    assert_array_equal(by_nibabel.array, read_volume(path).array)


def test_positions_are_those_the_libraries_themselves_give() -> None:
    corner = TURNED.world((3, 0, 5))
    assert_allclose(to_sitk(IMAGE).TransformIndexToPhysicalPoint((3, 0, 5)), corner)
    ras = to_nibabel(IMAGE).affine @ (3, 0, 5, 1)
    assert_allclose(ras[:3] * (-1, -1, 1), corner)
    assert to_sitk(IMAGE).GetPixel(1, 2, 3) == VALUES[1, 2, 3]
    assert to_nibabel(IMAGE).header.get_xyzt_units()[0] == "mm"


def test_a_field_keeps_its_components_in_sitk() -> None:
    field = IMAGE.with_array(np.random.default_rng(4).normal(size=(4, 5, 6, 3)).astype(np.float32))
    image = to_sitk(field)
    assert image.GetNumberOfComponentsPerPixel() == 3
    assert_array_equal(from_sitk(image).array, field.array)


def test_what_is_no_image_of_three_axes_is_refused() -> None:
    four = nib.Nifti1Image(np.zeros((4, 5, 6, 2), np.float32), np.eye(4))
    with pytest.raises(InputError, match=r"three axes, got 4 \(4×5×6×2\).*one frame or one component"):
        from_nibabel(four)
    with pytest.raises(InputError, match=r"three axes, got 2 \(3×4\)"):
        from_sitk(SimpleITK.Image([3, 4], SimpleITK.sitkInt16))
    with pytest.raises(InputError, match=r"three axes, got 4 \(4×5×6×3\)"):
        to_nibabel(IMAGE.with_array(np.zeros((4, 5, 6, 3))))


def test_sheared_axes_are_refused() -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.4
    with pytest.raises(InputError, match="not orthonormal"):
        from_nibabel(nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), affine))


def test_the_libraries_load_on_first_use_alone() -> None:
    script = (
        "import sys, lymphct.io.images.conversion as c\n"
        "print([name for name in ('nibabel', 'SimpleITK', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
