"""Every setting of the cascade in one place; the rooms declare them, this module puts them together."""

from typing import Literal, Self

from pydantic import Field, model_validator

from lymphct.anatomy.settings import (
    SelfLearningSettings,
    StructureSettings,
    TumorHarvestSettings,
    TumorSettings,
)
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.attention.settings import AttentionSettings
from lymphct.baselines.settings import BaselineSettings
from lymphct.core.settings import Settings
from lymphct.imaging.settings import ImagingSettings
from lymphct.learning.inference_settings import InferenceChoice
from lymphct.metastasis.settings import MetastasisSettings
from lymphct.nodes.settings import IdentificationSettings, NodeSegmentationSettings
from lymphct.registration.settings import RegistrationSettings

MaskSource = Literal["given", "network"]
"""Who drew the masks that guide stage 1."""


class CascadeSettings(Settings):
    """What concerns the cascade as a whole rather than one stage."""

    fit_intensity: bool = True
    """Measure the intensity statistics on the training patients; otherwise fixed values. Not stated in the
    paper but in the authors' code (decision 0017)."""
    fit_bands: bool = False
    """Measure the distance bands on the training patients instead of taking Tab. II. Off: the values of the
    paper come from 749 patients, more than most cohorts have."""
    choose_thresholds: bool = True
    """Choose the thresholds of nodes and patients on validation patients; off: every stage keeps its default.
    Not stated in the paper."""
    structures_source: Literal["auto", "given", "network"] = "auto"
    """Whose structures guide stage 1 in training: drawn ones (given), the network's for all (network), or
    drawn ones where every patient has the same, else the network's (auto). Not stated in the paper, whose
    masks are the network's; ours (decision 0039)."""
    tumor_source: Literal["auto", "given", "network"] = "auto"
    """The same for the tumor, which counts as pancreas; where the network finds none the drawn one is taken.
    Not stated in the paper; ours (decision 0039)."""
    source_agreement: float = Field(default=0.5, ge=0.0, le=1.0)
    """Least Dice of two sources of one structure; below it a notice is given. Not stated in the paper; ours,
    well below what two readers reach (decision 0043)."""
    explain_score: bool = True
    """Whether `predict` tells what drove the score: how it changes without each node, the nodes, the tumor.
    Not stated in the paper; it does not change the score."""
    tolerated_missing_structures: int = 5
    """With more guiding structures missing a notice is given. Not stated in the paper; our choice."""


class ReportSettings(Settings):
    """What the page of a predicted patient holds."""

    viewer: bool = True
    """Whether `report.html` carries reduced images and a viewer for them, up to about 15 MB a page; off: its
    pictures alone. Not stated in the paper; ours (decision 0066)."""


class Config(Settings):
    """Every setting of the cascade; the defaults are the values of the paper."""

    imaging: ImagingSettings = ImagingSettings()
    """The grid on which all stages work (Sec. IV-A.2)."""
    registration: RegistrationSettings = RegistrationSettings()
    """How the arterial phase is brought onto the venous one (Sec. IV-A.2)."""
    attention: AttentionSettings = AttentionSettings()
    """Where lymph nodes are looked for (Eq. 1, Eq. 2)."""
    structures: StructureSettings = StructureSettings()
    """Segmentation of organs and vessels (Sec. III-A.1)."""
    self_learning: SelfLearningSettings = SelfLearningSettings()
    """How structures are learned from a teacher's masks, with `train structures --teacher` (Sec. III-A.1)."""
    tumor: TumorSettings = TumorSettings()
    """Segmentation of the tumor (Sec. IV-B)."""
    tumor_harvest: TumorHarvestSettings = TumorHarvestSettings()
    """How tumors are learned from few drawn masks, with `train tumor --few` (Sec. IV-B)."""
    nodes: NodeSegmentationSettings = NodeSegmentationSettings()
    """Stage 1, segmentation of lymph nodes (Sec. III-A.1)."""
    identification: IdentificationSettings = IdentificationSettings()
    """Stage 2, positive or negative (Sec. III-A.2)."""
    metastasis: MetastasisSettings = MetastasisSettings()
    """The status of the patient (Sec. III-B)."""
    cascade: CascadeSettings = CascadeSettings()
    """The cascade as a whole. Not stated in the paper."""
    tracing: TracingSettings = TracingSettings()
    """How arteries are traced where no mask of them is to be had. Not stated in the paper."""
    baselines: BaselineSettings = BaselineSettings()
    """Methods the cascade is compared with (Sec. IV-E, Tab. VI)."""
    inference: InferenceChoice = InferenceChoice()
    """How `predict` runs the networks of a bundle on this machine. Not stated in the paper."""
    report: ReportSettings = ReportSettings()
    """The page of a predicted patient. Not stated in the paper."""

    @model_validator(mode="after")
    def _has_bands_from_one_place(self) -> Self:
        if self.cascade.fit_bands and self.attention.bands is not None:
            msg = "attention.bands gives the bands that cascade.fit_bands would measure: leave one out"
            raise ValueError(msg)
        return self
