import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.net_benefit import THRESHOLDS, net_benefit

LABELS = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
RISKS = [0.9, 0.6, 0.2, 0.8, 0.3, 0.25, 0.2, 0.1, 0.1, 0.05]


def test_the_net_benefit_by_hand() -> None:
    curve = net_benefit(LABELS, RISKS, [0.2, 0.5, 0.75])
    # At 0.2: 3 found, 4 treated in vain, odds 1/4. At 0.5: 2 found, 1 in vain, odds 1. At 0.75: 1, 1, odds 3.
    assert curve.model == pytest.approx([(3 - 4 / 4) / 10, (2 - 1) / 10, (1 - 3) / 10])
    assert curve.treat_all == pytest.approx([0.3 - 0.7 / 4, 0.3 - 0.7, 0.3 - 0.7 * 3])


def test_a_threshold_below_every_risk_treats_everybody() -> None:
    curve = net_benefit(LABELS, RISKS, [0.01, 0.05])
    assert curve.model == pytest.approx(curve.treat_all)


def test_thresholds_run_from_1_to_99_percent() -> None:
    assert (THRESHOLDS[0], THRESHOLDS[-1], len(THRESHOLDS)) == (0.01, 0.99, 99)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_no_model_is_worth_more_than_the_prevalence(rows: list[tuple[int, float]]) -> None:
    labels, risks = zip(*rows, strict=True)
    curve = net_benefit(labels, risks)
    assert (curve.model <= np.mean(labels) + 1e-12).all()
    perfect = net_benefit(labels, [float(label) for label in labels])
    assert perfect.model == pytest.approx(np.full(99, np.mean(labels)))


def test_what_is_no_probability_or_threshold_is_refused() -> None:
    with pytest.raises(InputError, match="values from 0 to 2 are no probabilities"):
        net_benefit([0, 1], [0.0, 2.0])
    for bad in ([0.0], [1.0], []):
        with pytest.raises(UsageError, match="thresholds above 0 and below 1"):
            net_benefit([0, 1], [0.0, 0.5], bad)
