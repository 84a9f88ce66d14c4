"""Settings of both segmentations of the anatomy: organs and vessels (Sec. III-A.1), tumor (Sec. IV-B)."""

from typing import Self

from pydantic import NonNegativeFloat, PositiveFloat, model_validator

from lymphct.core.settings import Settings
from lymphct.core.terms import Phases
from lymphct.learning.settings import (
    AugmentationSettings,
    Fraction,
    LossSettings,
    Probability,
    SegmentationTrainingSettings,
    Share,
)


class _AnatomySettings(SegmentationTrainingSettings):
    """What both segmentations share."""

    phases: Phases = "both"
    """Phases the network sees, in training and ever after. Both (Sec. III-A.1); `arterial` and `venous` are
    for teachers, as the paper's on A or on V (Tab. III, Sec. IV-B)."""

    @model_validator(mode="after")
    def _sees_something(self) -> Self:
        if self.phases == "arterial" and self.sampling.phase_dropout > 0:
            msg = "with phases arterial nothing is left of a patch that phase_dropout empties: set it 0"
            raise ValueError(msg)
        return self


class StructureSettings(_AnatomySettings):
    """Segmentation of organs and vessels on both phases (Sec. III-A.1)."""

    augmentation: AugmentationSettings = AugmentationSettings(mirror_axes=(False, False, False))
    """nnU-Net's without mirroring: a mirrored right kidney is a left one. Not stated in the paper."""
    loss: LossSettings = LossSettings(tversky_alpha=1.0, tversky_beta=1.0, average_over="present")
    """Dice and cross entropy, nnU-Net's; Dice over the structures in the batch. Not stated in the paper."""
    component_share: Probability = 0.1
    """Components of a structure with less than this share of its largest are removed; 1 keeps the largest
    alone. Not stated in the paper; our choice."""
    body_only: bool = True
    """Lay windows over the box of the body alone; air and table around it hold no structure. Windows then
    begin elsewhere, which moves some borders by a voxel. Not stated in the paper (decision 0021)."""
    body_margin: NonNegativeFloat = 10.0
    """mm around the box of the body that windows still cover. Not stated in the paper."""


class TumorSettings(_AnatomySettings):
    """Segmentation of PDAC (Sec. IV-B)."""

    loss: LossSettings = LossSettings(tversky_alpha=1.0, tversky_beta=1.0)
    """Dice and cross entropy. Not stated in the paper; nnU-Net's."""
    threshold: Probability = 0.5
    """Probability above which a voxel is tumor. Not stated in the paper; ½."""
    component_share: Probability = 1.0
    """Components with less than this share of the largest are removed; 1 keeps the largest alone, as the
    patients have one tumor. Not stated in the paper."""
    pancreas_reach: NonNegativeFloat = 5.0
    """Components farther than this from the pancreas are removed before the largest is chosen, mm: PDAC
    arises from it. Not stated in the paper."""
    pancreas_only: bool = True
    """Lay windows over the box of the pancreas, where it is known, with `pancreas_reach` and
    `pancreas_margin` around it; the box grows until no component is cut.
    Not stated in the paper (decision 0021)."""
    pancreas_margin: PositiveFloat = 20.0
    """mm beyond `pancreas_reach` that the first windows cover: tumors grow out of the pancreas.
    Not stated in the paper."""
    body_only: bool = True
    """Lay windows over the box of the body alone where the pancreas is not known.
    Not stated in the paper (decision 0021)."""
    body_margin: NonNegativeFloat = 10.0
    """mm around the box of the body that windows still cover. Not stated in the paper."""
    min_volume: NonNegativeFloat = 100.0
    """A smaller tumor counts as not found, mm³ (a sphere of 6 mm). Not stated in the paper."""


class SelfLearningSettings(Settings):
    """How a student learns structures from a teacher's masks (Sec. III-A.1, decision 0040)."""

    confidence: Probability = 0.5
    """Voxels in which the teacher's class is less probable teach nothing; 0 keeps all. Only where the teacher
    gives probabilities, as networks of a bundle do. Not stated in the paper; ½: more probable than all
    others together."""
    component_share: Probability = 0.1
    """Components of a teacher's structure with less than this share of its largest teach nothing. Not stated
    in the paper; that of the networks."""
    plausible_only: bool = True
    """Leave out a teacher's structure in patients where its volume, shape or place cannot be (decision 0030).
    Not stated in the paper; ours."""
    least_recall: Probability = 0.6
    """A structure of which the teacher finds less than this share of the drawn voxels of training patients is
    learned from drawn masks alone: a vessel that ends too early would teach that the rest is none. 0 trusts
    every structure. Not stated in the paper, which draws the rest by hand; ours."""
    drawn_share: Fraction = 0.5
    """Patients with drawn masks are repeated until they are at least this share of those that patches are
    drawn from: what is drawn in them alone would else be seen that much less often. 0 repeats nobody. Not
    stated in the paper; ours."""


class TumorHarvestSettings(Settings):
    """How tumors are learned from few drawn masks, with `train tumor --few` (Sec. IV-B, decision 0041)."""

    confidence: Probability = 0.7
    """Voxels in which the class the network gives is less probable teach nothing; 0 keeps all. Not stated in
    the paper; ours: the rim that the network hesitates about is left out."""
    surest_share: Share = 0.6
    """Share of the harvested patients who teach in a step, the surest first: by the mean probability in the
    tumor that was found. 1 takes all. Not stated in the paper; ours: a tumor found in a wrong place teaches
    two mistakes, and the network is less sure of it."""
    least_volume: NonNegativeFloat = 500.0
    """Where the network finds a smaller tumor the patient teaches nothing, mm³ (a sphere of 10 mm): every
    patient has one. Not stated in the paper; ours."""
    largest_volume: PositiveFloat = 300_000.0
    """Where it finds a larger one, neither, mm³ (a sphere of 83 mm). Not stated in the paper; ours."""
    drawn_share: Fraction = 0.3
    """Patients with drawn masks are repeated until they are at least this share of those that patches are
    drawn from. 0 repeats nobody. Not stated in the paper; ours."""
    tuning_share: Share = 0.5
    """Epochs in which the teacher is fine-tuned, as a share of `tumor.training.epochs`. Not stated in the
    paper; ours."""
    tuning_rate: Share = 0.1
    """Learning rate of the fine-tuning, as a share of `tumor.training.learning_rate`. Not stated in the
    paper; ours."""
    network_share: PositiveFloat = 1.0
    """Epochs of the network that learns last, from drawn and harvested masks, as a multiple of
    `tumor.training.epochs`: more masks bear more iterations than a teacher's few. Not stated in the paper;
    ours."""
    kept_aside: Fraction = 0.2
    """Share of the patients with drawn masks who are kept for the scores where the manifest keeps nobody
    (column `split`, test). 0 keeps nobody, and nothing is scored. Not stated in the paper, whose 163 drawn
    masks were all kept (Sec. IV-B); ours."""
