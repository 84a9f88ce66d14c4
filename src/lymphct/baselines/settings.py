"""Settings of the methods the cascade is compared with (Sec. IV-E)."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from lymphct.core.settings import Edge, Settings


class RadiomicsSettings(Settings):
    """Features of the tumor and the model that reads them (Sec. IV-E)."""

    bin_width: PositiveFloat = 25.0
    """Width of a gray level, HU or the unit of the filtered image. Not stated in the paper; pyradiomics'
    default."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Folds of the training patients that choose the penalty of LASSO. Not stated in the paper; five, as
    the outer folds."""
    penalties: PositiveInt = 50
    """Penalties LASSO chooses from, from the one that selects nothing down. Not stated in the paper; ours."""


class TumorBoxSettings(Settings):
    """The box around the tumor that a 3-D network sees (Sec. IV-E)."""

    size: Edge = 112
    """Voxels along each side. Not stated in the paper; what the networks with Kinetics weights were trained
    on."""
    extent: PositiveFloat = 152.32
    """Side of the box, mm. Not stated in the paper; the field of view of the 2-D patches (Sec. III-B)."""


class BaselineSettings(Settings):
    """Methods the cascade is compared with (Sec. IV-E, Tab. VI)."""

    radiomics: RadiomicsSettings = RadiomicsSettings()
    """Radiomics. Not stated in the paper but for the number of features."""
    box: TumorBoxSettings = TumorBoxSettings()
    """What ResNet3D-18 sees. Not stated in the paper."""
