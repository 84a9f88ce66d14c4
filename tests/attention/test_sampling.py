"""Voxels that teach where lymph nodes lie: every node weighs the same, and chance has no part in it."""

from itertools import pairwise

import numpy as np
import pytest

from lymphct.attention import sampling
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume

Drawn = tuple[Volume, Volume | None, Volume]
SHAPE = (60, 3, 3)


def slab(*nodes: slice, unknown: slice = slice(0), spacing: float = 1.0) -> Drawn:
    """Spleen in voxels 0 to 9 of a bar, nodes where told, -1 where nobody looked."""
    grid = Geometry(shape=SHAPE, spacing=(spacing, 2.0, 2.0))
    labels, mask = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.int32)
    labels[:10] = Structure.SPLEEN
    mask[unknown] = -1
    for number, node in enumerate(nodes, start=1):
        mask[node, 1, 1] = number
    return Volume(array=labels, geometry=grid), None, Volume(array=mask, geometry=grid)


def test_every_node_weighs_the_same_whatever_its_size() -> None:
    # Nine voxels of one node against one voxel of another: of equal weight, they are equally likely places.
    places, weights = sampling._node_voxels(slab(slice(12, 21), slice(40, 41))[2].array)
    assert len(places) == 10
    assert weights.sum() == pytest.approx(2.0)
    assert weights.max() == 1.0
    many = sampling._node_voxels(np.ones((40, 40, 40), np.int32))
    assert 32 <= len(many[0]) <= sampling.OF_A_NODE
    assert many[1].sum() == pytest.approx(1.0)


def test_where_nobody_looked_is_neither_node_nor_background() -> None:
    plain = slab(slice(15, 18))
    sample, half = (sampling.sample(*slab(slice(15, 18), unknown=u)) for u in (slice(0), slice(30, 60)))
    assert len(sample.distances) - len(half.distances) == np.sum(np.arange(30, 45) < 45) * 9
    assert half.is_node.sum() == sample.is_node.sum() == 3
    assert half.weights[~half.is_node].sum() == pytest.approx(1.0)
    assert plain[2].array.min() == 0


def test_places_are_spread_evenly_and_never_by_chance() -> None:
    assert sampling._spread(5, 10).tolist() == [0, 1, 2, 3, 4]
    found = sampling._spread(100_000, 1000)
    assert len(found) == 1000
    assert max(high - low for low, high in pairwise(found.tolist())) < 300
    assert found.tolist() == sampling._spread(100_000, 1000).tolist()
