"""From structures to the attention map: distance bands, Eq. 1 and Eq. 2 (Sec. III-A.1, Tab. II)."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from pydantic import Field, PositiveFloat
from scipy.ndimage import find_objects

from lymphct.attention.bands import PAPER_BANDS, Band, Bands, bands_from_mapping, fit_bands
from lymphct.core.arrays import AnyArray, FloatArray, LabelArray
from lymphct.core.settings import Settings
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.distance import signed_distance

__all__ = [
    "PAPER_BANDS",
    "AttentionSettings",
    "Band",
    "Bands",
    "attention_map",
    "attention_score",
    "bands_from_mapping",
    "combine",
    "fit_bands",
    "merge_tumor",
    "structures_present",
]


class AttentionSettings(Settings):
    """Where lymph nodes are looked for (Eq. 1, Eq. 2)."""

    border: PositiveFloat = 3.0
    """Width of the ramps on both sides of a band, mm (Eq. 1)."""
    suppress_other_organs: bool = False
    """Set the attention to 0 inside the nine structures that do not guide it. Not stated in the paper; off,
    as Eq. 2 has it."""
    band_percentile: float = Field(default=0.0, ge=0.0, lt=50.0)
    """Bands reach from this percentile of the lymph node distances to its mirror image, percent; 0 = minimum
    and maximum (Tab. II). Not stated in the paper as an option."""


DEFAULT_SETTINGS: Final = AttentionSettings()


def attention_score(distance: FloatArray, band: Band, *, border: float = 3.0) -> FloatArray:
    """Map distances to scores in [0, 1]: 1 within `band`, falling to 0 over `border` mm (Eq. 1).

    >>> attention_score(np.array([-8.0, -6.5, -5.0, 20.0, 21.5]), Band(-5.0, 20.0)).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.5]
    """
    depth = np.minimum(distance - band.d_min, band.d_max - distance)
    score: FloatArray = np.clip(1.0 + depth / border, 0.0, 1.0)
    return score


def combine(scores: Mapping[int, FloatArray], labels: LabelArray) -> FloatArray:
    """Join the maps of all structures: inside one only its own counts, elsewhere the largest (Eq. 2).

    >>> combine({1: np.array([0.2, 0.2]), 2: np.array([0.9, 0.9])}, np.array([1, 0])).tolist()
    [0.2, 0.9]
    """
    attention: FloatArray = np.zeros(labels.shape, dtype=np.result_type(np.float32, *scores.values()))
    for score in scores.values():
        np.maximum(attention, score, out=attention)
    for structure, score in scores.items():
        np.copyto(attention, score, where=labels == structure)
    return attention


def merge_tumor(structures: Volume, tumor: Volume) -> Volume:
    """Count the tumor as pancreas where it lies outside every other structure (METHOD §4).

    Raises:
        GeometryMismatchError: the mask does not lie on the grid of the structures.

    """
    tumor.require_same_grid(structures, name="tumor mask", reference="structures")
    outside = (tumor.array != 0) & (structures.array == 0)
    labels: AnyArray = np.where(outside, structures.array.dtype.type(Structure.PANCREAS), structures.array)
    return structures.with_array(labels)


def structures_present(structures: Volume) -> tuple[Structure, ...]:
    """List the guiding structures that the label map holds."""
    boxes = find_objects(structures.array, max_label=len(GUIDING_STRUCTURES))
    return tuple(s for s, box in zip(GUIDING_STRUCTURES, boxes, strict=True) if box is not None)


def attention_map(
    structures: Volume, bands: Bands = PAPER_BANDS, settings: AttentionSettings = DEFAULT_SETTINGS
) -> Volume:
    """Say for every voxel how likely lymph nodes are there, by its distance from structures (Eq. 1, Eq. 2).

    An absent structure adds nothing. A structure without a band counts as background.

    Args:
        structures: label map, numbers of `Structure`.
        bands: distance band of each structure that guides.
        settings: ramp width and what happens inside other organs.

    Returns:
        float32 in [0, 1] on the grid of the label map.

    Raises:
        InputError: the label map holds a number that is no structure.

    """
    labels = structures.array
    attention = np.zeros(labels.shape, dtype=np.float32)
    guided = np.isin(labels, [int(structure) for structure in bands])
    boxes = find_objects(labels, max_label=len(Structure))
    for structure, band in bands.items():
        box = boxes[structure - 1]
        if box is None:
            continue
        margin = [
            int(max(band.d_max + settings.border, 0.0) / step) + 1 for step in structures.geometry.spacing
        ]
        crop = tuple(slice(max(p.start - m, 0), p.stop + m) for p, m in zip(box, margin, strict=True))
        own = labels[crop] == structure
        score = attention_score(
            signed_distance(own, structures.geometry.spacing), band, border=settings.border
        )
        np.maximum(attention[crop], score, out=attention[crop], where=~guided[crop])
        np.copyto(attention[crop], score, where=own)
    if settings.suppress_other_organs:
        attention[labels > len(GUIDING_STRUCTURES)] = 0.0
    return structures.with_array(attention)
