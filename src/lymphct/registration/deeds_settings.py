"""What the user may set of DEEDS: the levels from coarse to fine and the weight of smoothness."""

from typing import Annotated, NamedTuple, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from lymphct.core.settings import Settings

Spacing = Annotated[int, Field(ge=1, le=8)]
"""Voxels; sums over larger blocks would not fit into the bits they share (`bits.COUNT`)."""


class Level(NamedTuple):
    """One level of the search; there is no image pyramid, every level reads all voxels.

    Attributes:
        spacing: voxels between control points; the side of the block each of them owns.
        radius: steps from the middle of the label space to its faces.
        step: voxels between labels.
        alpha: divisor of the data cost; larger = smoother.

    """

    spacing: int
    radius: int
    step: int
    alpha: float

    @property
    def labels(self) -> int:
        """Labels per axis."""
        return 2 * self.radius + 1

    @property
    def descriptor_radius(self) -> int:
        """Return the neighbor distance and patch radius of the descriptor, voxels: floor(0.5 q + 1)."""
        return self.step // 2 + 1


class DeedsSettings(Settings):
    """Discrete registration by self-similarity context and a minimum spanning tree (Sec. IV-A.2)."""

    grid_spacing: tuple[Spacing, ...] = (8, 7, 6, 5, 4)
    """Voxels between control points, coarse to fine. Not stated in the paper; the default of DEEDS."""
    search_radius: tuple[PositiveInt, ...] = (8, 7, 6, 5, 4)
    """Label steps to each side, per level. Not stated in the paper; the default of DEEDS."""
    step: tuple[PositiveInt, ...] = (5, 4, 3, 2, 1)
    """Voxels between labels, per level. Not stated in the paper; the default of DEEDS."""
    alpha: PositiveFloat = 1.6
    """Larger is smoother. Not stated in the paper; the default of DEEDS."""
    consistency_iterations: NonNegativeInt = 10
    """Rounds that pull the two directions towards inverses. Not stated in the paper; the default of DEEDS."""
    field_of_view_rule: bool = True
    """Leave out voxels displaced beyond the moving image. Not stated in the paper; a choice we measured."""
    affine_grid_spacing: tuple[Spacing, ...] = (7, 6, 5, 4)
    """The affine stage's `grid_spacing`. Not stated in the paper; the default of DEEDS."""
    affine_search_radius: tuple[PositiveInt, ...] = (5, 4, 3, 2)
    """The affine stage's `search_radius`. Not stated in the paper; the default of DEEDS."""
    affine_step: tuple[PositiveInt, ...] = (4, 3, 2, 1)
    """The affine stage's `step`. Not stated in the paper; the default of DEEDS."""
    affine_rounds: NonNegativeInt = 15
    """Rounds of least trimmed squares after the first fit. Not stated in the paper; the default of DEEDS."""
    affine_least_points: PositiveInt = 50
    """Fewer correspondences keep the transform found so far. Not stated in the paper; our choice."""

    @model_validator(mode="after")
    def _levels_are_complete(self) -> Self:
        for name in ("", "affine_"):
            spacing, radius, step = (
                getattr(self, f"{name}{group}") for group in ("grid_spacing", "search_radius", "step")
            )
            if not (len(spacing) == len(radius) == len(step) > 0):
                msg = (
                    f"{name}grid_spacing, {name}search_radius and {name}step need one value per level, "
                    f"got {spacing}, {radius} and {step}"
                )
                raise ValueError(msg)
        return self

    @property
    def levels(self) -> tuple[Level, ...]:
        """Return the deformable levels, coarse to fine."""
        groups = zip(self.grid_spacing, self.search_radius, self.step, strict=True)
        return tuple(Level(*group, self.alpha) for group in groups)

    @property
    def affine_levels(self) -> tuple[Level, ...]:
        """Return the levels of the affine stage, coarse to fine; they know no smoothness (alpha 1)."""
        groups = zip(self.affine_grid_spacing, self.affine_search_radius, self.affine_step, strict=True)
        return tuple(Level(*group, 1.0) for group in groups)
