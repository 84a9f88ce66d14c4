"""The fields of a NIfTI header, of either version, and the header of the files we write."""

from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry

NIFTI1: Final = np.dtype([
    ("sizeof_hdr", "i4"), ("data_type", "S10"), ("db_name", "S18"), ("extents", "i4"),
    ("session_error", "i2"), ("regular", "S1"), ("dim_info", "u1"), ("dim", "i2", (8,)),
    ("intent_p1", "f4"), ("intent_p2", "f4"), ("intent_p3", "f4"), ("intent_code", "i2"),
    ("datatype", "i2"), ("bitpix", "i2"), ("slice_start", "i2"), ("pixdim", "f4", (8,)),
    ("vox_offset", "f4"), ("scl_slope", "f4"), ("scl_inter", "f4"), ("slice_end", "i2"),
    ("slice_code", "u1"), ("xyzt_units", "u1"), ("cal_max", "f4"), ("cal_min", "f4"),
    ("slice_duration", "f4"), ("toffset", "f4"), ("glmax", "i4"), ("glmin", "i4"), ("descrip", "S80"),
    ("aux_file", "S24"), ("qform_code", "i2"), ("sform_code", "i2"), ("quatern_b", "f4"),
    ("quatern_c", "f4"), ("quatern_d", "f4"), ("qoffset_x", "f4"), ("qoffset_y", "f4"), ("qoffset_z", "f4"),
    ("srow_x", "f4", (4,)), ("srow_y", "f4", (4,)), ("srow_z", "f4", (4,)), ("intent_name", "S16"),
    ("magic", "S4"),
])  # fmt: skip
"""348 bytes."""

NIFTI2: Final = np.dtype([
    ("sizeof_hdr", "i4"), ("magic", "S4"), ("eol_check", "i1", (4,)), ("datatype", "i2"), ("bitpix", "i2"),
    ("dim", "i8", (8,)), ("intent_p1", "f8"), ("intent_p2", "f8"), ("intent_p3", "f8"),
    ("pixdim", "f8", (8,)), ("vox_offset", "i8"), ("scl_slope", "f8"), ("scl_inter", "f8"),
    ("cal_max", "f8"), ("cal_min", "f8"), ("slice_duration", "f8"), ("toffset", "f8"),
    ("slice_start", "i8"), ("slice_end", "i8"), ("descrip", "S80"), ("aux_file", "S24"),
    ("qform_code", "i4"), ("sform_code", "i4"), ("quatern_b", "f8"), ("quatern_c", "f8"),
    ("quatern_d", "f8"), ("qoffset_x", "f8"), ("qoffset_y", "f8"), ("qoffset_z", "f8"),
    ("srow_x", "f8", (4,)), ("srow_y", "f8", (4,)), ("srow_z", "f8", (4,)), ("slice_code", "i4"),
    ("xyzt_units", "i4"), ("intent_code", "i4"), ("intent_name", "S16"), ("dim_info", "u1"),
    ("unused_str", "S15"),
])  # fmt: skip
"""540 bytes."""

TYPES: Final = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
"""Number types by their code."""

VOXELS_AT: Final = 352
"""Where voxels begin in the files we write."""

_RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_SCANNER: Final = 1
_MILLIMETERS: Final = 2
_LARGEST_AXIS: Final = 32767


def header_bytes(geometry: Geometry, array: AnyArray) -> bytes:
    """Return the NIfTI-1 header of an array on a grid and what fills the space up to its voxels.

    qform and sform say the same, positions are RAS+ in mm, values are not scaled.

    Raises:
        InputError: an axis is longer, or the number type another, than the format has.

    """
    codes = {np.dtype(name): code for code, name in TYPES.items()}
    if array.dtype not in codes or max(array.shape) > _LARGEST_AXIS:
        msg = f"NIfTI-1 has no place for {array.dtype} of shape {array.shape}"
        raise InputError(msg, code="E_DATATYPE", cure="convert the values, or crop the image")
    header = np.zeros((), dtype=NIFTI1.newbyteorder("<"))
    affine = _RAS_FROM_LPS @ geometry.affine
    handedness, quaternion = _rotation(affine[:3, :3])
    header["sizeof_hdr"] = NIFTI1.itemsize
    header["dim"] = [array.ndim, *array.shape, *[1] * (7 - array.ndim)]
    header["datatype"], header["bitpix"] = codes[array.dtype], 8 * array.dtype.itemsize
    header["pixdim"] = [handedness, *np.linalg.norm(affine[:3, :3], axis=0), *[1.0] * 4]
    header["vox_offset"], header["scl_slope"], header["xyzt_units"] = VOXELS_AT, 1.0, _MILLIMETERS
    header["qform_code"] = header["sform_code"] = _SCANNER
    for name, value in zip(("quatern_b", "quatern_c", "quatern_d"), quaternion[1:], strict=True):
        header[name] = value
    for axis, name in enumerate("xyz"):
        header[f"qoffset_{name}"], header[f"srow_{name}"] = affine[axis, 3], affine[axis]
    header["magic"] = b"n+1"
    return header.tobytes().ljust(VOXELS_AT, b"\0")


def _rotation(axes: DoubleArray) -> tuple[float, DoubleArray]:
    """Return qfac, -1 where the axes are left-handed, and the unit quaternion (a, b, c, d), a ≥ 0.

    Every entry is found from the largest of the four, so that nothing is divided by a small number.
    """
    r = axes / np.linalg.norm(axes, axis=0)
    handedness = 1.0 if np.linalg.det(r) > 0 else -1.0
    r[:, 2] *= handedness
    # Four times the products of any two entries of the quaternion.
    products = np.array([
        [1 + r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
        [r[2, 1] - r[1, 2], 1 + r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
        [r[0, 2] - r[2, 0], r[0, 1] + r[1, 0], 1 - r[0, 0] + r[1, 1] - r[2, 2], r[1, 2] + r[2, 1]],
        [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], 1 - r[0, 0] - r[1, 1] + r[2, 2]],
    ])  # fmt: skip
    row = products[np.argmax(np.diag(products))]
    quaternion: DoubleArray = row / np.linalg.norm(row)
    return handedness, quaternion if quaternion[0] >= 0 else -quaternion
