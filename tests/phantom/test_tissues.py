import numpy as np
from numpy.testing import assert_allclose

from lymphct.phantom.tissues import MEANS, draw_tissues


def test_every_tissue_is_drawn_and_the_same_draw_gives_the_same_patient() -> None:
    first = draw_tissues(np.random.default_rng(3))
    assert first.keys() == MEANS.keys()
    assert first == draw_tissues(np.random.default_rng(3))
    assert first != draw_tissues(np.random.default_rng(4))


def test_tissues_vary_around_their_means_and_both_phases_together() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_tissues(rng) for _ in range(800)]
    for name, sd in (("artery", (45.0, 20.0)), ("muscle", (4.0, 4.0))):
        values = np.array([patient[name] for patient in drawn])
        assert_allclose(values.mean(axis=0), MEANS[name], atol=6.0)
        assert_allclose(values.std(axis=0), sd, rtol=0.1)
        assert 0.4 < np.corrcoef(values.T)[0, 1] < 0.6


def test_no_tissue_is_further_than_two_and_a_half_deviations_off() -> None:
    rng = np.random.default_rng(1)
    fat = np.array([draw_tissues(rng)["fat"] for _ in range(800)])
    assert np.abs(fat + 100.0).max() <= 2.5 * 6.0 + 1e-9
