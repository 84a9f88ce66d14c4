"""Settings of the attention map (Eq. 1, Eq. 2)."""

from pydantic import Field, PositiveFloat

from lymphct.core.settings import Settings


class AttentionSettings(Settings):
    """Where lymph nodes are looked for (Eq. 1, Eq. 2)."""

    border: PositiveFloat = 3.0
    """Width of the ramps on both sides of a band, mm (Eq. 1)."""
    suppress_other_organs: bool = False
    """Set the attention to 0 inside the nine structures that do not guide it. Not stated in the paper; off,
    as Eq. 2 has it."""
    band_percentile: float = Field(default=0.0, ge=0.0, lt=50.0)
    """Bands reach from this percentile of the lymph node distances to its mirror image, percent; 0 = minimum
    and maximum (Tab. II). Not stated in the paper as an option."""
