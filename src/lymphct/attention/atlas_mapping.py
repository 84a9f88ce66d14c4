"""The attention map of an atlas, in the place of that of Eq. 1 and Eq. 2 (decision 0057)."""

from collections.abc import Iterator

import numba
import numpy as np

from lymphct.attention.atlas import TUMOR, Atlas, structure_of
from lymphct.attention.labels import StoredLabels
from lymphct.core.arrays import BoolArray, DoubleArray, FloatArray
from lymphct.core.terms import OTHER_STRUCTURES
from lymphct.core.volume import Volume
from lymphct.imaging.distance import signed_distance

Crop = tuple[slice, slice, slice]


def atlas_map(guiding: Volume, tumor: Volume | None, atlas: Atlas, *, suppress: bool = False) -> Volume:
    """Say for every voxel how likely lymph nodes are there, by its distances from structures and tumor.

    Args:
        guiding: label map, in which the tumor counts as pancreas.
        tumor: its mask, non-zero inside; None or empty is an absent landmark.
        atlas: fitted.
        suppress: set the attention to 0 inside the structures that do not guide it.

    Returns:
        float32 in [0, 1] on the grid of the label map; 0 without guiding structures.

    Raises:
        InputError: the label map holds numbers that name no structure.
        GeometryMismatchError: the tumor mask lies on another grid.

    """
    stored = StoredLabels.of(guiding)
    stored.require_known()
    if tumor is not None:
        tumor.require_same_grid(guiding, name="tumor mask", reference="structures")
    score = np.zeros(stored.labels.shape, dtype=np.float32)
    is_near = np.zeros(stored.labels.shape, dtype=np.bool_)
    knots = np.array(atlas.knots)
    present = []
    for name, mask, crop in _landmarks(stored, tumor, atlas):
        present.append(name)
        # All that is not near stays as if it were far: signed distances beyond the crop are not looked for.
        distance = signed_distance(mask, stored.spacing)
        _add_effect(distance, knots, np.array([*atlas.effects[name], 0.0]), score[crop])
        if name != TUMOR:
            is_near[crop] |= distance < atlas.reach
    score += np.float32(atlas.lacking(present))
    attention = np.exp(np.minimum(score - np.float32(atlas.full), 0.0))
    attention[~is_near | (score < atlas.least)] = 0.0
    if suppress:
        others = np.zeros(256, dtype=np.bool_)
        others[list(OTHER_STRUCTURES)] = True
        attention[others[stored.labels]] = 0.0
    return guiding.with_array(stored.back(attention))


def _landmarks(
    stored: StoredLabels, tumor: Volume | None, atlas: Atlas
) -> Iterator[tuple[str, BoolArray, Crop]]:
    """Yield name, mask and place of each landmark that is there, with a margin as wide as its effect."""
    margin = [int(atlas.reach / step) + 1 for step in stored.spacing]
    inside = None if tumor is None else tumor.array.transpose(stored.axes) != 0
    for name in atlas.effects:
        structure = structure_of(name)
        if structure is not None:
            if stored.has(structure):
                box = stored.boxes[structure].tolist()
                crop = _grown(box, margin, stored.labels.shape)
                yield name, stored.labels[crop] == structure, crop
        elif inside is not None and inside.any():
            found = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
            box = [edge for line in found for edge in (int(line[0]), int(line[-1]) + 1)]
            crop = _grown(box, margin, inside.shape)
            yield name, inside[crop], crop


def _grown(box: list[int], margin: list[int], shape: tuple[int, ...]) -> Crop:
    low, high = box[::2], box[1::2]
    i, j, k = (
        slice(max(first - more, 0), min(last + more, size))
        for first, last, more, size in zip(low, high, margin, shape, strict=True)
    )
    return i, j, k


@numba.njit(cache=True, error_model="numpy")
def _add_effect(distance: FloatArray, knots: DoubleArray, effect: DoubleArray, score: FloatArray) -> None:
    """Add the piecewise linear effect of a distance to `score`, in place."""
    n_i, n_j, n_k = distance.shape
    last = knots.size - 1
    for i in range(n_i):
        for j in range(n_j):
            for k in range(n_k):
                d = distance[i, j, k]
                if d >= knots[last]:
                    score[i, j, k] += np.float32(effect[last])
                    continue
                if d <= knots[0]:
                    score[i, j, k] += np.float32(effect[0])
                    continue
                n = 1
                while knots[n] < d:
                    n += 1
                part = (d - knots[n - 1]) / (knots[n] - knots[n - 1])
                score[i, j, k] += np.float32(effect[n - 1] + part * (effect[n] - effect[n - 1]))
