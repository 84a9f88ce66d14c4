"""Arrays in NumPy's own files, .npy and .npz, read without its loader: no object is ever unpickled."""

import ast
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import numpy as np

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.regular_file import open_regular

SUFFIXES: Final = (".npz", ".npy")
_MAGIC: Final = b"\x93NUMPY"
_LONGEST_HEADER: Final = 10_000
_LARGEST_FILE: Final = 4 * 2**30
_MOST_VOXELS: Final = 600_000_000
_MOST_MEMBERS: Final = 64
_SIZES: Final = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}
_CURE: Final = "take the NIfTI release of the data set"


def is_numpy_file(path: Path) -> bool:
    """Tell by its name whether a file holds arrays of NumPy."""
    return path.name.casefold().endswith(SUFFIXES)


def read_arrays(path: Path) -> dict[str, AnyArray]:
    """Return the arrays of a .npz by name, or the one of a .npy as `data`.

    Only numbers are read: an array of objects is refused before its bytes are looked at.

    Raises:
        InputError: damaged, too large, or holds anything but plain numbers.

    """
    try:
        with open_regular(path, limit=_LARGEST_FILE) as (file, _):
            start = file.read(len(_MAGIC))
            file.seek(0)
            if start == _MAGIC:
                return {"data": _array(file)}
            return _archive(file)
    except InputError as error:
        raise error.at(file=path.name) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        _refuse(f"incomplete or damaged archive ({type(error).__name__})", path.name)


def _archive(file: BinaryIO) -> dict[str, AnyArray]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > _MOST_MEMBERS:
            _refuse(f"{len(members)} arrays in one file (limit {_MOST_MEMBERS})")
        arrays: dict[str, AnyArray] = {}
        total = 0
        for member in members:
            if not member.filename.endswith(".npy"):
                _refuse(f"it holds {member.filename[:40]!r}, which is no array")
            with archive.open(member) as stream:
                array = _array(stream, room=_MOST_VOXELS - total)
                if stream.read(1):
                    _refuse(f"{member.filename[:40]!r} goes on behind its last voxel")
            total += array.size
            arrays[member.filename.removesuffix(".npy")] = array
    if not arrays:
        _refuse("it holds no array")
    return arrays


def _array(stream: Any, room: int = _MOST_VOXELS) -> AnyArray:  # noqa: ANN401 - a file or a member of a zip
    dtype, in_fortran_order, shape = _header(stream)
    count = math.prod(shape)
    if count > room:
        _refuse(f"{count} values (limit {_MOST_VOXELS})")
    raw = stream.read(count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        _refuse(f"the array ends early ({len(raw)} of {count * dtype.itemsize} bytes)")
    order = "F" if in_fortran_order else "C"
    return np.frombuffer(raw, dtype=dtype).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return] # "F" or "C"


def _header(stream: Any) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:  # noqa: ANN401 - as above
    start = stream.read(len(_MAGIC) + 2)
    if len(start) < len(_MAGIC) + 2 or not start.startswith(_MAGIC) or start[-2] not in {1, 2, 3}:
        _refuse("it does not begin as an array of NumPy does")
    width = 2 if start[-2] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST_HEADER:
        _refuse(f"the header of its array has {length} bytes (limit {_LONGEST_HEADER})")
    try:
        header = ast.literal_eval(stream.read(length).decode("ascii").strip())
        code, in_fortran_order, shape = header["descr"], header["fortran_order"], header["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        _refuse("the header of its array cannot be read")
    is_shape = (
        isinstance(shape, tuple)
        and len(shape) <= 4
        and all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape)
    )
    if not (is_shape and isinstance(in_fortran_order, bool)):
        _refuse("the header of its array cannot be read")
    return _number_type(code), in_fortran_order, shape


def _number_type(code: object) -> np.dtype[Any]:
    """Return a type of plain numbers; objects, records and text are refused by name."""
    is_plain = isinstance(code, str) and len(code) == 3 and code[0] in "<>|=" and code[2].isdigit()
    if not (is_plain and isinstance(code, str) and int(code[2]) in _SIZES.get(code[1], ())):
        _refuse(f"its array holds {str(code)[:20]!r}, no plain numbers: objects are never read")
    return np.dtype(code)


def read_numpy_volume(path: Path, grid: Geometry | None = None) -> Volume:
    """Return the one image of a .npy or .npz file.

    Where it lies is told by an array `affine` (4×4, to RAS+ mm as nibabel has it) or `spacing` (three mm,
    axes to the left, back and top) beside it, else by the grid of the CT it was drawn on.

    Args:
        path: the file.
        grid: of the CT; None when the file must say it itself.

    Raises:
        InputError: as `read_arrays`, not one image, or nobody says where it lies.

    """
    arrays = read_arrays(path)
    images = [array for array in arrays.values() if array.ndim == 3]
    if len(images) != 1:
        _refuse(f"it holds {len(images)} arrays of three axes instead of one", path.name)
    image = np.ascontiguousarray(images[0])
    if image.dtype.kind == "b":
        image = image.astype(np.uint8)
    shape = (image.shape[0], image.shape[1], image.shape[2])
    affine, spacing = arrays.get("affine"), arrays.get("spacing")
    if affine is not None and affine.shape == (4, 4):
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine.astype(np.float64)
        return Volume(array=image, geometry=Geometry.from_affine(lps, shape))
    if spacing is not None and spacing.shape == (3,):
        return Volume.from_array(image, [float(size) for size in spacing])
    if grid is None or grid.shape != shape:
        msg = f"its array of {shape} voxels does not say where it lies"
        if grid is not None:
            msg += f", and the CT has {grid.shape} voxels"
        _refuse(msg, path.name)
    return Volume(array=image, geometry=grid)


def _refuse(cause: str, file: str = "") -> NoReturn:
    raise InputError(cause, code="E_NUMPY", cure=_CURE).at(file=file)
