"""The grid of an image from its header alone, before memory for its voxels is taken."""

from pathlib import Path

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.io.images.dicom.reading import series_geometry
from lymphct.io.images.limits import SafetyLimits
from lymphct.io.images.nifti_header import HEADER_BYTES, parse_header
from lymphct.io.images.nifti_stream import VerifiedStream
from lymphct.io.regular_file import open_regular


def read_grid(path: Path) -> Geometry:
    """Return the grid of a NIfTI file, or of the CT series in a DICOM folder.

    Raises:
        InputError: missing, too large, or a header that is refused.

    """
    if path.is_dir():
        return series_geometry(path)
    limits = SafetyLimits()
    try:
        with open_regular(path, limit=limits.file_bytes) as (file, size):
            stream = VerifiedStream(file, size)
            block = bytearray(HEADER_BYTES)
            block = block[: stream.read_into(memoryview(block))]
    except InputError as error:
        raise error.at(file=path.name) from None
    try:
        return parse_header(bytes(block), components=1, limits=limits).geometry
    except InputError as error:
        raise error.at(file=path.name) from None
