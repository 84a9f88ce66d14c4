"""The header of a NIfTI file: everything it claims is checked before a voxel is read."""

from typing import Any, Final, Literal

import numpy as np

from lymphct.core.arrays import DoubleArray, Index3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Notice
from lymphct.io.images.image_header import ImageHeader, in_mm, straight_grid
from lymphct.io.images.limits import SafetyLimits, check_safety, check_voxel_count
from lymphct.io.images.nifti_fields import NIFTI1, NIFTI2, TYPES

HEADER_BYTES: Final = 540
"""Bytes that hold either header, NIfTI-1 (348) or NIfTI-2 (540)."""

_SIZES: Final = {348: NIFTI1, 540: NIFTI2}
_LARGEST_OFFSET: Final = 1 << 26
_LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_REFUSED_TYPES: Final = {
    1: "1-bit", 32: "complex", 128: "RGB color", 1536: "128-bit", 1792: "complex", 2048: "complex",
    2304: "RGBA color",
}  # fmt: skip


def parse_header(block: bytes, *, components: int, limits: SafetyLimits) -> ImageHeader:
    """Check the first `HEADER_BYTES` bytes of a file and say what they declare.

    Args:
        block: the (unpacked) beginning of the file.
        components: values expected per voxel: 1 for an image, 3 for a vector field.
        limits: safety limits.

    Raises:
        InputError: with what is wrong, in the order a reader of the header meets it.

    """
    with np.errstate(all="ignore"):  # what a hostile header overflows is refused, not computed with
        return _checked(block, components, limits)


def _checked(block: bytes, components: int, limits: SafetyLimits) -> ImageHeader:
    fields, order = _fields(block)
    shape = _shape([int(n) for n in fields["dim"]], components)
    check_voxel_count(shape, limits)
    dtype = _dtype(int(fields["datatype"]), int(fields["bitpix"])).newbyteorder(order)
    offset = float(fields["vox_offset"])
    smallest = 352 if int(fields["sizeof_hdr"]) == 348 else 544
    if not (np.isfinite(offset) and smallest <= offset <= _LARGEST_OFFSET and offset == int(offset)):
        msg = f"incomplete or damaged file: voxels would begin at byte {offset:g} (vox_offset)"
        raise InputError(msg, code="E_HEADER", cure="export the image again")
    slope, intercept = _scaling(float(fields["scl_slope"]), float(fields["scl_inter"]))
    geometry, notices = _geometry(fields, shape, limits)
    check_safety(geometry, limits)
    return ImageHeader(
        geometry=geometry,
        components=components,
        dtype=dtype,
        extension=smallest,
        offset=int(offset),
        slope=slope,
        intercept=intercept,
        notices=notices,
    )


def _fields(block: bytes) -> tuple[Any, Literal["<", ">"]]:
    """Return the header's fields and the byte order, "<" or ">"."""
    orders: tuple[Literal["<"], Literal[">"]] = ("<", ">")
    for order in orders:
        size = int(np.frombuffer(block[:4].ljust(4, b"\0"), dtype=f"{order}i4")[0])
        if size in _SIZES and len(block) >= size:
            fields = np.frombuffer(block[:size], dtype=_SIZES[size].newbyteorder(order))[0]
            magic = bytes(fields["magic"]).rstrip(b"\0")
            if magic.startswith((b"n+1", b"n+2")):
                return fields, order
            if magic.startswith((b"ni1", b"ni2")):
                msg = "header and voxels lie in two files (.hdr and .img), which is not supported"
                raise InputError(msg, code="E_NOT_NIFTI", cure="convert to one .nii.gz file")
            msg = "Analyze 7.5 files are not supported: they do not say which side is left"
            raise InputError(msg, code="E_NOT_NIFTI", cure="export as NIfTI or DICOM")
    msg = f"incomplete or damaged file: {_resemblance(block)}"
    raise InputError(msg, code="E_NOT_NIFTI", cure="give a NIfTI file or a folder of DICOM slices")


def _resemblance(block: bytes) -> str:
    start = block.lstrip()[:64].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a web page, not a NIfTI image"
    if block[128:132] == b"DICM":
        return "it is one DICOM file, not a NIfTI image; give the folder that holds the series"
    if len(block) < 348:
        return f"only {len(block)} bytes, a NIfTI header has 348"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in block[:128]):
        return "it is text, not a NIfTI image"
    return "it does not begin with a NIfTI header"


def _shape(dim: list[int], components: int) -> Index3:
    count = dim[0]
    if not 1 <= count <= 7 or any(n < 1 for n in dim[1 : count + 1]):
        msg = f"incomplete or damaged file: impossible dimensions {dim}"
        raise InputError(msg, code="E_SHAPE", cure="export the image again")
    sizes = dim[1 : count + 1]
    text = "×".join(str(n) for n in sizes)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    extra = 1
    for n in sizes[3:]:
        extra *= n
    if len(sizes) < 3 or (components == 1 and extra != 1):
        msg = f"the image has {len(sizes)} dimensions ({text}), a 3D volume is needed"
        raise InputError(msg, code="E_SHAPE", cure="give one 3D file per phase")
    if extra != components:
        msg = f"the image has {extra} values per voxel ({text}), {components} are needed"
        raise InputError(msg, code="E_SHAPE", cure="give a field with the three components last")
    return sizes[0], sizes[1], sizes[2]


def _dtype(code: int, bits: int) -> np.dtype[Any]:
    if code not in TYPES:
        kind = _REFUSED_TYPES.get(code, "unknown")
        msg = f"voxels of a {kind} type (NIfTI datatype {code}) are not supported"
        raise InputError(msg, code="E_DATATYPE", cure="export one number per voxel, for example int16")
    dtype = np.dtype(TYPES[code])
    if bits != 8 * dtype.itemsize:
        right = 8 * dtype.itemsize
        msg = f"incomplete or damaged file: datatype {code} has {right} bits, the header says {bits}"
        raise InputError(msg, code="E_HEADER", cure="export the image again")
    return dtype


def _scaling(slope: float, intercept: float) -> tuple[float, float]:
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0  # the standard's way of saying "not scaled"; NaN is nibabel's
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        msg = f"the scaling of the voxels is not finite (scl_slope {slope:g}, scl_inter {intercept:g})"
        raise InputError(msg, code="E_SCALING", cure="export the image again")
    return slope, intercept


def _geometry(fields: Any, shape: Index3, limits: SafetyLimits) -> tuple[Geometry, tuple[Notice, ...]]:  # noqa: ANN401 - a NumPy record
    pixdim = np.asarray(fields["pixdim"], dtype=np.float64)
    steps = pixdim[1:4]
    if not (np.isfinite(steps).all() and (steps > 0).all()):
        msg = f"voxel spacing {tuple(steps.tolist())} mm is zero, negative or not finite (pixdim)"
        raise InputError(msg, code="E_SPACING", cure="correct pixdim in the header")
    if int(fields["xyzt_units"]) & 7 in {1, 3}:
        unit = "metre" if int(fields["xyzt_units"]) & 7 == 1 else "micrometre"
        msg = f"the header gives the voxel spacing in {unit}, not in mm"
        raise InputError(msg, code="E_SPACING", cure="export the image with spacing in mm")
    forms: list[DoubleArray] = []
    if int(fields["sform_code"]) > 0:
        rows = np.stack([fields["srow_x"], fields["srow_y"], fields["srow_z"], (0.0, 0.0, 0.0, 1.0)])
        forms.append(rows.astype(np.float64))
    if int(fields["qform_code"]) > 0:
        forms.append(_quaternion_affine(fields, pixdim))
    if not forms:
        msg = "the header holds no orientation (qform_code and sform_code are 0): left and right are unknown"
        raise InputError(msg, code="E_AFFINE", cure="convert again from DICOM")
    grids = [straight_grid(_LPS_FROM_RAS @ form, shape, limits) for form in forms]
    if len(grids) == 2:
        corners = np.indices((2, 2, 2)).reshape(3, -1).T * (np.asarray(shape) - 1)
        apart = np.linalg.norm(grids[0][0].world(corners) - grids[1][0].world(corners), axis=1).max()
        if apart > limits.form_disagreement * min(grids[0][0].spacing):
            msg = f"the two orientations in the header (qform, sform) place voxels up to {apart:.3g} mm apart"
            raise InputError(
                msg, code="E_AFFINE", cure="keep the right one and set the code of the other to 0"
            )
    geometry, notices = grids[0]
    worst = float(np.max(np.abs(np.asarray(geometry.spacing) / steps - 1)))
    if worst > 0.01:
        msg = (
            f"voxel spacing contradicts itself: pixdim {in_mm(steps)} mm, affine {in_mm(geometry.spacing)} mm"
        )
        raise InputError(msg, code="E_SPACING", cure="correct the header, or convert again from DICOM")
    return geometry, notices


def _quaternion_affine(fields: Any, pixdim: DoubleArray) -> DoubleArray:  # noqa: ANN401 - a NumPy record
    b, c, d = (float(fields[f"quatern_{name}"]) for name in "bcd")
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest > -1e-3:  # NaN lands here too
        msg = f"the header's quaternion ({b:g}, {c:g}, {d:g}) is no rotation, so the affine is unknown"
        raise InputError(msg, code="E_AFFINE", cure="convert again from DICOM")
    a = np.sqrt(max(rest, 0.0))
    norm = np.sqrt(a * a + b * b + c * c + d * d)
    a, b, c, d = a / norm, b / norm, c / norm, d / norm
    rotation = np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ])  # fmt: skip
    steps = pixdim[1:4].copy()
    steps[2] *= -1.0 if pixdim[0] < 0 else 1.0  # qfac: a left-handed grid
    affine = np.eye(4)
    affine[:3, :3] = rotation * steps
    affine[:3, 3] = [float(fields[f"qoffset_{name}"]) for name in "xyz"]
    return affine
