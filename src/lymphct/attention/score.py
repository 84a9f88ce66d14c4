"""Eq. 1 and Eq. 2 as the paper prints them, on arrays of distances."""

from collections.abc import Mapping

import numpy as np

from lymphct.attention.bands import Band
from lymphct.core.arrays import FloatArray, LabelArray


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
