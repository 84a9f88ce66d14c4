"""The voxels that a checked header declares, as an array."""

from typing import Final

import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.io.images.image_header import ImageHeader
from lymphct.io.images.nifti_stream import VerifiedStream

_SLAB: Final = 4


def read_payload(stream: VerifiedStream, header: ImageHeader, block: bytes) -> tuple[AnyArray, bytes]:
    """Read what a header declares.

    Args:
        stream: of the unpacked bytes, read as far as `block`.
        header: of the file.
        block: the bytes that were read already, with the header's first.

    Returns:
        The stored numbers, one-dimensional, in the file's byte order; and what stands before them.

    Raises:
        InputError: `E_TRUNCATED`, the voxels end early.

    """
    total = header.offset + header.payload_bytes
    stream.expect(total)
    skipped = bytearray(header.offset - len(block)) if header.offset > len(block) else bytearray()
    early = block[header.offset :]  # voxels that came along with the header
    raw: npt.NDArray[np.uint8] = np.empty(header.payload_bytes, dtype=np.uint8)
    taken = min(len(early), raw.size)
    raw[:taken] = np.frombuffer(early[:taken], dtype=np.uint8)
    got = len(block) + stream.read_into(memoryview(skipped))
    got += stream.read_into(raw.data[taken:])
    if got < total:
        msg = f"incomplete or damaged file: the voxels end early (expected {total} bytes, got {got})"
        raise InputError(msg, code="E_TRUNCATED", cure="copy the file again")
    return raw.view(header.dtype), (block + bytes(skipped))[header.extension : header.offset]


def scaled_values(raw: AnyArray, header: ImageHeader) -> AnyArray:
    """Return the scaled values [i, j, k] in C order; files store i fastest."""
    shape = header.geometry.shape + ((header.components,) if header.components > 1 else ())
    stored = raw.reshape(shape, order="F")
    is_scaled = header.slope != 1.0 or header.intercept != 0.0
    native = stored.dtype.newbyteorder("=")
    values: AnyArray = np.empty(shape, dtype=np.float32 if is_scaled or native.kind == "f" else native)
    # Turning the axes round slab by slab stays in the processor's cache: four times faster than at once.
    for k in range(0, shape[2], _SLAB):
        with np.errstate(over="ignore", invalid="ignore"):  # the checks of values report what overflows
            values[:, :, k : k + _SLAB] = stored[:, :, k : k + _SLAB]
    if is_scaled:
        with np.errstate(over="ignore", invalid="ignore"):
            values *= np.float32(header.slope)
            values += np.float32(header.intercept)
    return values
