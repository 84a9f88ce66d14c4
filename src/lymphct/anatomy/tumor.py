"""Segmentation of the pancreatic tumor (PDAC) on both phases (Sec. IV-B)."""

import numpy as np
import torch

from lymphct.anatomy.cleaning import keep_components_touching, keep_large_components
from lymphct.anatomy.regions import body_region, grown, pasted, region_around, whole
from lymphct.anatomy.settings import TumorSettings
from lymphct.core.arrays import BoolArray
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.imaging.distance import signed_distance
from lymphct.learning.channels import network_image
from lymphct.learning.inference import sliding_window_probability
from lymphct.learning.tensors import from_network
from lymphct.learning.unet import SegmentationNetwork, initialize
from lymphct.learning.windows import Box, widened


def build_tumor_network(
    settings: TumorSettings, in_channels: int = 2, *, seed: int = 0
) -> SegmentationNetwork:
    """Build the network (background, tumor) with weights drawn from `seed`."""
    network = SegmentationNetwork(in_channels, 2, settings.unet)
    initialize(network, torch.Generator().manual_seed(seed))
    return network


def segment_tumor(
    network: SegmentationNetwork,
    image: Multiphase,
    settings: TumorSettings,
    pancreas: Volume | None = None,
) -> Volume:
    """Return the tumor mask of a patient, uint8 0/1; empty when no tumor of `min_volume` is found.

    Args:
        network: trained on tumors.
        image: normalised CT; a missing phase, and one the network does not see, is zero for it.
        settings: patch size, inference, threshold, cleaning.
        pancreas: mask on the same grid, non-zero inside; None or empty leaves every component in the choice.

    Raises:
        GeometryMismatchError: the pancreas lies on another grid.

    """
    venous = image.venous
    shape = venous.geometry.shape
    near: BoolArray | None = None
    if pancreas is not None and np.any(pancreas.array):
        pancreas.require_same_grid(venous, name="pancreas mask", reference="venous phase")
        near = pancreas.array != 0
    if near is None:
        box = body_region(venous, settings.body_margin) if settings.body_only else whole(venous)
        box, candidates = _candidates(network, image, settings, box)
    else:
        box, candidates = _candidates_at(near, network, image, settings)
    mask = keep_large_components(candidates, settings.component_share)
    volume = float(mask.sum(dtype="int64")) * venous.geometry.voxel_volume
    if volume < settings.min_volume:
        mask[:] = 0
    return venous.with_array(pasted(mask, box, shape))


def tumor_probability(network: SegmentationNetwork, image: Multiphase, settings: TumorSettings) -> Volume:
    """Return the probability of tumor, 0 to 1, float32; 0 outside the box of the body.

    Args:
        network: trained on tumors.
        image: normalised CT; a missing phase, and one the network does not see, is zero for it.
        settings: patch size, inference, body.

    """
    venous, patch_size = image.venous, settings.sampling.patch_size
    box = body_region(venous, settings.body_margin) if settings.body_only else whole(venous)
    box = widened(box, venous.geometry.shape, patch_size)
    part = network_image(image, box, settings.phases)
    found = np.zeros(venous.geometry.shape, np.float32)
    found[box] = from_network(
        sliding_window_probability(network, part, None, patch_size, settings.inference).numpy()
    )
    return venous.with_array(found)


def _candidates_at(
    pancreas: BoolArray, network: SegmentationNetwork, image: Multiphase, settings: TumorSettings
) -> tuple[Box, BoolArray]:
    """Return the components that reach the pancreas, whole, and the box they lie in."""
    geometry = image.venous.geometry
    reach, margin = settings.pancreas_reach, settings.pancreas_margin
    around = region_around(pancreas, geometry.spacing, reach + margin) if settings.pancreas_only else None
    box = around or whole(image.venous)
    while True:
        box, candidates = _candidates(network, image, settings, box)
        near = signed_distance(pancreas[box], geometry.spacing) <= reach
        kept = keep_components_touching(candidates, near)
        wider = grown(box, kept, geometry, margin)
        if wider == box:
            return box, kept
        # By twice as much each time, so that even a component across the image takes a few rounds only.
        box, margin = wider, 2 * margin


def _candidates(
    network: SegmentationNetwork, image: Multiphase, settings: TumorSettings, box: Box
) -> tuple[Box, BoolArray]:
    """Return the voxels above the threshold in a box, and the box after it was widened to a patch."""
    patch_size = settings.sampling.patch_size
    box = widened(box, image.venous.geometry.shape, patch_size)
    part = network_image(image, box, settings.phases)
    probability = sliding_window_probability(network, part, None, patch_size, settings.inference)
    return box, from_network((probability > settings.threshold).numpy())
