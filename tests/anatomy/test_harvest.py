"""What of a network's tumor may teach: sure voxels of one component of a size that can be."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.anatomy.harvest import harvested, surest
from lymphct.anatomy.settings import TumorHarvestSettings, TumorSettings
from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume

SETTINGS = TumorHarvestSettings(confidence=0.7, least_volume=20, largest_volume=1000)


def told(row: AnyArray | list[float], spacing: float = 2.0) -> Volume:
    array = np.array([[row]], dtype=np.float32)
    return Volume(array=array, geometry=Geometry(shape=array.shape, spacing=(spacing,) * 3))


def test_unsure_voxels_and_small_components_teach_nothing() -> None:
    found = harvested(told([0.1, 0.4, 0.6, 0.9, 0.8, 0.1, 0.95, 0.2]), TumorSettings(), SETTINGS)
    # 0.4 and 0.6 are not sure enough to be either; the lone 0.95 is the smaller component.
    assert found.labels.array.ravel().tolist() == [0, 255, 255, 1, 1, 0, 255, 0]
    assert found.refused == ""
    assert found.volume == 3 * 8.0
    assert found.confidence == pytest.approx((0.6 + 0.9 + 0.8) / 3)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.1, 0.2, 0.3], "no tumor was found"),
        ([0.1, 0.9, 0.9], "a tumor of 16 mm³ is too small (limit 20)"),
        ([0.9] * 200, "a tumor of 1600 mm³ is too large (limit 1000)"),
        ([0.6] * 4, "no voxel of it is sure enough"),
    ],
)
def test_a_tumor_that_cannot_be_is_refused_with_the_measured_value(row: list[float], words: str) -> None:
    assert harvested(told(row), TumorSettings(), SETTINGS).refused == words


def test_a_tumor_away_from_the_pancreas_teaches_nothing() -> None:
    row = [0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.1]
    pancreas = np.zeros(13)
    pancreas[12] = 1
    probability = told(row)
    found = harvested(probability, TumorSettings(), SETTINGS, probability.with_array(pancreas[None, None]))
    # The larger component begins 16 mm from the pancreas, the smaller one ends 2 mm from it.
    assert found.labels.array.ravel().tolist() == [255] * 5 + [0] * 4 + [1] * 3 + [0]
    elsewhere = told(row[:5] + [0.1] * 8)
    lost = harvested(elsewhere, TumorSettings(), SETTINGS, elsewhere.with_array(pancreas[None, None]))
    assert lost.refused == "no tumor was found"
    unknown = harvested(probability, TumorSettings(), SETTINGS, probability.with_array(np.zeros((1, 1, 13))))
    assert unknown.labels.array.ravel().tolist() == [1] * 5 + [0] * 4 + [255] * 3 + [0]


def test_without_a_limit_every_voxel_speaks() -> None:
    trusting = TumorHarvestSettings(confidence=0, least_volume=0)
    found = harvested(told([0.45, 0.55, 0.9]), TumorSettings(), trusting)
    assert_array_equal(found.labels.array.ravel(), [0, 1, 1])


@pytest.mark.parametrize(("share", "kept"), [(1.0, "abcd"), (0.75, "abd"), (0.1, "b")])
def test_the_surest_patients_teach_in_their_order(share: float, kept: str) -> None:
    assert surest({"a": 0.8, "b": 0.9, "c": 0.7, "d": 0.8}, share) == tuple(kept)


def test_of_equally_sure_ones_the_choice_is_that_of_their_names() -> None:
    assert surest({"b": 0.8, "a": 0.8, "c": 0.8}, 0.5) == ("b", "a")
