import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

from lymphct.core.errors import InputError
from lymphct.evaluation.status import Scale, StatusColumns, scores_are_probabilities, status_figures

NAN = float("nan")


def columns(n: int = 80) -> StatusColumns:
    rng = np.random.default_rng(4)
    labels = (np.arange(n) % 2).astype(int)
    scores = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * labels - 0.7)))
    return StatusColumns(labels, scores, (scores > 0.5).astype(float))


def test_the_figures_are_those_of_scikit_learn() -> None:
    group = columns()
    found = status_figures(group, np.random.default_rng(0), as_probabilities=True, n=50)
    assert found.discrimination is not None
    assert found.calls is not None
    assert found.discrimination.auc == pytest.approx(roc_auc_score(group.labels, group.scores), abs=1e-12)
    assert found.calls.balanced_accuracy.estimate == pytest.approx(
        balanced_accuracy_score(group.labels, group.calls)
    )
    assert found.calls.sensitivity.estimate == pytest.approx(recall_score(group.labels, group.calls))
    assert found.calls.specificity.estimate == pytest.approx(recall_score(1 - group.labels, 1 - group.calls))
    assert found.discrimination.delong is not None
    low, high = found.discrimination.delong.interval
    assert low < found.discrimination.auc < high
    assert found.discrimination.bootstrap.low < found.discrimination.auc < found.discrimination.bootstrap.high


def test_patients_without_score_or_call_are_left_out_of_what_needs_it() -> None:
    group = columns()
    scores, calls = group.scores.copy(), group.calls.copy()
    scores[:5], calls[3:11] = NAN, NAN
    found = status_figures(
        StatusColumns(group.labels, scores, calls), np.random.default_rng(0), as_probabilities=True, n=20
    )
    assert (found.patients, found.scored, found.called) == (80, 75, 72)
    assert found.discrimination is not None
    assert found.discrimination.auc == pytest.approx(roc_auc_score(group.labels[5:], group.scores[5:]))
    assert found.calls is not None
    kept = ~np.isnan(calls)
    assert found.calls.balanced_accuracy.estimate == pytest.approx(
        balanced_accuracy_score(group.labels[kept], calls[kept])
    )


def test_a_group_of_one_class_has_the_figures_it_can_have() -> None:
    group = columns().rows(columns().labels == 1)
    found = status_figures(group, np.random.default_rng(0), as_probabilities=True, n=20)
    assert found.discrimination is not None
    assert np.isnan(found.discrimination.auc)
    assert (found.discrimination.delong, found.discrimination.curve) == (None, None)
    assert (found.calibration, found.curve, found.net_benefit) == (None, None, None)
    assert found.calls is not None
    assert np.isnan(found.calls.specificity.estimate)
    assert found.calls.specificity.undefined == 20
    assert 0 < found.calls.sensitivity.estimate < 1


def test_calls_without_scores_and_scores_without_calls_are_judged_alone() -> None:
    group = columns()
    nothing = np.full(80, NAN)
    by_calls = status_figures(
        StatusColumns(group.labels, nothing, group.calls),
        np.random.default_rng(0),
        as_probabilities=False,
        n=10,
    )
    assert (by_calls.discrimination, by_calls.risk) == (None, None)
    assert by_calls.calls is not None
    by_scores = status_figures(
        StatusColumns(group.labels, group.scores, nothing),
        np.random.default_rng(0),
        as_probabilities=False,
        n=10,
    )
    assert by_scores.calls is None
    assert by_scores.calibration is None
    assert by_scores.risk is not None


@pytest.mark.parametrize(
    ("scores", "scale", "expected"),
    [
        ([0.1, 0.5, 0.9], "auto", True),
        ([0.1, NAN, 1.9], "auto", False),
        ([0.0, 1.0, 1.0], "auto", False),  # two values: calls
        ([0.0, 1.0, 1.0], "probability", True),
        ([0.1, 0.5, 0.9], "other", False),
        ([NAN, NAN], "auto", False),
    ],
)
def test_probabilities_are_told_from_other_scores(
    scores: list[float], scale: Scale, expected: object
) -> None:
    assert scores_are_probabilities(np.array(scores), scale) is expected


def test_scores_said_to_be_probabilities_must_be_some() -> None:
    with pytest.raises(InputError, match=r"scores from -3 to 0\.5 are no probabilities"):
        scores_are_probabilities(np.array([-3.0, 0.5]), "probability")


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(InputError, match="2 labels, 3 scores and 2 calls do not fit"):
        StatusColumns(np.zeros(2, dtype=int), np.zeros(3), np.zeros(2))
