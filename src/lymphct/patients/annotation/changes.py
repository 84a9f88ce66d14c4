"""What a correction changed: node by node, structure by structure, in voxels, classes and stations."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from lymphct.core.arrays import AnyArray
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.io.results.jsonfile import JSON

Change = dict[str, JSON]
"""What one line of the log says besides who and when: the mask, what in it, and how it changed."""

CONFIRMED: Final = "confirmed"
"""Somebody saw a mask and left it as it was."""


def node_changes(before: NodeMap, after: NodeMap) -> list[Change]:
    """Return how each lymph node changed, in the order of their numbers; none when nothing did.

    Voxels that left a node or came to it are counted, also those that went from one node to another.
    """
    old = {node.label: node for node in before.nodes}
    new = {node.label: node for node in after.nodes}
    counts = _moved(before.instances.array, after.instances.array)
    changes: list[Change] = []
    for number in sorted(old.keys() | new.keys()):
        changes += _of_node(number, old.get(number), new.get(number), counts.get(number, (0, 0)))
    return changes


def _of_node(number: int, old: Node | None, new: Node | None, moved: tuple[int, int]) -> Iterator[Change]:
    base: Change = {"mask": "nodes", "node": number}
    added, removed = moved
    if old is None or new is None:
        if new is not None:
            yield {**base, "change": "added", "voxels_added": added, **_called(new)}
        if old is not None:
            yield {**base, "change": "removed", "voxels_removed": removed, **_called(old)}
        return
    if old.node_class is not new.node_class:
        yield {**base, "change": "class", "from": _class(old), "to": _class(new)}
    if old.station != new.station:
        yield {**base, "change": "station", "from": old.station or None, "to": new.station or None}
    if added or removed:
        yield {**base, "change": "shape", "voxels_added": added, "voxels_removed": removed}


def _called(node: Node) -> Change:
    return {"class": _class(node), "station": node.station or None}


def _class(node: Node) -> str | None:
    return None if node.node_class is None else node.node_class.label


def _moved(before: AnyArray, after: AnyArray) -> dict[int, tuple[int, int]]:
    """Return by number how many voxels came to it and left it."""
    differs = before != after
    highest = max(int(before.max(initial=0)), int(after.max(initial=0)))
    came = np.bincount(after[differs].astype(np.int64), minlength=highest + 1)
    left = np.bincount(before[differs].astype(np.int64), minlength=highest + 1)
    return {n: (int(came[n]), int(left[n])) for n in range(1, highest + 1) if came[n] or left[n]}


def structure_changes(before: Volume, after: Volume) -> list[Change]:
    """Return how each structure changed, in the order of their numbers; none when nothing did."""
    counts = _moved(before.array, after.array)
    there = {int(n) for n in np.unique(before.array)}, {int(n) for n in np.unique(after.array)}
    return [
        {"mask": "structures", "structure": Structure(number).label, **_shape(number, there, moved)}
        for number, moved in sorted(counts.items())
    ]


def tumor_changes(before: Volume, after: Volume) -> list[Change]:
    """Return how the tumor changed; none when it did not."""
    counts = _moved(before.array, after.array)
    there = {int(before.array.max(initial=0))}, {int(after.array.max(initial=0))}
    return [{"mask": "tumor", **_shape(1, there, moved)} for moved in counts.values()]


def _shape(number: int, there: tuple[set[int], set[int]], moved: tuple[int, int]) -> Change:
    added, removed = moved
    if number not in there[0]:
        return {"change": "added", "voxels_added": added}
    if number not in there[1]:
        return {"change": "removed", "voxels_removed": removed}
    return {"change": "shape", "voxels_added": added, "voxels_removed": removed}
