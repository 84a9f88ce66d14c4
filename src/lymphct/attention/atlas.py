"""P(lymph node | signed distances to structures and tumor), as a few numbers (decision 0057)."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from lymphct.core.settings import Settings
from lymphct.core.terms import GUIDING_STRUCTURES, Structure

TUMOR: Final = "tumor"
"""Name of the tumor among the landmarks of an atlas."""
LANDMARKS: Final[tuple[str, ...]] = (*(structure.label for structure in GUIDING_STRUCTURES), TUMOR)
"""What an atlas measures distances to: the ten guiding structures, then the tumor."""
KNOTS: Final = (-6.0, -3.0, -1.0, 1.0, 3.0, 6.0, 10.0, 15.0, 20.0, 25.0, 30.0, 36.0)
"""Signed distances, mm, between which the effect of a landmark is linear. Denser where nodes lie; a step from
-1 to 1 because no voxel centre is nearer to a boundary. Tab. II with its ramps ends at 31 mm."""

Effect = Annotated[float, Field(ge=-50.0, le=50.0)]
"""Log-odds; more would only overflow."""
Distance = Annotated[float, Field(ge=-100.0, le=100.0)]


class Atlas(Settings):
    """Log-odds of a lymph node as a sum of one effect a landmark, and how they become attention.

    The effect of a landmark is piecewise linear in the signed distance to it (mm, negative inside), constant
    before the first knot and 0 from the last one on. Where no guiding structure is nearer than that the
    attention is 0.
    """

    knots: Annotated[tuple[Distance, ...], Field(min_length=2, max_length=64)] = KNOTS
    """Signed distances of the knots, mm, rising. Not stated in the paper; ours (decision 0057)."""
    effects: dict[str, tuple[Effect, ...]]
    """Log-odds by name of the landmark at each knot but the last. Not stated in the paper; fitted."""
    absent: dict[str, Effect] = Field(default_factory=dict)
    """What stands for the effect of a landmark that is absent: its mean over the lymph nodes it was fitted
    on, so that the others keep their scale. Not stated in the paper; fitted."""
    least: float
    """Sum of effects below which the attention is 0. Not stated in the paper; fitted."""
    full: float
    """Sum of effects from which it is 1; below, it falls in proportion to the odds. Not stated in the paper;
    fitted."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if any(low >= high for low, high in pairwise(self.knots)):
            msg = "the knots of the atlas do not rise"
            raise ValueError(msg)
        unknown = sorted({*self.effects, *self.absent} - set(LANDMARKS))
        if unknown:
            msg = f"the atlas has effects of what is no landmark: {', '.join(unknown)[:80]}"
            raise ValueError(msg)
        if any(len(effect) != len(self.knots) - 1 for effect in self.effects.values()):
            msg = (
                f"an effect of the atlas has not {len(self.knots) - 1} values, one for each knot but the last"
            )
            raise ValueError(msg)
        if self.least > self.full:
            msg = (
                f"the attention of the atlas begins at {self.least:g}, above {self.full:g}, where it is full"
            )
            raise ValueError(msg)
        return self

    @property
    def reach(self) -> float:
        """Distance from which a landmark has no effect, mm."""
        return self.knots[-1]

    def lacking(self, present: Iterable[str]) -> float:
        """Return what stands for the effects of all landmarks that are absent."""
        there = set(present)
        return math.fsum(value for name, value in self.absent.items() if name not in there)


def structure_of(landmark: str) -> Structure | None:
    """Return the structure of a landmark's name; None for the tumor."""
    return next((structure for structure in GUIDING_STRUCTURES if structure.label == landmark), None)
