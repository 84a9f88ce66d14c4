"""A tumor mask to learn from out of a network's probabilities: what is unsure or cannot be teaches nothing.

Nothing here knows a file or a network (Sec. IV-B, decision 0041).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lymphct.anatomy.cleaning import keep_components_touching, keep_large_components
from lymphct.anatomy.settings import TumorHarvestSettings, TumorSettings
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.imaging.distance import signed_distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """What a network says of the tumor of one patient.

    Attributes:
        labels: uint8, 1 tumor, 0 none, 255 where it teaches nothing.
        volume: of the tumor before its unsure voxels were left out, mm³.
        confidence: mean probability in it, 0 to 1; 0 where nothing was found.
        refused: why the patient teaches nothing; empty where the mask is used.

    """

    labels: Volume
    volume: float
    confidence: float
    refused: str = ""


def harvested(
    probability: Volume,
    tumor: TumorSettings,
    settings: TumorHarvestSettings,
    pancreas: Volume | None = None,
) -> Harvest:
    """Turn probabilities of tumor into labels.

    What is above the threshold is tumor, the rest none. Components that `tumor` removes from a prediction,
    and voxels whose class is less probable than `settings` ask for, become 255.

    Args:
        probability: of tumor, 0 to 1.
        tumor: threshold, reach of the pancreas, share of the components that are kept.
        settings: confidence, limits of the volume.
        pancreas: mask on the same grid; None or empty where it is not known.

    Raises:
        GeometryMismatchError: the pancreas lies on another grid.

    """
    values = probability.array
    above = values > tumor.threshold
    near = above
    if pancreas is not None and np.any(pancreas.array):
        pancreas.require_same_grid(probability, name="pancreas mask", reference="probability of tumor")
        reached = signed_distance(pancreas.array != 0, probability.geometry.spacing) <= tumor.pancreas_reach
        near = keep_components_touching(above, reached)
    kept = keep_large_components(near, tumor.component_share) > 0
    labels = kept.astype(np.uint8)
    sure = np.where(above, values, 1 - values)
    labels[(above & ~kept) | (sure < settings.confidence)] = UNJUDGED
    volume = float(kept.sum(dtype=np.int64)) * probability.geometry.voxel_volume
    return Harvest(
        labels=probability.with_array(labels),
        volume=volume,
        confidence=float(values[kept].mean(dtype=np.float64)) if kept.any() else 0.0,
        refused=_refusal(volume, settings)
        or ("" if np.any(labels == 1) else "no voxel of it is sure enough"),
    )


def surest(confidences: Mapping[str, float], share: float) -> tuple[str, ...]:
    """Return the share of the patients of whose tumor a network is surest, at least one, in their order.

    >>> surest({"a": 0.9, "b": 0.7, "c": 0.8, "d": 0.6}, 0.5)
    ('a', 'c')
    """
    number = max(round(share * len(confidences)), 1)
    kept = frozenset(sorted(confidences, key=lambda name: (-confidences[name], name))[:number])
    return tuple(name for name in confidences if name in kept)


def _refusal(volume: float, settings: TumorHarvestSettings) -> str:
    if volume == 0:
        return "no tumor was found"
    if volume < settings.least_volume:
        return f"a tumor of {volume:.0f} mm³ is too small (limit {settings.least_volume:g})"
    if volume > settings.largest_volume:
        return f"a tumor of {volume:.0f} mm³ is too large (limit {settings.largest_volume:g})"
    return ""
