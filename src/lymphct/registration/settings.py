"""How phases are registered, and when a registration is not trusted (Sec. IV-A.2)."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from lymphct.core.settings import Settings
from lymphct.core.terms import RegistrationMethod
from lymphct.registration.deeds_settings import DeedsSettings

Init = Literal["world", "affine"]


class RegistrationSettings(Settings):
    """How phases are registered, and when the result is not trusted (Sec. IV-A.2)."""

    method: RegistrationMethod = "deeds"
    """DEEDS (Sec. IV-A.2), `none` (the patient's coordinates alone), or another implementation."""
    spacing_mm: Annotated[float, Field(ge=0.5, le=10.0)] = 2.0
    """Isotropic spacing of the work grid, mm. Not stated in the paper; our choice (decision 0015)."""
    init: Init = "world"
    """Start from the patient's coordinates, or from an affine fit. Not stated in the paper; one session
    needs none (decision 0015)."""
    deeds: DeedsSettings = DeedsSettings()
    """The algorithm's own settings, each with its source (Sec. IV-A.2 names DEEDS alone)."""
    largest_folding_percent: NonNegativeFloat = 0.1
    """Flagged above: share of the body whose deformation folds. Not stated in the paper; our choice."""
    least_jacobian: float = 0.1
    """Flagged below: least determinant in the body. Not stated in the paper; our choice."""
    largest_inconsistency_mm: PositiveFloat = 3.0
    """Flagged above: 95th percentile of the miss there and back, mm. Not stated in the paper; our choice."""
    largest_distance: PositiveFloat = 14.0
    """Flagged above: mean descriptor distance after registration, 0 to 60. Not stated in the paper; pairs of
    known truth end at 5 to 12.5, misplaced ones at 15 to 21, two patients or noise at 22 to 25."""
    least_overlap: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    """Flagged below: share of the fixed body inside the moving image. Not stated in the paper; below it most
    of the field is extrapolated."""
    fall_back: bool = True
    """Use the patient's coordinates alone where flagged. Not stated in the paper (decision 0015)."""
