"""The grid of an image from its header alone, before memory for its voxels is taken."""

from pathlib import Path

from lymphct.core.geometry import Geometry
from lymphct.io.images.dicom.reading import series_geometry
from lymphct.io.images.single_file import single_file_grid


def read_grid(path: Path) -> Geometry:
    """Return the grid of an image file, or of the CT series in a DICOM folder.

    Raises:
        InputError: missing, too large, or a header that is refused.

    """
    if path.is_dir():
        return series_geometry(path)
    return single_file_grid(path)
