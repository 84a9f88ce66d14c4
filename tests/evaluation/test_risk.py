import numpy as np
import pytest

from lymphct.evaluation.risk import QUANTILES, risk_distributions


def test_quantiles_and_bins_of_each_outcome() -> None:
    labels = [0, 0, 0, 0, 0, 1, 1]
    scores = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0]
    negatives, positives = risk_distributions(labels, scores)
    assert (negatives.patients, positives.patients) == (5, 2)
    assert dict(zip(QUANTILES, negatives.quantiles.tolist(), strict=True)) == pytest.approx(
        {0.0: 0.0, 0.05: 0.02, 0.25: 0.1, 0.5: 0.2, 0.75: 0.3, 0.95: 0.38, 1.0: 0.4}
    )
    assert positives.mean == pytest.approx(0.75)
    assert positives.counts.tolist() == [0] * 10 + [1] + [0] * 8 + [1]  # 1.0 lies in the last bin
    assert negatives.counts.sum() == 5
    assert np.array_equal(negatives.edges, positives.edges)


def test_scores_beyond_the_limits_are_counted_at_the_ends() -> None:
    negatives, positives = risk_distributions([0, 1], [-5.0, 900.0], limits=(0.0, 10.0))
    assert negatives.counts[0] == 1
    assert positives.counts[-1] == 1


def test_an_outcome_without_patients_and_equal_scores_have_a_distribution() -> None:
    negatives, positives = risk_distributions([1, 1], [3.0, 3.0], limits=(3.0, 3.0))
    assert negatives.patients == 0
    assert np.isnan(negatives.mean)
    assert np.isnan(negatives.quantiles).all()
    assert positives.counts.sum() == 2
