"""Removal of small components from predicted masks."""

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray, LabelArray

CORNERS = np.ones((3, 3, 3), dtype=bool)
"""26-connectivity."""


def keep_large_components(labels: AnyArray, share: float) -> LabelArray:
    """Keep the components of each label with at least `share` of the voxels of its largest; uint8.

    A share of 1 keeps the largest alone (and its equals). Each label is searched within its own box only;
    components are 26-connected.
    """
    cleaned = np.array(labels, dtype=np.uint8)
    for label, box in enumerate(ndimage.find_objects(cleaned), start=1):
        if box is None:
            continue
        components, count = ndimage.label(cleaned[box] == label, structure=CORNERS)
        if count < 2:
            continue
        sizes = np.bincount(components.reshape(-1))
        sizes[0] = 0
        too_small = sizes < share * sizes.max()
        too_small[0] = False
        cleaned[box][too_small[components]] = 0
    return cleaned


def keep_components_touching(mask: BoolArray, region: BoolArray) -> BoolArray:
    """Keep the 26-connected components of a mask that share a voxel with `region`."""
    components, _ = ndimage.label(mask, structure=CORNERS)
    touching = np.unique(components[region & mask])
    kept: BoolArray = np.isin(components, touching[touching > 0])
    return kept
