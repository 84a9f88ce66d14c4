"""How probable each station is: shares of the surroundings that are as likely as the measured one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume
from lymphct.nodes.measurement import measure_nodes
from lymphct.nodes.proximity import Extent
from lymphct.nodes.station_shares import UNCERTAINTY, VARIATIONS, station_shares

AORTA = Extent(center=(0, 10, 0), low=(-9, 1, -80), high=(9, 19, 80))
ARTERY = Extent(center=(0, -15, -50), low=(-5, -22, -90), high=(5, -8, -10))
CELIAC = Extent(center=(35, 5, 0), low=(-3, -12, -10), high=(70, 30, 10))
GRID = Geometry(shape=(40, 40, 30), spacing=(2.0, 2.0, 2.5))


def at(**close: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Distances to the named structures; the others are absent."""
    distances = np.full(len(GUIDING_STRUCTURES), np.inf)
    for name, distance in close.items():
        distances[Structure[name.upper()] - 1] = distance
    return distances


def between(aorta: float, artery: float) -> dict[str, float]:
    distances = at(aorta=aorta, superior_mesenteric_artery=artery)
    extents = {Structure.AORTA: AORTA, Structure.SUPERIOR_MESENTERIC_ARTERY: ARTERY}
    return dict(station_shares((0.0, 0.0, -40.0), distances, extents))


def test_between_two_structures_the_share_is_the_one_of_the_normal_distribution() -> None:
    # The difference of two distances varies by √2 of each: P(16) = Φ(3 / (√2 · 3)) = Φ(0.7071) = 0.7602.
    shares = between(aorta=5.0, artery=8.0)
    assert list(shares) == ["16", "14"]
    assert shares["16"] == pytest.approx(norm.cdf(3.0 / (np.sqrt(2) * UNCERTAINTY)), abs=0.03)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_equal_distances_give_equal_shares_and_the_guess_stands_first() -> None:
    shares = between(aorta=6.0, artery=6.0)
    assert list(shares) == ["16", "14"]  # the rules take the structure with the smaller number
    assert shares["16"] == pytest.approx(0.5, abs=0.03)


def test_far_from_every_other_structure_a_station_is_certain() -> None:
    assert between(aorta=2.0, artery=40.0) == {"16": 1.0}


def test_a_plane_between_two_stations_is_as_uncertain_as_a_border() -> None:
    distances = at(celiac_trunk_and_splenic_artery=3.0)
    extents = {Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: CELIAC, Structure.AORTA: AORTA}
    # 9 ends 10 mm to the left of the aorta's axis; the node lies 2 mm before that.
    shares = dict(station_shares((8.0, 0.0, 0.0), distances, extents))
    assert shares["9"] == pytest.approx(norm.cdf(2.0 / UNCERTAINTY), abs=0.03)
    assert set(shares) == {"9", "11"}


def test_without_uncertainty_the_guess_is_certain() -> None:
    distances = at(aorta=5.0, superior_mesenteric_artery=5.1)
    extents = {Structure.AORTA: AORTA, Structure.SUPERIOR_MESENTERIC_ARTERY: ARTERY}
    assert station_shares((0.0, 0.0, 0.0), distances, extents, 0.0) == (("16", 1.0),)


def test_the_same_node_gets_the_same_shares_again() -> None:
    assert between(4.0, 6.0) == between(4.0, 6.0)
    assert all((share * VARIATIONS).is_integer() for share in between(4.0, 6.0).values())


def test_without_any_guiding_structure_there_is_no_share() -> None:
    assert station_shares((0.0, 0.0, 0.0), at(), {}) == ()


def patient(count: int, *, with_structures: bool = True) -> tuple[NodeMap, Multiphase, Volume]:
    """A venous phase alone, a pancreas and an aorta, and nodes of one voxel in rows between them."""
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    if with_structures:
        labels[5:30, 5:10, 10:20] = Structure.PANCREAS
        labels[15:20, 30:35] = Structure.AORTA
    instances = np.zeros(GRID.shape, dtype=np.int32)
    nodes = []
    for number in range(count):
        place = (2 + 3 * (number % 12), 14 + 3 * (number // 12), 15)
        instances[place] = number + 1
        nodes.append(Node(label=number + 1, volume=10.0, center=(0.0, 0.0, 0.0)))
    ct = Multiphase(venous=Volume(array=np.zeros(GRID.shape, dtype=np.float32), geometry=GRID))
    records = NodeMap(instances=Volume(array=instances, geometry=GRID), nodes=tuple(nodes))
    return records, ct, Volume(array=labels, geometry=GRID)


def test_sixty_nodes_without_an_arterial_phase_each_have_their_stations() -> None:
    measured = measure_nodes(*patient(60)).nodes
    assert len(measured) == 60
    for node in measured:
        assert node.hu_arterial is None
        assert node.station in dict(node.station_shares)
        assert sum(share for _, share in node.station_shares) == pytest.approx(1.0)
        assert node.station_probability == dict(node.station_shares)[node.station]
    assert {node.station for node in measured} == {"13", "16", "18"}


def test_without_structures_a_node_has_neither_station_nor_probability() -> None:
    node = measure_nodes(*patient(1, with_structures=False)).nodes[0]
    assert (node.station, node.station_shares, node.station_probability) == ("", (), None)


def test_a_patient_without_nodes_stays_without() -> None:
    assert measure_nodes(*patient(0)).nodes == ()


def test_a_station_that_somebody_said_has_no_probability() -> None:
    nodes, ct, structures = patient(1)
    told = replace(nodes, nodes=(replace(nodes.nodes[0], station="8a"),))
    node = measure_nodes(told, ct, structures).nodes[0]
    assert (node.station, node.station_shares, node.station_probability) == ("8a", (), None)
    assert node.nearest_structure is not None
