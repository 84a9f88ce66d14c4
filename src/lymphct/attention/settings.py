"""Settings of the attention map (Eq. 1, Eq. 2)."""

from typing import Literal

from pydantic import Field, PositiveFloat

from lymphct.core.settings import Settings


class AttentionSettings(Settings):
    """Where lymph nodes are looked for (Eq. 1, Eq. 2)."""

    border: PositiveFloat = 3.0
    """Width of the ramps on both sides of a band, mm (Eq. 1)."""
    suppress_other_organs: bool = False
    """Set the attention to 0 inside the nine structures that do not guide it: liver, gallbladder, kidneys,
    adrenals, inferior vena cava, portal and splenic vein, superior mesenteric vein. Not stated in the paper;
    off, as Eq. 2 has it. A bundle trained with it has it always."""
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
