"""Settings of both segmentations of the anatomy: organs and vessels (Sec. III-A.1), tumor (Sec. IV-B)."""

from pydantic import NonNegativeFloat, PositiveFloat

from lymphct.learning.settings import (
    AugmentationSettings,
    LossSettings,
    Probability,
    SegmentationTrainingSettings,
)


class StructureSettings(SegmentationTrainingSettings):
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


class TumorSettings(SegmentationTrainingSettings):
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
