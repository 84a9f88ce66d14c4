"""The first bytes of a NIfTI file, parsed alone; whole files are read in test_nifti."""

import warnings

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.errors import InputError
from lymphct.io.images.image_header import ImageHeader
from lymphct.io.images.limits import SafetyLimits
from lymphct.io.images.nifti_header import HEADER_BYTES, parse_header

AFFINE = np.diag([-0.68, -0.68, 0.8, 1.0])
AFFINE[:3, 3] = (31.0, -12.0, 77.0)


def block(shape: tuple[int, ...] = (4, 5, 6), kind: type[np.generic] = np.int16, **fields: object) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(shape)
    header.set_sform(AFFINE, code=1)
    header.set_qform(AFFINE, code=1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock).ljust(HEADER_BYTES, b"\0")


def parsed(content: bytes, components: int = 1) -> ImageHeader:
    return parse_header(content, components=components, limits=SafetyLimits())


def test_a_header_says_where_its_voxels_lie_in_lps_and_how_many_bytes_they_take() -> None:
    header = parsed(block())
    assert header.geometry.shape == (4, 5, 6)
    assert_allclose(header.geometry.spacing, (0.68, 0.68, 0.8), rtol=1e-6)
    assert_allclose(header.geometry.origin, (-31.0, 12.0, 77.0), rtol=1e-6)
    assert_allclose(header.geometry.direction, np.eye(3), atol=1e-6)
    assert (header.payload_bytes, header.offset) == (240, 352)
    assert (header.slope, header.intercept) == (1.0, 0.0)


def test_the_other_byte_order_is_read_too() -> None:
    header = nib.Nifti1Header(binaryblock=block()[:348]).as_byteswapped()
    swapped = parsed(bytes(header.binaryblock).ljust(HEADER_BYTES, b"\0"))
    assert swapped.geometry.matches(parsed(block()).geometry)
    assert swapped.dtype.newbyteorder("=") == np.int16
    assert not swapped.dtype.isnative


def test_slope_and_intercept_are_those_of_the_header() -> None:
    header = parsed(block(scl_slope=2.0, scl_inter=-1024.0))
    assert (header.slope, header.intercept) == (2.0, -1024.0)


def test_a_vector_field_has_three_values_a_voxel() -> None:
    header = parsed(block((4, 5, 6, 1, 3), np.float32), components=3)
    assert (header.components, header.payload_bytes) == (3, 4 * 5 * 6 * 3 * 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"\0" * 128 + b"DICM" + b"\0" * 400, "it is one DICOM file"),
        (b"\x89PNG", "only 4 bytes, a NIfTI header has 348"),
        (b"patient_id,venous\n" * 40, "it is text"),
        (b"\xff" * 400, "does not begin with a NIfTI header"),
        (block(magic=b"ni1"), r"two files \(.hdr and .img\)"),
        (block(magic=b""), "Analyze 7.5"),
        (block(vox_offset=100), "voxels would begin at byte 100"),
    ],
)
def test_what_is_no_readable_image_is_named(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parsed(content)


def test_no_warning_of_numpy_leaves_a_refused_header() -> None:
    rng = np.random.default_rng(4)
    content = block()
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (np.nan, np.inf, 3e38, -3e38, 1e-45):
            for field in ("srow_x", "pixdim", "quatern_b", "qoffset_x", "scl_slope", "vox_offset"):
                header = np.frombuffer(content[:348], nib.nifti1.header_dtype).copy()
                header[field] = value
                header["qform_code"] = 1
                try:
                    parse_header(header.tobytes() + content[348:], components=1, limits=SafetyLimits())
                except InputError:
                    refused += 1
        for _ in range(500):
            damaged = bytearray(content)
            for place in rng.integers(70, 340, 6):
                damaged[place] = rng.integers(256)
            try:
                parse_header(bytes(damaged), components=1, limits=SafetyLimits())
            except InputError:
                refused += 1
    assert refused > 100
