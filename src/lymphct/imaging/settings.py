"""Settings of the working grid (Sec. IV-A.2)."""

from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError, field_validator

from lymphct.core.arrays import Vector3
from lymphct.core.settings import Settings, Spacing

PAPER_SPACING: Final[Vector3] = (0.68, 0.68, 0.80)
"""mm along i, j, k (Sec. IV-A.2)."""

GRID: Final = "grid"
"""Sizes in voxels are those of the working grid itself."""

_SPACINGS: Final = TypeAdapter(tuple[Spacing, Spacing, Spacing])


class ImagingSettings(Settings):
    """The grid on which every stage works (Sec. IV-A.2)."""

    spacing: tuple[Spacing, Spacing, Spacing] = PAPER_SPACING
    """Voxel spacing along i, j, k, mm, after resampling (Sec. IV-A.2)."""
    sizes_at: Literal["grid"] | tuple[Spacing, Spacing, Spacing] = PAPER_SPACING
    """Spacing at which patches, crops and margins are given in voxels, mm (Sec. IV-A.2); a training scales
    them to `spacing` once (decision 0036). `grid`: they are given for `spacing` itself and stay."""

    @field_validator("sizes_at", mode="before")
    @classmethod
    def _is_grid_or_spacing(cls, value: Any) -> Any:  # noqa: ANN401 - whatever was given
        if value == GRID:
            return value
        try:
            return _SPACINGS.validate_python(value)
        except ValidationError as error:
            msg = "should be grid, or three voxel spacings of 0.3 to 10 mm"
            raise ValueError(msg) from error
