"""NIfTI files: a checked header, a verified stream of voxels, and files that are written byte-identical."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from isal import isal_zlib

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Notice
from lymphct.core.system import move, sync
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import ReadImage
from lymphct.io.images.limits import AnatomicalLimits, SafetyLimits
from lymphct.io.images.nifti_fields import header_bytes
from lymphct.io.images.nifti_header import HEADER_BYTES, parse_header
from lymphct.io.images.nifti_stream import VerifiedStream
from lymphct.io.images.voxels import read_payload, scaled_values
from lymphct.io.regular_file import open_regular
from lymphct.io.results.disk import environment_errors

_COMPRESSION_LEVEL: Final = 2
"""Of ISA-L's 0 … 3 (decision 0035)."""
_GZIP: Final = 31
"""zlib's number for a gzip header, without name and time, around the widest window."""


def read_nifti(
    path: Path,
    *,
    components: int = 1,
    limits: SafetyLimits | None = None,
    anatomy: AnatomicalLimits | None = None,
    check_grid: Callable[[Geometry], None] | None = None,
) -> ReadImage:
    """Read a NIfTI-1 or NIfTI-2 file (.nii or .nii.gz, either byte order).

    Args:
        path: the file; its content decides what it is, not its suffix.
        components: values per voxel, 1 for an image, 3 for a vector field.
        limits: safety limits; None for the defaults.
        anatomy: limits of a CT; its gzip ratio is bounded, masks compress without bound.
        check_grid: called with the grid before any voxel is read; raises what it must.

    Returns:
        Axes as in the file, LPS+. Unscaled whole numbers keep their type, all else is float32.

    Raises:
        InputError: anything wrong with the file, with the file's name.

    """
    limits = limits or SafetyLimits()
    try:
        with open_regular(path, limit=limits.file_bytes) as (file, size):
            stream = VerifiedStream(file, size, limits=anatomy)
            block = bytearray(HEADER_BYTES)
            block = block[: stream.read_into(memoryview(block))]
            header = parse_header(bytes(block), components=components, limits=limits)
            if check_grid:
                check_grid(header.geometry)
            raw, between = read_payload(stream, header, bytes(block))
            surplus = max(0, len(block) - header.offset - header.payload_bytes)
            surplus += stream.finish(limits.trailing_bytes)
            digest = stream.digest
    except InputError as error:
        raise error.at(file=path.name) from None
    notices = header.notices
    if surplus:
        text = f"{surplus} bytes behind the last voxel of {path.name} were ignored"
        notices = (*notices, Notice(code="trailing_bytes", text=text, value=float(surplus)))
    volume = Volume(array=scaled_values(raw, header), geometry=header.geometry)
    return ReadImage(volume=volume, digest=digest, notices=notices, extension=between)


def write_nifti(path: Path, volume: Volume) -> None:
    """Write an image or a vector field (components last, LPS values) as .nii.gz.

    The number type is kept (truth values become uint8); qform and sform agree; `descrip` is empty, the gzip
    header carries no time and no name: equal volumes give equal bytes on one installation (another processor
    may pack them otherwise). The file appears whole or not at all.

    Raises:
        InputError: NIfTI-1 has no place for the number type or for so long an axis.
        EnvironmentProblemError: it cannot be written.

    """
    array = volume.array.astype(np.uint8) if volume.array.dtype == np.bool_ else volume.array
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    start = header_bytes(volume.geometry, array)
    # A fixed name: what a killed process leaves is overwritten by the next run instead of piling up.
    staging = path.with_name(f".{path.name}.writing")
    with environment_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with staging.open("wb") as file:
                packer = isal_zlib.compressobj(_COMPRESSION_LEVEL, wbits=_GZIP)
                file.write(packer.compress(start))
                for part in _parts(array):
                    file.write(packer.compress(part))
                file.write(packer.flush())
                file.flush()
                os.fsync(file.fileno())
            move(staging, path)
        except BaseException:
            with suppress(OSError):
                staging.unlink(missing_ok=True)
            raise
        sync(path.parent)


def _parts(array: AnyArray) -> Iterator[bytes]:
    """Yield voxels in the order of the file, a slice of a component at a time."""
    for component in [array] if array.ndim == 3 else [array[..., n] for n in range(array.shape[3])]:
        for k in range(component.shape[2]):
            yield component[:, :, k].tobytes(order="F")
