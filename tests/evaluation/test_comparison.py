import numpy as np
import pytest

from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.classification import auc, balanced_accuracy
from lymphct.evaluation.comparison import PatientScores, compare_methods, method_intervals, paired
from lymphct.evaluation.statistics import delong, holm


def method(seed: int, strength: float, *, n: int = 60, reverse: bool = False) -> PatientScores:
    labels = np.arange(n) % 2
    scores = strength * labels + np.random.default_rng(seed).normal(size=n)
    rows = np.arange(n)[::-1] if reverse else np.arange(n)
    called = (scores > strength / 2).astype(int)
    return PatientScores(
        [f"case{row}" for row in rows], labels[rows].tolist(), scores[rows].tolist(), called[rows].tolist()
    )


def three_methods() -> dict[str, PatientScores]:
    return {"ours": method(1, 2.0), "weak": method(2, 0.3, reverse=True), "fair": method(3, 1.5)}


def test_each_other_method_is_compared_with_the_reference_on_aligned_patients() -> None:
    methods = three_methods()
    results = compare_methods(methods, "ours", np.random.default_rng(0), n=200)
    assert [result.other for result in results] == ["weak", "fair"]
    aligned = method(2, 0.3)  # the weak method's scores in the order of ours
    expected = delong(methods["ours"].labels, methods["ours"].scores, aligned.scores)
    assert results[0].scores.auc.difference == pytest.approx(expected.difference)
    assert results[0].scores.auc.p == pytest.approx(expected.p)
    assert results[0].calls.balanced_accuracy.interval.estimate == pytest.approx(
        balanced_accuracy(methods["ours"].labels, methods["ours"].called)
        - balanced_accuracy(aligned.labels, aligned.called)
    )
    assert results[0].calls.mcnemar.only_first > results[0].calls.mcnemar.only_second
    assert results[0].calls.permutation_p < 0.05
    assert results[0].calls.paper_wilcoxon.warning


def test_p_values_are_corrected_for_the_number_of_methods() -> None:
    results = compare_methods(three_methods(), "ours", np.random.default_rng(0), n=100)
    assert [result.scores.p_holm for result in results] == list(
        holm([result.scores.auc.p for result in results])
    )
    by_bootstrap = holm([result.calls.balanced_accuracy.p for result in results])
    assert [result.calls.p_holm for result in results] == list(by_bootstrap)


def test_intervals_hold_the_five_figures_of_a_method() -> None:
    ours = method(1, 2.0)
    figures = method_intervals(ours, np.random.default_rng(0), n=100)
    assert figures.auc.estimate == auc(ours.labels, ours.scores)
    assert figures.calls.balanced_accuracy.estimate == pytest.approx(
        (figures.calls.sensitivity.estimate + figures.calls.specificity.estimate) / 2
    )
    for interval in (
        figures.auc,
        figures.calls.accuracy,
        figures.calls.sensitivity,
        figures.calls.specificity,
    ):
        assert interval.low < interval.estimate < interval.high
        assert interval.undefined == 0


def test_methods_tested_on_different_patients_are_not_compared() -> None:
    methods = {"ours": method(1, 1.0), "other": method(2, 1.0, n=58)}
    with pytest.raises(InputError, match=r"ours \(60 patients\) and other \(58\).*2 differ: case58, case59"):
        compare_methods(methods, "ours", np.random.default_rng(0), n=10)


def test_methods_that_disagree_about_the_truth_are_not_compared() -> None:
    ours = method(1, 1.0)
    flipped = [1 - ours.labels[0], *ours.labels[1:]]
    other = PatientScores(ours.patients, flipped, ours.scores, ours.called)
    with pytest.raises(InputError, match=r"disagree about the truth of 1 patients: \['case0'\]"):
        paired({"ours": ours, "other": other}, "ours", "other")


def test_a_missing_or_lonely_reference_is_refused() -> None:
    methods = three_methods()
    with pytest.raises(UsageError, match="'best' cannot be compared"):
        compare_methods(methods, "best", np.random.default_rng(0))
    with pytest.raises(UsageError, match="'ours' cannot be compared"):
        compare_methods({"ours": methods["ours"]}, "ours", np.random.default_rng(0))


def test_answers_that_do_not_fit_the_patients_are_refused() -> None:
    with pytest.raises(InputError, match="2 patients, 2 labels, 1 scores and 2 calls do not fit"):
        PatientScores(["a", "b"], [0, 1], [0.5], [0, 1])
    with pytest.raises(InputError, match="patients listed more than once: a"):
        PatientScores(["a", "a"], [0, 1], [0.5, 0.6], [0, 1])
