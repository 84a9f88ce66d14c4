"""Lymph node stations: which structure guides to each, where it lies, how often nodes are there."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lymphct.core.arrays import Vector3
from lymphct.core.terms import Structure
from lymphct.phantom.tumor import TumorSite


@dataclass(frozen=True)
class Station:
    """A station of the Japan Pancreas Society.

    Attributes:
        number: its name in reports.
        structure: the guiding structure in whose band it lies (Tab. II).
        low: lowest x, y, z of its region in the atlas, mm from the celiac trunk.
        high: highest likewise.

    """

    number: str
    structure: Structure
    low: Vector3
    high: Vector3


STATIONS: Final = {
    station.number: station
    for station in (
        Station("1", Structure.ESOPHAGUS, (-40, -50, 15), (20, 50, 80)),
        Station("3", Structure.STOMACH, (-35, -60, -20), (30, 20, 45)),
        Station("6", Structure.STOMACH, (-50, -70, -70), (15, 0, -24)),
        Station("7", Structure.LEFT_GASTRIC_ARTERY, (-40, -60, -5), (40, 30, 50)),
        Station("8", Structure.HEPATIC_ARTERY_COMMON_AND_PROPER, (-60, -60, -20), (5, 20, 45)),
        Station("9", Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY, (-22, -45, -15), (22, 20, 30)),
        Station("10", Structure.SPLEEN, (22, -30, -50), (80, 60, 60)),
        Station("11", Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY, (4, -45, -15), (70, 50, 35)),
        Station("12", Structure.DUODENUM, (-60, -60, -16), (-5, 15, 30)),
        Station("13", Structure.DUODENUM, (-75, -22, -95), (5, 30, -8)),
        Station("14", Structure.SUPERIOR_MESENTERIC_ARTERY, (-30, -60, -110), (35, 10, -8)),
        Station("16", Structure.AORTA, (-35, -6, -110), (40, 50, 25)),
        Station("17", Structure.DUODENUM, (-75, -70, -95), (5, -16, -8)),
        Station("18", Structure.PANCREAS, (-5, -60, -60), (65, 30, -5)),
    )
}

_HEAD: Final = {
    "13": 0.25, "17": 0.15, "8": 0.15, "14": 0.15, "12": 0.10,
    "16": 0.06, "6": 0.05, "9": 0.04, "18": 0.03, "11": 0.02,
}  # fmt: skip
_BODY_AND_TAIL: Final = {
    "11": 0.30, "18": 0.15, "9": 0.12, "8": 0.12, "10": 0.10,
    "7": 0.06, "14": 0.05, "16": 0.04, "3": 0.04, "1": 0.02,
}  # fmt: skip
SHARES: Final[dict[TumorSite, dict[str, float]]] = {"head/uncinate": _HEAD, "body/tail": _BODY_AND_TAIL}
"""How often nodes lie at each station, by the site of the tumor. Not stated in the paper."""


def draw_station(rng: np.random.Generator, site: TumorSite) -> Station:
    """Draw a station by the site of the tumor."""
    shares = SHARES[site]
    return STATIONS[list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]]
