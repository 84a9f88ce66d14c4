"""What a synthetic patient or cohort is made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from lymphct.core.arrays import Index3, Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.settings import Settings

SizeName = Literal["nano", "tiny", "tall", "small", "paper"]
Mode = Literal["paper", "unbiased", "hard"]
Contrast = Literal["clear", "subtle", "overlapping"]

SIZES: Final[dict[str, tuple[Index3, Vector3]]] = {
    "nano": ((64, 64, 48), (3.0, 3.0, 3.0)),
    "tiny": ((96, 96, 64), (2.0, 2.0, 2.5)),
    "tall": ((96, 96, 160), (2.0, 2.0, 2.5)),
    "small": ((128, 128, 96), (1.5, 1.5, 1.5)),
    "paper": ((288, 288, 200), (0.68, 0.68, 0.80)),
}
"""Voxels and spacing (mm) along i, j, k of each size."""

CENTER_PREVALENCES: Final[dict[str, float]] = {
    "discovery": 351 / 749,
    "external1": 39 / 132,
    "external2": 37 / 59,
}
"""Share of N+ patients of the three cohorts of the paper (Sec. IV-A.1)."""

TOP: Final = 62.0
"""mm above the celiac trunk where every field of view ends; larger ones reach further down."""
MIDDLE: Final = (0.0, 4.0)
"""mm, x and y of the middle of every field of view, from the celiac origin."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """What stands in the way of a network besides what every phantom has; not stated in the paper.

    Attributes:
        contrast: how far positive and negative nodes differ; None leaves it to the settings.
        undrawn_nodes: expected number of nodes that look like any other and that nobody drew.
        ganglia: expected number of ganglia where attention is above 0.
        bowel_loops: expected number of collapsed pieces of bowel there.
        touching: share of the nodes that touch another one, where there is room.

    """

    contrast: Contrast | None = None
    undrawn_nodes: float = 0.0
    ganglia: float = 0.0
    bowel_loops: float = 0.0
    touching: float = 0.0


DIFFICULTIES: Final[Mapping[Mode, Difficulty]] = {
    "paper": Difficulty(),
    "unbiased": Difficulty(),
    "hard": Difficulty(
        contrast="overlapping", undrawn_nodes=4.0, ganglia=3.0, bowel_loops=2.5, touching=0.25
    ),
}


class PhantomSettings(Settings):
    """One kind of synthetic patient; the anatomy itself is fixed by the code."""

    size: SizeName = "tiny"
    """Name of the voxel grid; `paper` has the spacing of Sec. IV-A.2, the others are coarser."""
    mode: Mode = "paper"
    """Node counts: `paper` as printed (Sec. IV-A.1; they leak the label), `unbiased` alike in both. `hard`
    has those of `unbiased`, and much that a network takes for a node (decision 0058)."""
    phase_shift: bool = True
    """Whether breathing moves the arterial phase against the venous one, as in patients before registration
    (Sec. IV-A.2)."""
    contrast: Contrast = "clear"
    """How far positive and negative nodes differ in density and texture; not stated in the paper. Mode `hard`
    has its own."""
    center: str = "discovery"
    """Name of the center; it also chooses the default prevalence (Sec. IV-A.1)."""
    prevalence: Probability | None = None
    """Share of N+ patients; None takes that of the center, .469 for unknown ones (Sec. IV-A.1)."""
    head_share: Probability = 0.63
    """Share of tumors in head or uncinate process, as in Tab. I."""
    texture_shift: float = 0.28
    """Half the distance between the means of the tumor's texture latent in N+ and N-; not stated in the
    paper: chosen so that the tumor alone reaches an AUC of about .65."""
    noise_arterial: NonNegativeFloat = 12.0
    """Standard deviation of the noise, HU; not stated in the paper."""
    noise_venous: NonNegativeFloat = 10.0
    """Standard deviation of the noise, HU; not stated in the paper."""
    point_spread: NonNegativeFloat = 1.2
    """Full width at half maximum of the scanner's blur, mm; not stated in the paper."""
    shift_sd: NonNegativeFloat = 5.0
    """Standard deviation of the cranio-caudal shift, mm; not stated in the paper."""
    local_shift_sd: NonNegativeFloat = 2.0
    """Standard deviation of the local shift, mm; not stated in the paper."""
    crowding: PositiveInt = 1
    """Times as many nodes as a patient has, as far as there is room: to teach stage 2 from few phantoms.
    Of no use for what is said of patients; not stated in the paper; 1."""
    distractors: NonNegativeFloat = 6.0
    """Expected number of node-like blobs where attention is 0; not stated in the paper."""
    vessel_stubs: NonNegativeFloat = 2.0
    """Expected number of short vessels where attention is above 0; not stated in the paper."""
    largest_node: PositiveFloat = 6000.0
    """Upper limit of node volumes, mm³; not stated in the paper."""

    @property
    def difficulty(self) -> Difficulty:
        """Return what the mode puts in the way of a network."""
        return DIFFICULTIES[self.mode]

    @property
    def nodes_look(self) -> Contrast:
        """Return how far positive and negative nodes differ."""
        return self.difficulty.contrast or self.contrast

    @property
    def smallest_node(self) -> float:
        """Return the lower limit of node volumes, mm³: coarse voxels cannot show smaller ones."""
        return 200.0 if self.size == "nano" else 60.0

    @property
    def positive_share(self) -> float:
        """Return the share of N+ patients."""
        if self.prevalence is not None:
            return self.prevalence
        return CENTER_PREVALENCES.get(self.center, 0.469)

    @property
    def grid(self) -> Geometry:
        """Return the voxel grid: working axes, world = mm from the celiac origin (LPS+)."""
        shape, spacing = SIZES[self.size]
        half = tuple((n - 1) * s / 2 for n, s in zip(shape, spacing, strict=True))
        bottom = TOP - shape[2] * spacing[2] + spacing[2] / 2
        origin = (MIDDLE[0] - half[0], MIDDLE[1] - half[1], bottom)
        return Geometry(shape=shape, spacing=spacing, origin=origin)
