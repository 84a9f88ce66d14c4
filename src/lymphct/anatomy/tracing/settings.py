"""What is measured and what is allowed when arteries are traced; the paper traces none."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat

from lymphct.core.settings import Settings

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class TracingSettings(Settings):
    """Arteries traced as cheapest paths; the paper has them drawn by hand and by networks instead."""

    spacing: Annotated[float, Field(ge=0.4, le=3.0)] = 1.0
    """Isotropic spacing of the grid that is searched, mm. Not stated in the paper; arteries of 3 mm are
    three voxels wide."""
    least_enhancement: PositiveFloat = 160.0
    """Median HU of the aorta, at least. Not stated in the paper; arterial phases have 200 to 500, venous ones
    120 to 180."""
    ostium_sector: Annotated[float, Field(gt=0.0, le=120.0)] = 65.0
    """Openings of coeliac trunk and SMA lie within so many degrees of the front of the aorta. Not stated in
    the paper; the renal arteries leave at 60 to 120."""
    ostium_reach: PositiveFloat = 12.0
    """An opening leads to blood at least so far from the wall, mm; half of it at the border of the image. Not
    stated in the paper; our choice."""
    largest_gap: NonNegativeFloat = 5.0
    """Longest part of a path outside visible blood, mm. Not stated in the paper; a heavy plaque or a slice of
    5 mm."""
    largest_radius: PositiveFloat = 5.0
    """Thickest artery, mm: what is thicker is gut with contrast agent, heart or kidney. Not stated in the
    paper; SMA and coeliac trunk have 3 to 4."""
    least_confidence: Share = 0.3
    """A path of less is withheld. Not stated in the paper; our choice."""
    left_gastric_artery: bool = False
    """Trace the LGA, too: experimental, it is thinner than most voxels. Not stated in the paper."""
