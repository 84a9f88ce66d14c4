"""HU of every tissue in both phases, drawn per patient."""

from typing import Final

import numpy as np

from lymphct.phantom.canvas import Tissue

MEANS: Final[dict[str, Tissue]] = {
    "artery": Tissue(300, 150),
    "portal": Tissue(130, 165),
    "cava": Tissue(90, 130),
    "pancreas": Tissue(110, 95),
    "tumor": Tissue(55, 75),
    "liver": Tissue(70, 110),
    "spleen": Tissue(120, 120),
    "kidney": Tissue(160, 180),
    "wall": Tissue(70, 85),
    "muscle": Tissue(55, 60),
    "fat": Tissue(-100, -100),
    "adrenal": Tissue(75, 85),
    "bile": Tissue(8, 8),
    "fluid": Tissue(15, 15),
    "stool": Tissue(25, 25),
    "gas": Tissue(-920, -920),
    "lung": Tissue(-830, -825),
    "skin": Tissue(10, 15),
    "spongy bone": Tissue(170, 175),
    "hard bone": Tissue(480, 480),
    "disc": Tissue(85, 88),
    "canal": Tissue(30, 32),
}
"""Mean HU, arterial and venous: usual values of abdominal CT. Not stated in the paper."""

_SPREADS: Final[dict[str, Tissue]] = {
    "artery": Tissue(45, 20),
    "pancreas": Tissue(15, 12),
    "tumor": Tissue(12, 18),
    "portal": Tissue(15, 15),
    "cava": Tissue(15, 12),
    "liver": Tissue(8, 10),
    "spleen": Tissue(12, 10),
    "kidney": Tissue(15, 15),
    "wall": Tissue(8, 8),
    "fat": Tissue(6, 6),
    "gas": Tissue(20, 20),
}
_USUAL_SPREAD: Final = Tissue(4, 4)


def draw_tissues(rng: np.random.Generator) -> dict[str, Tissue]:
    """Draw the tissues of one patient; both phases deviate together, as perfusion and fat content do."""
    drawn = {}
    for name, mean in MEANS.items():
        spread = _SPREADS.get(name, _USUAL_SPREAD)
        shared, own = rng.normal(), rng.normal(size=2)
        # Correlation .5 between the phases keeps each phase's printed standard deviation.
        arterial, venous = np.clip(np.sqrt(0.5) * (shared + own), -2.5, 2.5)
        drawn[name] = Tissue(
            float(mean.arterial + spread.arterial * arterial), float(mean.venous + spread.venous * venous)
        )
    return drawn
