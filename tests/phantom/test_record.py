import numpy as np
from numpy.testing import assert_allclose

from lymphct.phantom.record import draw_record


def test_reported_status_has_the_sensitivity_and_specificity_of_radiologists() -> None:
    rng = np.random.default_rng(0)
    called = {
        n: np.mean([draw_record(rng, n_status=n, diameter=30).ct_reported_n for _ in range(4000)])
        for n in (0, 1)
    }
    assert_allclose(called[1], 0.588, atol=0.03)
    assert_allclose(1 - called[0], 0.609, atol=0.03)


def test_the_stage_follows_the_diameter() -> None:
    rng = np.random.default_rng(1)
    for diameter, stage in ((18.0, "T1"), (30.0, "T2"), (45.0, "T3")):
        stages = [draw_record(rng, n_status=0, diameter=diameter).pT for _ in range(50)]
        assert set(stages) <= {stage, "T4"}
        assert stages.count(stage) > 40
