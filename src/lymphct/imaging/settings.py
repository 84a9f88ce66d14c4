"""Settings of the working grid (Sec. IV-A.2)."""

from pydantic import PositiveFloat

from lymphct.core.settings import Settings


class ImagingSettings(Settings):
    """The grid on which every stage works (Sec. IV-A.2)."""

    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.68, 0.68, 0.80)
    """Voxel spacing along i, j, k, mm, after resampling (Sec. IV-A.2)."""
