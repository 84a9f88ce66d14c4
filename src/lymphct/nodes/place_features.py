"""Where a lymph node lies, as numbers for stage 2 (decision 0061). Not from the paper; ours."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import UsageError
from lymphct.core.patient import Node
from lymphct.core.terms import GUIDING_STRUCTURES

PLACE_FEATURES: Final = (
    "tumor_distance",
    "structure_distance",
    *(f"nearest_{structure.label}" for structure in GUIDING_STRUCTURES),
    "arterial_to_venous",
)
"""Signed distances in mm from the centroid to the tumor and to the nearest guiding structure; which one that
is, 1 for it and 0 for the others; mean HU of the node, venous minus arterial."""


def place_features(nodes: Sequence[Node]) -> DoubleArray:
    """Return the `PLACE_FEATURES` of measured nodes: (nodes, 13).

    NaN where there is no tumor, no guiding structure or no arterial phase. The nearest structure stands for
    the station: a station is a guess by rules from the same distances.

    Raises:
        UsageError: a node was not measured.

    """
    unmeasured = [node.label for node in nodes if node.hu_venous is None]
    if unmeasured:
        msg = f"the place of lymph node {unmeasured[0]} was not measured"
        raise UsageError(msg, cure="measure the nodes first: nodes.measurement.measure_nodes")
    return np.array([_row(node) for node in nodes], dtype=np.float64).reshape(-1, len(PLACE_FEATURES))


def _row(node: Node) -> list[float]:
    nearest = node.nearest_structure
    which = [np.nan if nearest is None else float(nearest is structure) for structure in GUIDING_STRUCTURES]
    distances = [np.nan if mm is None else mm for mm in (node.tumor_distance, node.distance)]
    early, late = node.hu_arterial, node.hu_venous
    return [*distances, *which, np.nan if early is None or late is None else late - early]
