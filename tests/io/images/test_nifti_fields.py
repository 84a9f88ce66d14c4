"""The NIfTI header we write against nibabel's."""

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import header_dtype as nifti1
from nibabel.nifti2 import header_dtype as nifti2
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.io.images.nifti_fields import NIFTI1, NIFTI2, VOXELS_AT, header_bytes

ROTATIONS = [(0.0, 0.0, 0.0), (np.pi, 0.0, 0.0), (0.0, np.pi, 0.0), (0.0, 0.0, np.pi), (0.3, -0.5, 2.9)]


def grid(rotation: tuple[float, ...], *, mirrored: bool) -> Geometry:
    axes = Rotation.from_rotvec(rotation).as_matrix()
    axes[:, 1] *= -1 if mirrored else 1
    columns: Any = tuple(map(tuple, axes.tolist()))
    return Geometry(shape=(5, 6, 7), spacing=(0.68, 0.7, 0.8), origin=(10.0, -20.5, 30.25), direction=columns)


def test_the_fields_are_those_of_the_format() -> None:
    assert NIFTI1.newbyteorder("<") == nifti1.newbyteorder("<")
    assert NIFTI2.newbyteorder("<") == nifti2.newbyteorder("<")


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_the_header_says_what_nibabel_would_write(rotation: tuple[float, ...], *, mirrored: bool) -> None:
    geometry = grid(rotation, mirrored=mirrored)
    block = header_bytes(geometry, np.zeros((5, 6, 7), dtype=np.int16))
    assert len(block) == VOXELS_AT
    found = nib.Nifti1Header(block[:348])
    expected = nib.Nifti1Header()
    expected.set_data_dtype(np.int16)
    expected.set_data_shape((5, 6, 7))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
    expected.set_qform(affine, code="scanner")
    expected.set_sform(affine, code="scanner")
    expected.set_xyzt_units("mm")
    expected["vox_offset"], expected["scl_slope"], expected["scl_inter"] = VOXELS_AT, 1.0, 0.0
    for name in nifti1.names:
        if not name.startswith(("quatern", "pixdim")):
            assert np.array_equal(found[name], expected[name]), name
    assert_allclose(found["pixdim"], expected["pixdim"], rtol=1e-6)
    assert_allclose(found.get_qform(), affine, atol=2e-5)
    assert_allclose(found.get_sform(), affine, atol=1e-6)


@pytest.mark.parametrize("name", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_nibabel_reads_the_number_type_and_components(name: str) -> None:
    header = nib.Nifti1Header(
        header_bytes(grid((0, 0, 0), mirrored=False), np.zeros((5, 6, 7, 3), name))[:348]
    )
    assert header.get_data_dtype() == np.dtype(name)
    assert header.get_data_shape() == (5, 6, 7, 3)


@pytest.mark.parametrize("array", [np.zeros((1, 1, 32768), np.uint8), np.zeros((5, 6, 7), np.complex64)])
def test_what_the_format_has_no_place_for_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="NIfTI-1 has no place"):
        header_bytes(grid((0, 0, 0), mirrored=False), array)
