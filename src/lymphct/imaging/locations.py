"""Where the classes of a label map lie: a bounded number of voxels of each, drawn once."""

from collections.abc import Collection
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray, IntArray

LOCATIONS: Final = 10_000
"""Voxels remembered per class and patient as centres of patches (nnU-Net's number)."""
_SEED: Final = 1448
"""Of the choice among more voxels than are remembered; the same for every patient."""


def class_locations(labels: AnyArray) -> dict[int, IntArray]:
    """Return voxels of each class that occurs, by its number.

    Args:
        labels: whole numbers, indexed [i, j, k]; 0 is no class.

    Returns:
        Up to 10,000 flat indices of each class, sorted; they count voxels in C order of (k, j, i), the order
        of the networks: `np.unravel_index(flat, labels.shape[::-1])` gives k, j, i.

    >>> class_locations(np.array([[[0, 7], [7, 3]]]))
    {3: array([3]), 7: array([1, 2])}
    """
    flat = _flat(labels)
    inside = np.flatnonzero(flat)
    numbers = flat[inside]
    order = np.argsort(numbers, kind="stable")
    found, starts = np.unique(numbers[order], return_index=True)
    ends = np.append(starts, len(inside))[1:]
    return {
        int(number): some_of(inside[order[start:end]])
        for number, start, end in zip(found, starts, ends, strict=True)
    }


def lit_locations(values: AnyArray) -> IntArray:
    """Return up to 10,000 voxels above 0, as `class_locations` does for one class.

    >>> lit_locations(np.array([[[0.0, 0.5], [0.25, 0.0]]]))
    array([1, 2])
    """
    return some_of(np.flatnonzero(_flat(values) > 0))


def some_of(locations: IntArray) -> IntArray:
    """Return at most 10,000 of some sorted locations, sorted; the same ones whenever it is asked."""
    if len(locations) <= LOCATIONS:
        return locations
    chosen = np.random.default_rng(_SEED).choice(len(locations), LOCATIONS, replace=False)
    return locations[np.sort(chosen)]


def alike(groups: Collection[IntArray]) -> IntArray:
    """Return voxels of groups, each group as often as any other, however few voxels it has; sorted.

    Args:
        groups: sorted locations of one group each, none empty.

    Returns:
        As many locations of each group as the largest has, at most 10,000 of all unless there are more
        groups; voxels of smaller groups are repeated.

    >>> alike([np.array([2]), np.array([5, 6, 7])])
    array([2, 2, 2, 5, 6, 7])
    """
    share = max(min(max(map(len, groups)), LOCATIONS // len(groups)), 1)
    # Evenly through a group that has more, round and round through one that has less.
    kept = [
        group[np.arange(share) * len(group) // share] if len(group) > share else np.resize(group, share)
        for group in groups
    ]
    return np.sort(np.concatenate(kept))


def _flat(values: AnyArray) -> AnyArray:
    """Return the values with i running fastest; copied unless they lie so."""
    return np.ascontiguousarray(values.transpose(2, 1, 0)).reshape(-1)
