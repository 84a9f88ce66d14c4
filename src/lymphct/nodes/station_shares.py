"""How probable each station of a node is: in how many of its possible surroundings the rules name it.

Ours (decision 0053): a structure's border is known to a few millimetres, and so are the planes between
stations. The rules of `nodes.stations` are asked again for surroundings that differ by as much.
"""

from collections import Counter
from functools import cache
from typing import Final

import numpy as np
from scipy.special import ndtri

from lymphct.core.arrays import DoubleArray, Vector3
from lymphct.core.terms import GUIDING_STRUCTURES
from lymphct.nodes.stations import Extents, guess_station

UNCERTAINTY: Final = 3.0
"""mm, standard deviation of each distance and of each coordinate between planes: the width over which the
attention map falls at a border."""
VARIATIONS: Final = 256
"""Surroundings that are tried for each node."""

StationShares = tuple[tuple[str, float], ...]
"""Stations with their probabilities, which sum to 1; the most probable first, of equal ones the guess."""


def station_shares(
    center: Vector3, distances: DoubleArray, extents: Extents, uncertainty: float = UNCERTAINTY
) -> StationShares:
    """Return the probability of each station of a node; nothing when no guiding structure is present.

    Every distance and the center's place between the planes vary on their own, normally distributed around
    what was measured. The same numbers are taken for every node: equal nodes get equal probabilities.

    Args:
        center: LPS+ mm.
        distances: (10,) signed distances to the guiding structures, mm; +inf where one is absent.
        extents: where the structures lie.
        uncertainty: standard deviation, mm, from 0.

    """
    guess = guess_station(center, distances, extents)
    if not guess:
        return ()
    votes: Counter[str] = Counter()
    for shift in (uncertainty * _variations()).tolist():
        x, y, z = (place + moved for place, moved in zip(center, shift[:3], strict=True))
        votes[guess_station((x, y, z), distances + np.asarray(shift[3:]), extents)] += 1
    # The guess stands first among equals, the others in the order of their names.
    order = sorted(votes, key=lambda station: (-votes[station], station != guess, station))
    return tuple((station, votes[station] / VARIATIONS) for station in order)


@cache
def _variations() -> DoubleArray:
    """Return evenly spread standard normal numbers (variations, 3 coordinates and 10 distances)."""
    dimensions = 3 + len(GUIDING_STRUCTURES)
    # Multiples of powers of one irrational number fill a cube evenly: the root of x^(d + 1) = x + 1, which is
    # the golden ratio for d = 1, is the best one.
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1)
    points = (0.5 + np.arange(1, VARIATIONS // 2 + 1)[:, None] * steps) % 1.0
    # Half of them are mirror images, so that no direction is preferred.
    numbers: DoubleArray = ndtri(points)
    return np.concatenate([numbers, -numbers])
