"""What comes of tracing: masks, and of each artery how far it can be trusted or why it was withheld."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lymphct.anatomy.tracing.vessels import Centreline
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume

TRACEABLE: Final[tuple[Structure, ...]] = (
    Structure.SUPERIOR_MESENTERIC_ARTERY,
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY,
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER,
    Structure.LEFT_GASTRIC_ARTERY,
)
"""Arteries that can be traced, the experimental one last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artery:
    """One artery that was looked for.

    Attributes:
        line: its centre line; None when it was withheld.
        confidence: 0 to 1; 0 when it was withheld.
        note: why it was withheld, or what of it is missing; empty when it is whole.

    """

    line: Centreline | None = None
    confidence: float = 0.0
    note: str = ""

    @property
    def is_traced(self) -> bool:
        """Tell whether there is a mask of it."""
        return self.line is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """The traced arteries of one patient.

    Attributes:
        structures: labels of the traced arteries alone, uint8, on the grid of the label map that was given.
        arteries: what came of each artery that was looked for; those in the given map are not.
        blood: median HU of the aorta in the arterial phase.

    """

    structures: Volume
    arteries: Mapping[Structure, Artery]
    blood: float

    @property
    def confidence(self) -> dict[Structure, float]:
        """Return the confidence, 0 to 1, of each artery that was traced."""
        return {s: artery.confidence for s, artery in self.arteries.items() if artery.is_traced}

    @property
    def withheld(self) -> dict[Structure, str]:
        """Return why each of the others was withheld."""
        return {s: artery.note for s, artery in self.arteries.items() if not artery.is_traced}
