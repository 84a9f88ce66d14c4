"""Lymph nodes as rows of numbers for heads that look at all of a patient's nodes, not the largest alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.arrays import DoubleArray
from lymphct.core.evidence import Evidence
from lymphct.core.patient import Node
from lymphct.core.terms import GUIDING_STRUCTURES, STATIONS

NUMBERS: Final = (
    "probability_logit", "log_volume", "short_axis", "hu_arterial", "hu_venous", "enhancement",
    "tumor_distance", "structure_distance",
)  # fmt: skip
"""Logit of the probability, natural logarithm of mm³, mm, HU, HU venous − arterial, mm from the tumor's
surface and from the nearest structure's, negative inside."""

ALL_STATIONS: Final = tuple(
    sorted({station for stations in STATIONS.values() for station in stations}, key=int)
)
"""Of the Japan Pancreas Society, as `nodes.stations` guesses them."""
WIDTH: Final = len(NUMBERS) + len(GUIDING_STRUCTURES) + len(ALL_STATIONS)
"""Numbers of a node, whether each structure is the nearest, whether each station is its own."""
_LEAST: Final = 1e-4
"""Probability below which (and above its counterpart) a logit says nothing more."""


def node_rows(evidence: Evidence) -> DoubleArray:
    """Return each node of a patient as a row, (nodes, `WIDTH`); NaN where something was not measured."""
    rows = [
        [*_numbers(node), *(node.nearest_structure is s for s in GUIDING_STRUCTURES), *_station(node)]
        for node in evidence.nodes
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), WIDTH)


def _numbers(node: Node) -> list[float]:
    nan = float("nan")
    known = [node.short_axis, node.hu_arterial, node.hu_venous, node.tumor_distance, node.distance]
    short, arterial, venous, tumor, structure = (nan if value is None else value for value in known)
    logit = nan
    if node.probability is not None:
        p = min(max(node.probability, _LEAST), 1 - _LEAST)
        logit = float(np.log(p / (1 - p)))
    return [logit, float(np.log(node.volume)), short, arterial, venous, venous - arterial, tumor, structure]


def _station(node: Node) -> list[bool]:
    return [node.station == station for station in ALL_STATIONS]


@dataclass(frozen=True, slots=True, eq=False)
class RowStatistics:
    """Mean and SD (`WIDTH`,) that standardise the numbers of a row; flags stay 0 and 1."""

    mean: DoubleArray
    sd: DoubleArray

    @classmethod
    def of(cls, rows: Sequence[DoubleArray]) -> "RowStatistics":
        """Measure the nodes of training patients; a number that never varies, or is nowhere, keeps SD 1."""
        together = np.concatenate([np.zeros((0, WIDTH)), *rows])[:, : len(NUMBERS)]
        there = np.isfinite(together)
        count = np.maximum(there.sum(axis=0), 1)
        mean, sd = np.zeros(WIDTH), np.ones(WIDTH)
        mean[: len(NUMBERS)] = np.where(there, together, 0.0).sum(axis=0) / count
        off = np.where(there, (together - mean[: len(NUMBERS)]) ** 2, 0.0)
        spread = np.sqrt(off.sum(axis=0) / count)
        sd[: len(NUMBERS)] = np.where(spread > 1e-6, spread, 1.0)
        return cls(mean, sd)

    def standard(self, rows: DoubleArray) -> DoubleArray:
        """Return (rows − mean)/SD; what was not measured becomes the mean, 0."""
        found: DoubleArray = np.nan_to_num((rows - self.mean) / self.sd, nan=0.0)
        return found
