"""The benchmark of intervals simulates what it says."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lymphct.evaluation.crossvalidated import crossvalidated_auc

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks.interval_coverage import FOLDS, MODELS, Models, coverage, plug_in_variance, study


@pytest.mark.parametrize("models", MODELS, ids=lambda models: models.name)
def test_the_truth_is_what_the_estimates_are_worth_on_average(models: Models) -> None:
    labels = np.arange(1500) % 2
    folds = np.arange(1500) // 2 % FOLDS
    apart = []
    for seed in range(30):
        tested, truth = study(models, labels, folds, np.random.default_rng(seed))
        found = crossvalidated_auc(tested)
        apart.append(found.mean - truth)
        assert plug_in_variance(tested) == pytest.approx(found.variance, rel=0.01)
    assert abs(np.mean(apart)) < 3 * np.std(apart) / np.sqrt(30)


def test_the_interval_with_n_minus_1_holds_the_truth_more_often() -> None:
    plug_in, unbiased, logit = coverage(MODELS[2], (120, 56), studies=100, seed=1)
    assert 0.7 < plug_in <= unbiased < 1
    assert 0.7 < logit < 1
