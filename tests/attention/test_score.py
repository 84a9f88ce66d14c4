"""Eq. 1 and Eq. 2 with numbers worked out by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.score import attention_score, combine
from lymphct.core.terms import Structure


@pytest.mark.parametrize("structure", list(PAPER_BANDS))
def test_the_score_rises_and_falls_over_three_millimetres(structure: Structure) -> None:
    low, high = PAPER_BANDS[structure]
    distances = np.array([low - 3, low - 1.5, low, high, high + 1.5, high + 3], dtype=np.float32)
    assert_allclose(attention_score(distances, PAPER_BANDS[structure]), [0, 0.5, 1, 1, 0.5, 0], atol=1e-6)


def test_beyond_the_ramps_the_score_stays_zero() -> None:
    distances = np.array([-np.inf, -80.0, 90.0, np.inf], dtype=np.float32)
    assert attention_score(distances, Band(-5.0, 20.0)).tolist() == [0.0, 0.0, 0.0, 0.0]


def test_a_wider_border_makes_a_gentler_ramp() -> None:
    assert_allclose(attention_score(np.array([22.0], dtype=np.float32), Band(0.0, 20.0), border=8.0), [0.75])


def test_single_precision_distances_give_single_precision_scores() -> None:
    assert attention_score(np.zeros(2, dtype=np.float32), Band(0.0, 16.0)).dtype == np.float32


def test_inside_a_structure_only_its_own_map_counts() -> None:
    scores = {1: np.array([0.2, 0.2]), 2: np.array([0.9, 0.9])}
    assert_allclose(combine(scores, np.array([1, 0])), [0.2, 0.9])


def test_outside_all_structures_the_largest_map_counts() -> None:
    scores = {1: np.array([0.2, 0.7]), 2: np.array([0.9, 0.1])}
    assert_allclose(combine(scores, np.array([0, 0])), [0.9, 0.7])


def test_without_any_structure_there_is_no_attention() -> None:
    assert combine({}, np.array([0, 3])).tolist() == [0.0, 0.0]
