import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.core.geometry import Geometry
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.distance import signed_distance
from lymphct.nodes.proximity import find_surroundings


@pytest.fixture
def organs(grid: Geometry) -> Volume:
    """Boxes of random place and size, without the left gastric artery, and a liver that guides nothing."""
    rng = np.random.default_rng(3)
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[5:30, 4:20, 3:9] = Structure.LIVER
    for structure in GUIDING_STRUCTURES:
        if structure is not Structure.LEFT_GASTRIC_ARTERY:
            start = rng.integers(0, np.array(grid.shape) - 8)
            box = tuple(slice(s, s + int(rng.integers(2, 8))) for s in start)
            array[box] = structure
    array[0:20, 0:20, 12:24] = Structure.STOMACH  # deeper than the first search reaches
    return Volume(array=array, geometry=grid)


def test_distances_at_points_are_those_of_the_whole_volume(organs: Volume) -> None:
    rng = np.random.default_rng(4)
    voxels = rng.integers(0, organs.geometry.shape, size=(40, 3))
    voxels[0] = (10, 10, 18)
    around = find_surroundings(organs, organs.geometry.world(voxels))
    for column, structure in enumerate(GUIDING_STRUCTURES):
        whole = signed_distance(organs.array == structure, organs.geometry.spacing)
        assert_allclose(around.distances[:, column], whole[tuple(voxels.T)], rtol=1e-5, atol=1e-5)


def test_an_absent_structure_is_infinitely_far(organs: Volume) -> None:
    around = find_surroundings(organs, np.zeros((1, 3)))
    assert around.distances[0, Structure.LEFT_GASTRIC_ARTERY - 1] == np.inf
    assert Structure.LEFT_GASTRIC_ARTERY not in around.extents
    assert Structure.LIVER not in around.extents


def test_extents_are_world_positions(organs: Volume) -> None:
    inside = organs.geometry.world(np.argwhere(organs.array == Structure.STOMACH))
    extent = find_surroundings(organs, np.zeros((0, 3))).extents[Structure.STOMACH]
    assert_allclose(extent.center, inside.mean(axis=0), atol=1e-6)
    assert_allclose(extent.low, inside.min(axis=0), atol=1e-6)
    assert_allclose(extent.high, inside.max(axis=0), atol=1e-6)


def test_an_image_full_of_one_structure_has_no_border() -> None:
    grid = Geometry(shape=(4, 4, 4), spacing=(0.68, 0.68, 0.8))
    full = Volume(array=np.full(grid.shape, Structure.SPLEEN, dtype=np.uint8), geometry=grid)
    around = find_surroundings(full, grid.world([[2, 2, 2]]))
    assert around.distances[0, Structure.SPLEEN - 1] == -np.inf
    assert np.isposinf(around.distances[0, 1:]).all()
