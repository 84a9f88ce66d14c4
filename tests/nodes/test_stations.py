import numpy as np
import pytest

from lymphct.core.arrays import DoubleArray, Vector3
from lymphct.core.terms import GUIDING_STRUCTURES, STATIONS, Structure
from lymphct.nodes.proximity import Extent
from lymphct.nodes.stations import guess_station, nearest_structure

# The frame of the phantoms: mm from the celiac origin, x left, y posterior, z cranial.
EXTENTS = {
    Structure.SPLEEN: Extent(center=(72, 47, -8), low=(45, 15, -60), high=(100, 80, 45)),
    Structure.ESOPHAGUS: Extent(center=(2, 10, 53), low=(-6, 0, 30), high=(12, 20, 75)),
    Structure.STOMACH: Extent(center=(22, -30, -2), low=(-35, -60, -50), high=(75, 10, 45)),
    Structure.AORTA: Extent(center=(-1, 7, 0), low=(-11, -3, -90), high=(9, 17, 75)),
    Structure.PANCREAS: Extent(center=(0, -23, -25), low=(-45, -45, -60), high=(60, 10, 0)),
    Structure.DUODENUM: Extent(center=(-37, -25, -54), low=(-60, -45, -90), high=(5, 0, -15)),
    Structure.SUPERIOR_MESENTERIC_ARTERY: Extent(center=(0, -15, -50), low=(-5, -22, -90), high=(5, -8, -10)),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: Extent(
        center=(35, 5, 0), low=(-3, -12, -10), high=(70, 30, 10)
    ),
    Structure.LEFT_GASTRIC_ARTERY: Extent(center=(5, -12, 15), low=(0, -15, 0), high=(10, -8, 30)),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: Extent(
        center=(-20, -20, -2), low=(-40, -30, -10), high=(0, -10, 10)
    ),
}


def near(**close: float) -> DoubleArray:
    """Distances of 60 mm to every structure but those named."""
    distances = np.full(len(GUIDING_STRUCTURES), 60.0)
    for name, distance in close.items():
        distances[Structure[name.upper()] - 1] = distance
    return distances


@pytest.mark.parametrize(
    ("center", "distances", "station"),
    [
        ((80.0, 30.0, -8.0), near(spleen=4), "10"),
        ((-12.0, 8.0, 50.0), near(esophagus=5), "1"),
        ((14.0, 8.0, 50.0), near(esophagus=5), "2"),
        ((-4.0, -10.0, 35.0), near(stomach=3), "1"),
        ((0.0, -20.0, 10.0), near(stomach=5), "3"),
        ((60.0, -40.0, -30.0), near(stomach=5), "4"),
        ((-30.0, -35.0, -8.0), near(stomach=5), "5"),
        ((-30.0, -35.0, -40.0), near(stomach=5), "6"),
        ((8.0, 20.0, -40.0), near(aorta=5), "16"),
        ((30.0, -20.0, -35.0), near(pancreas=3), "18"),
        ((-25.0, -5.0, -50.0), near(pancreas=3), "13"),
        ((-25.0, -40.0, -50.0), near(pancreas=3), "17"),
        ((-40.0, -10.0, -60.0), near(duodenum=2), "13"),
        ((-40.0, -42.0, -60.0), near(duodenum=2), "17"),
        ((-30.0, -15.0, -12.0), near(duodenum=6, hepatic_artery_common_and_proper=9), "12"),
        ((-30.0, -5.0, -10.0), near(duodenum=12, pancreas=15), "12"),
        ((-15.0, -40.0, -10.0), near(pancreas=8), "12"),
        ((-30.0, -40.0, -10.0), near(duodenum=3, stomach=5), "5"),
        ((-30.0, -40.0, -20.0), near(duodenum=3, stomach=5), "5"),
        ((-30.0, -40.0, -50.0), near(duodenum=3, stomach=5), "6"),
        ((6.0, -18.0, -60.0), near(superior_mesenteric_artery=3), "14"),
        ((8.0, -8.0, 3.0), near(celiac_trunk_and_splenic_artery=3), "9"),
        ((40.0, 8.0, 3.0), near(celiac_trunk_and_splenic_artery=3), "11"),
        ((5.0, -12.0, 20.0), near(left_gastric_artery=1), "7"),
        ((-20.0, -24.0, 0.0), near(hepatic_artery_common_and_proper=2), "8"),
    ],
)
def test_a_node_is_given_the_station_of_its_place(
    center: Vector3, distances: DoubleArray, station: str
) -> None:
    assert guess_station(center, distances, EXTENTS) == station


@pytest.mark.parametrize("structure", GUIDING_STRUCTURES)
def test_a_structure_alone_in_the_image_still_gives_one_of_its_stations(structure: Structure) -> None:
    distances = np.full(len(GUIDING_STRUCTURES), np.inf)
    distances[structure - 1] = 2.0
    allowed = {*STATIONS[structure], *(("13", "17") if structure is Structure.PANCREAS else ())}
    for offset in (-40.0, 0.0, 40.0):
        x, y, z = EXTENTS[structure].center
        center = (x + offset, y + offset, z + offset)
        assert guess_station(center, distances, {structure: EXTENTS[structure]}) in allowed


def test_the_nearest_structure_is_the_one_a_node_lies_in() -> None:
    assert nearest_structure(near(stomach=1, pancreas=-2)) == (Structure.PANCREAS, -2.0)


def test_without_structures_there_is_no_guess() -> None:
    distances = np.full(len(GUIDING_STRUCTURES), np.inf)
    assert nearest_structure(distances) is None
    assert guess_station((0.0, 0.0, 0.0), distances, {}) == ""
