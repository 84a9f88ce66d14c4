"""The nineteen organs and vessels, ten of which guide the attention (Sec. III-A.1, Sec. IV-C, Tab. III)."""

import numpy as np
import torch

from lymphct.anatomy.cleaning import keep_large_components
from lymphct.anatomy.regions import body_region, pasted, whole
from lymphct.anatomy.settings import StructureSettings
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.learning.channels import network_image
from lymphct.learning.inference import sliding_window_confidence, sliding_window_labels
from lymphct.learning.tensors import from_network
from lymphct.learning.unet import SegmentationNetwork, initialize
from lymphct.learning.windows import Box, widened

CLASSES = len(Structure) + 1
"""The structures and the background."""


def build_structure_network(
    settings: StructureSettings, in_channels: int = 2, *, seed: int = 0
) -> SegmentationNetwork:
    """Build the network with weights drawn from `seed`; its classes are the label numbers of `Structure`."""
    network = SegmentationNetwork(in_channels, CLASSES, settings.unet)
    initialize(network, torch.Generator().manual_seed(seed))
    return network


def segment_structures(
    network: SegmentationNetwork, image: Multiphase, settings: StructureSettings
) -> Volume:
    """Return the label map of a patient: uint8, numbers of `Structure`; what is not found is not in it.

    Args:
        network: trained on structures.
        image: normalised CT; a missing phase, and one the network does not see, is zero for it.
        settings: patch size, inference, body, cleaning.

    """
    venous, patch_size = image.venous, settings.sampling.patch_size
    shape, box = venous.geometry.shape, _box(image, settings)
    part = network_image(image, box, settings.phases)
    labels = sliding_window_labels(network, part, None, patch_size, settings.inference)
    cleaned = keep_large_components(from_network(labels.numpy()), settings.component_share)
    return venous.with_array(pasted(cleaned, box, shape))


def segment_surely(
    network: SegmentationNetwork, image: Multiphase, settings: StructureSettings
) -> tuple[Volume, Volume]:
    """Return the label map as `segment_structures` does, uncleaned, and how probable each voxel's class is.

    Returns:
        The map, uint8, and the probability of its class, 0 to 1, float32; 1 outside the box of the body.

    """
    venous, patch_size = image.venous, settings.sampling.patch_size
    shape, box = venous.geometry.shape, _box(image, settings)
    part = network_image(image, box, settings.phases)
    labels, sure = sliding_window_confidence(network, part, None, patch_size, settings.inference)
    confidence = np.ones(shape, np.float32)
    confidence[box] = from_network(sure.numpy())
    return venous.with_array(pasted(from_network(labels.numpy()), box, shape)), venous.with_array(confidence)


def _box(image: Multiphase, settings: StructureSettings) -> Box:
    """Return the box that windows are laid over."""
    venous = image.venous
    box = body_region(venous, settings.body_margin) if settings.body_only else whole(venous)
    return widened(box, venous.geometry.shape, settings.sampling.patch_size)


def found_structures(structures: Volume) -> tuple[Structure, ...]:
    """Return the structures that occur in a label map, in the order of their numbers."""
    counts = np.bincount(structures.array.reshape(-1), minlength=CLASSES)
    return tuple(structure for structure in Structure if counts[structure])
