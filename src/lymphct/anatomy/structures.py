"""The nineteen organs and vessels, ten of which guide the attention (Sec. III-A.1, Sec. IV-C, Tab. III)."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from pydantic import NonNegativeFloat

from lymphct.anatomy.cleaning import keep_large_components
from lymphct.anatomy.regions import body_region, pasted, whole
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.learning.augmentation import AugmentationSettings, Probability
from lymphct.learning.cases import TrainingCase
from lymphct.learning.channels import network_image
from lymphct.learning.inference import sliding_window_labels
from lymphct.learning.losses import LossSettings
from lymphct.learning.segmentation import SegmentationTrainingSettings, fit_segmentation
from lymphct.learning.tensors import from_network
from lymphct.learning.training import EpochRecord, TrainingState
from lymphct.learning.unet import SegmentationNetwork, initialize
from lymphct.learning.windows import widened

CLASSES = len(Structure) + 1
"""The structures and the background."""


class StructureSettings(SegmentationTrainingSettings):
    """Segmentation of organs and vessels on both phases (Sec. III-A.1)."""

    augmentation: AugmentationSettings = AugmentationSettings(mirror_axes=(False, False, False))
    """nnU-Net's without mirroring: a mirrored right kidney is a left one. Not stated in the paper."""
    loss: LossSettings = LossSettings(tversky_alpha=1.0, tversky_beta=1.0, average_over="present")
    """Dice and cross entropy, nnU-Net's; Dice over the structures in the batch. Not stated in the paper."""
    component_share: Probability = 0.1
    """Components of a structure with less than this share of its largest are removed; 1 keeps the largest
    alone. Not stated in the paper; METHOD §4 asks for small components to be cleaned."""
    body_only: bool = True
    """Lay windows over the box of the body alone; air and table around it hold no structure. Windows then
    begin elsewhere, which moves some borders by a voxel. Not stated in the paper (decision 0021)."""
    body_margin: NonNegativeFloat = 10.0
    """mm around the box of the body that windows still cover. Not stated in the paper."""


def build_structure_network(
    settings: StructureSettings, in_channels: int = 2, *, seed: int = 0
) -> SegmentationNetwork:
    """Build the network with weights drawn from `seed`; its classes are the label numbers of `Structure`."""
    network = SegmentationNetwork(in_channels, CLASSES, settings.unet)
    initialize(network, torch.Generator().manual_seed(seed))
    return network


def fit_structures(  # noqa: PLR0913 - seed and state are keywords, as in `fit_segmentation`
    network: SegmentationNetwork,
    cases: Sequence[TrainingCase],
    validation: Sequence[TrainingCase],
    settings: StructureSettings,
    *,
    seed: int,
    state: TrainingState | None = None,
) -> Iterator[EpochRecord]:
    """Train the structures; voxels labelled 255 count nowhere, so partly drawn patients can take part.

    Raises:
        InputError: no training case.

    """
    return fit_segmentation(network, cases, validation, settings, seed=seed, state=state)


def segment_structures(
    network: SegmentationNetwork, image: Multiphase, settings: StructureSettings
) -> Volume:
    """Return the label map of a patient: uint8, numbers of `Structure`; what is not found is not in it.

    Args:
        network: trained on structures.
        image: normalised CT; a missing arterial phase is zero for the network.
        settings: patch size, inference, body, cleaning.

    """
    venous, patch_size = image.venous, settings.sampling.patch_size
    shape = venous.geometry.shape
    box = body_region(venous, settings.body_margin) if settings.body_only else whole(venous)
    box = widened(box, shape, patch_size)
    part = network_image(image, box)
    labels = sliding_window_labels(network, part, None, patch_size, settings.inference)
    cleaned = keep_large_components(from_network(labels.numpy()), settings.component_share)
    return venous.with_array(pasted(cleaned, box, shape))


def found_structures(structures: Volume) -> tuple[Structure, ...]:
    """Return the structures that occur in a label map, in the order of their numbers."""
    counts = np.bincount(structures.array.reshape(-1), minlength=CLASSES)
    return tuple(structure for structure in Structure if counts[structure])
