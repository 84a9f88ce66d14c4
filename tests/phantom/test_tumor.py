import numpy as np
from numpy.testing import assert_allclose

from lymphct.phantom.tumor import DIAMETER_LIMITS, draw_tumor


def test_tumors_follow_the_drawn_distributions() -> None:
    rng = np.random.default_rng(0)
    tumors = [
        draw_tumor(rng, is_positive=i % 2 == 0, head_share=0.63, texture_shift=0.28) for i in range(3000)
    ]
    assert_allclose(np.mean([t.site == "head/uncinate" for t in tumors]), 0.63, atol=0.03)
    diameters = np.array([t.diameter for t in tumors])
    assert_allclose(np.median(diameters), 30, rtol=0.05)
    assert diameters.min() >= DIAMETER_LIMITS[0]
    assert diameters.max() <= DIAMETER_LIMITS[1]
    latent = np.array([t.texture for t in tumors])
    assert_allclose([latent[::2].mean(), latent[1::2].mean()], [0.28, -0.28], atol=0.08)
    assert_allclose(latent[::2].std(), 1.0, atol=0.06)


def test_the_latent_separates_the_classes_at_an_auc_of_065() -> None:
    rng = np.random.default_rng(1)
    drawn = {
        positive: np.array(
            [
                draw_tumor(rng, is_positive=positive, head_share=0.63, texture_shift=0.28).texture
                for _ in range(1500)
            ]
        )
        for positive in (True, False)
    }
    auc = (drawn[True][:, None] > drawn[False][None, :]).mean()
    assert_allclose(auc, 0.654, atol=0.03)


def test_tumors_lie_in_the_part_of_the_pancreas_they_are_named_after() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        tumor = draw_tumor(rng, is_positive=True, head_share=0.5, texture_shift=0.28)
        if tumor.site == "head/uncinate":
            assert tumor.body.center[0] < -10
        else:
            assert tumor.body.center[0] > 2


def test_a_higher_latent_means_a_coarser_pattern() -> None:
    rng = np.random.default_rng(3)
    tumors = [draw_tumor(rng, is_positive=True, head_share=0.5, texture_shift=0.0) for _ in range(200)]
    strength = [np.sqrt((t.pattern.amplitudes**2).sum()) for t in tumors]
    assert np.corrcoef([t.texture for t in tumors], np.log(strength))[0, 1] > 0.9
