"""Settings of the working grid (Sec. IV-A.2)."""

from lymphct.core.settings import Settings, Spacing


class ImagingSettings(Settings):
    """The grid on which every stage works (Sec. IV-A.2)."""

    spacing: tuple[Spacing, Spacing, Spacing] = (0.68, 0.68, 0.80)
    """Voxel spacing along i, j, k, mm, after resampling (Sec. IV-A.2)."""
