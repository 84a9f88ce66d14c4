"""The grid of an image from its header alone, before memory for its voxels is taken."""

from pathlib import Path

from lymphct.core.geometry import Geometry
from lymphct.io.images.dicom.reading import series_geometry
from lymphct.io.images.single_file import single_file_grid
from lymphct.io.images.sources import holds_series


def read_grid(path: Path) -> Geometry:
    """Return the grid of an image file, or of a CT series in DICOM.

    Raises:
        InputError: missing, too large, or a header that is refused.

    """
    if holds_series(path):
        return series_geometry(path)
    return single_file_grid(path)
