"""Bands with ramps of their own, learned from those of Tab. II on (decision 0062)."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from lymphct.attention.bands import Shapes, Trapezium
from lymphct.core.settings import Settings
from lymphct.core.terms import GUIDING_STRUCTURES

FARTHEST: Final = 100.0
"""Distances and ramps of more are no attention of the upper abdomen, mm."""

LogOdds = Annotated[float, Field(ge=-50.0, le=50.0)]


class Trapezia(Settings):
    """The trapezium of each structure (Eq. 1), and what its attention says of lymph nodes.

    They are joined as in Eq. 2, so the attention is 0 beyond the ramps of all structures.
    """

    structures: Annotated[dict[str, Trapezium], Field(min_length=1)]
    """d_min, d_max and width of the ramps by name of the structure, mm. Tab. II, where there is one ramp for
    all; fitted."""
    outside: LogOdds
    """Log-odds of a lymph node where the attention is 0, among as many background voxels as such of nodes.
    Not stated in the paper; fitted."""
    inside: LogOdds
    """The same where it is 1; in between they are linear in it. Not stated in the paper; fitted."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        unknown = sorted(set(self.structures) - {structure.label for structure in GUIDING_STRUCTURES})
        if unknown:
            msg = f"trapezia of what is no structure that guides: {', '.join(unknown)[:80]}"
            raise ValueError(msg)
        for name, shape in self.structures.items():
            if max(map(abs, shape)) > FARTHEST:
                msg = f"the trapezium of {name} holds more than {FARTHEST:g} mm"
                raise ValueError(msg)
            if shape.d_min >= shape.d_max or shape.ramp <= 0.0:
                msg = f"the trapezium of {name} is empty: d_min {shape.d_min:g}, d_max {shape.d_max:g}, "
                msg += f"ramps of {shape.ramp:g} mm"
                raise ValueError(msg)
        if self.outside > self.inside:
            msg = "the trapezia say that lymph nodes are likelier where there is no attention"
            raise ValueError(msg)
        return self

    @property
    def shapes(self) -> Shapes:
        """The trapezium of each structure that has one."""
        return {s: self.structures[s.label] for s in GUIDING_STRUCTURES if s.label in self.structures}
