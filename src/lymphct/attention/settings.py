"""Settings of the attention map (Eq. 1, Eq. 2)."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from lymphct.core.settings import Settings
from lymphct.core.terms import GUIDING_STRUCTURES


class BandSettings(Settings):
    """Signed distances from a structure between which its lymph nodes lie, mm; negative inside (Tab. II)."""

    d_min: float
    """The smallest distance, mm. Tab. II has those of pancreatic cancer."""
    d_max: float
    """The largest distance, mm. Tab. II has those of pancreatic cancer."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.d_min >= self.d_max:
            msg = f"d_min {self.d_min:g} is not below d_max {self.d_max:g}"
            raise ValueError(msg)
        return self


class AttentionSettings(Settings):
    """Where lymph nodes are looked for (Eq. 1, Eq. 2)."""

    border: PositiveFloat = 3.0
    """Width of the ramps on both sides of a band, mm (Eq. 1)."""
    suppress_other_organs: bool = False
    """Set the attention to 0 inside the nine structures that do not guide it: liver, gallbladder, kidneys,
    adrenals, inferior vena cava, portal and splenic vein, superior mesenteric vein. Not stated in the paper;
    off, as Eq. 2 has it. A bundle trained with it has it always."""
    bands: dict[str, BandSettings] | None = None
    """Bands that a training takes in the place of Tab. II, by structure: `spleen: {d_min: 0, d_max: 16}`; one
    that is not named guides nothing. The bundle brings them. Not stated in the paper; for other cancers,
    whose lymph nodes lie elsewhere. None = Tab. II."""
    band_percentile: float = Field(default=0.0, ge=0.0, lt=50.0)
    """Bands reach from this percentile of the lymph node distances to its mirror image, percent; 0 = minimum
    and maximum (Tab. II). Not stated in the paper as an option."""
    prior: Literal["bands", "atlas", "trapezia"] = "bands"
    """What a training makes the map of: distance bands (Eq. 1, Eq. 2); or, fitted on its training patients,
    an atlas, P(lymph node | distances to structures and tumor), or trapezia, bands with ramps of their own
    learned from Tab. II on. A bundle brings its own. Not stated in the paper, which has bands (decisions
    0057, 0062)."""
    atlas_outside: float = Field(default=0.01, ge=0.0, lt=1.0)
    """Share of the lymph node voxels of training patients that an atlas may leave without attention. Not
    stated in the paper; ours (decision 0057)."""
    atlas_faint: float = Field(default=0.25, ge=0.0, lt=1.0)
    """Share of them that may have less attention than 1. Not stated in the paper; ours (decision 0057)."""

    @model_validator(mode="after")
    def _own_bands_fit(self) -> Self:
        if self.bands is None:
            return self
        known = [structure.label for structure in GUIDING_STRUCTURES]
        unknown = [name for name in self.bands if name not in known]
        if unknown or not self.bands:
            told = f"{unknown[0]!r} does not guide the attention" if unknown else "no band is given"
            msg = f"{told}; use one or more of: {', '.join(known)}"
            raise ValueError(msg)
        if self.prior != "bands":
            msg = f"bands of your own and attention.prior={self.prior}, which is fitted in their place"
            raise ValueError(msg)
        return self
