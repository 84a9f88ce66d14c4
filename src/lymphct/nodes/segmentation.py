"""Stage 1 — class-agnostic segmentation of lymph nodes guided by attention (Sec. III-A.1, Eq. 3 to Eq. 5)."""

import numpy as np
import torch

from lymphct.core.patient import Multiphase, NodeMap
from lymphct.core.volume import Volume
from lymphct.learning.channels import network_image, network_view
from lymphct.learning.inference import sliding_window_probability
from lymphct.learning.tensors import from_network
from lymphct.learning.unet import initialize
from lymphct.nodes.instances import find_instances
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.settings import NodeSegmentationSettings


def build_node_network(
    settings: NodeSegmentationSettings, in_channels: int = 2, *, seed: int = 0
) -> NodeNetwork:
    """Build the network of stage 1 with weights drawn from `seed`."""
    network = NodeNetwork(in_channels, settings.unet, settings.heads)
    initialize(network, torch.Generator().manual_seed(seed))
    return network


def predict_node_probability(
    network: NodeNetwork, image: Multiphase, attention: Volume, settings: NodeSegmentationSettings
) -> Volume:
    """Return the probability of each voxel to belong to a lymph node, float32 in [0, 1].

    Args:
        network: trained stage 1.
        image: normalised CT; a missing arterial phase is zero for the network.
        attention: values in [0, 1] on the same grid.
        settings: patch size, inference, hard gate.

    Raises:
        GeometryMismatchError: the attention map lies on another grid.

    """
    attention.require_same_grid(image.venous, name="attention map", reference="venous phase")
    probability = sliding_window_probability(
        network,
        network_image(image),
        network_view(attention),
        settings.sampling.patch_size,
        settings.inference,
    )
    foreground = from_network(probability.numpy())
    if settings.hard_gate:
        foreground = np.where(attention.array > 0, foreground, np.float32(0.0))
    return attention.with_array(foreground)


def segment_nodes(
    network: NodeNetwork, image: Multiphase, attention: Volume, settings: NodeSegmentationSettings
) -> NodeMap:
    """Find the lymph nodes of a patient: probability, threshold, 26-connected components (Sec. III-A.1).

    With `settings.growth` each node grows from its peak instead.
    """
    probability = predict_node_probability(network, image, attention, settings)
    return find_instances(
        probability, threshold=settings.threshold, min_volume=settings.min_volume, growth=settings.growth
    )
