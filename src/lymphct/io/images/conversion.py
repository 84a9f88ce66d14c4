"""Images of nibabel and SimpleITK as volumes, and back (decision 0028).

nibabel counts positions towards the right, front and top (RAS+), SimpleITK and a `Volume` towards the left,
back and top (LPS+); SimpleITK's arrays have their axes the other way round. Both libraries load on first use.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume

if TYPE_CHECKING:
    import nibabel
    import nibabel.spatialimages
    import SimpleITK

_FLIP_XY: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS+ to LPS+ and back."""


def from_nibabel(image: "nibabel.spatialimages.SpatialImage") -> Volume:
    """Return an image of nibabel; axes stay in its order, values as `read_volume` gives them.

    Raises:
        InputError: not three axes, or axes that are not orthogonal.

    """
    array = np.asanyarray(image.dataobj)
    _require_image(array.ndim, array.shape)
    affine: DoubleArray = _FLIP_XY @ np.asarray(image.affine, dtype=np.float64)
    i, j, k = array.shape
    return Volume(array=_single(array), geometry=Geometry.from_affine(affine, (i, j, k)))


def to_nibabel(volume: Volume) -> "nibabel.Nifti1Image":
    """Return an image as nibabel's `Nifti1Image`, in mm, qform and sform alike."""
    import nibabel  # noqa: PLC0415 - only who converts needs it

    _require_image(volume.array.ndim, volume.array.shape)
    affine = _FLIP_XY @ volume.geometry.affine
    image = nibabel.Nifti1Image(_storable(volume.array), affine)
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    return image


def from_sitk(image: "SimpleITK.Image") -> Volume:
    """Return an image of SimpleITK, a vector field with its components last.

    Raises:
        InputError: not three axes.

    """
    import SimpleITK  # noqa: PLC0415 - only who converts needs it

    _require_image(image.GetDimension(), image.GetSize())
    array = SimpleITK.GetArrayFromImage(image)
    array = array.transpose(2, 1, 0, *range(3, array.ndim))
    return Volume.from_array(
        _single(array),
        image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=np.reshape(image.GetDirection(), (3, 3)),
    )


def to_sitk(volume: Volume) -> "SimpleITK.Image":
    """Return an image as SimpleITK's, a vector field with its components."""
    import SimpleITK  # noqa: PLC0415 - only who converts needs it

    array = _storable(volume.array)
    components = range(3, array.ndim)
    image = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0, *components), isVector=len(components) > 0)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(np.ravel(volume.geometry.direction).tolist())
    return image


def _require_image(axes: int, shape: tuple[int, ...]) -> None:
    if axes != 3:
        msg = f"an image has three axes, got {axes} ({'×'.join(str(size) for size in shape)})"
        raise InputError(msg, code="E_SHAPE", cure="take one frame or one component")


def _single(array: AnyArray) -> AnyArray:
    """Return fractions as float32, whole numbers as they are, in C order of i, j, k."""
    is_fraction = array.dtype.kind == "f"
    return np.ascontiguousarray(array, dtype=np.float32 if is_fraction else array.dtype.newbyteorder("="))


def _storable(array: AnyArray) -> AnyArray:
    """Return number types that both libraries know."""
    kinds = {np.dtype(np.bool_): np.uint8, np.dtype(np.float16): np.float32}
    return array.astype(kinds.get(array.dtype, array.dtype))
