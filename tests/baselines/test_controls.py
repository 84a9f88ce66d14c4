"""Controls: permuted labels tell nothing, a center tells what its patients share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lymphct.baselines.cascade_methods import combined
from lymphct.baselines.controls import CENTER, OnPermutedLabels, fit_center, permuted, permuted_labels
from lymphct.core.errors import InputError, LeakageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical
from lymphct.evaluation.classification import auc
from lymphct.metastasis.settings import MetastasisSettings


def patient(name: str, status: int | None, center: str) -> Evidence:
    return Evidence(
        patient=name,
        patches=None,
        tumor_volume=0.0,
        nodes=(),
        features=np.zeros((0, 7)),
        clinical=Clinical(n_status=status, center=center),
        fitted_on=FittedOn.of(["somebody"]),
    )


def cohort(prefix: str, count: int) -> list[Evidence]:
    """Twelve centers, every patient N+ in the even ones and N- in the odd ones."""
    return [patient(f"{prefix}{n}", n % 2, f"center {n % 12}") for n in range(count)]


def test_a_center_scores_its_frequency_and_an_unknown_one_that_of_all() -> None:
    train = [
        patient(f"t{n}", status, c) for n, (status, c) in enumerate([(1, "a"), (0, "a"), (1, "a"), (0, "b")])
    ]
    judge = fit_center([*train, patient("t9", None, "b")], cohort("v", 4), seed=0).value
    scores = [judge.score(patient("x", None, center)) for center in ("a", "b", "c")]
    assert scores == [pytest.approx(2 / 3), 0.0, 0.5]


def test_the_center_remembers_who_taught_it() -> None:
    fitted = fit_center(cohort("t", 6), cohort("v", 4), seed=0)
    assert fitted.patients == {*(f"t{n}" for n in range(6)), *(f"v{n}" for n in range(4))}
    with pytest.raises(LeakageError, match="were used for fitting"):
        fit_center(cohort("t", 6), cohort("t", 4), seed=0)


def test_a_center_without_a_name_is_not_scored() -> None:
    assert CENTER.lacking(patient("x", 1, "")) == ("center",)
    assert CENTER.lacking(patient("x", 1, "a")) == ()


def test_without_a_status_there_is_no_frequency() -> None:
    with pytest.raises(InputError, match="none of 2 training patients has an N status"):
        fit_center([patient("a", None, "x"), patient("b", None, "x")], cohort("v", 4), seed=0)


def test_permuting_deals_the_same_labels_to_other_patients() -> None:
    patients = [*cohort("t", 40), patient("unknown", None, "a")]
    dealt = permuted(patients, np.random.default_rng(0))
    assert [item.patient for item in dealt] == [item.patient for item in patients]
    before, after = ([item.clinical.n_status for item in group] for group in (patients, dealt))
    assert before != after
    assert Counter(before) == Counter(after)
    assert after[-1] is None
    assert [item.clinical.center for item in dealt] == [item.clinical.center for item in patients]


def test_what_learns_from_permuted_labels_is_at_one_half() -> None:
    """The center tells everything here: its AUC is 1, and 0.5 in the mean of 400 permutations."""
    train, validation, test = cohort("t", 48), cohort("v", 24), cohort("x", 24)
    truth = [int(item.clinical.n_status == 1) for item in test]

    def area(fit: object, seed: int) -> float:
        judge = fit(train, validation, seed=seed).value  # type: ignore[operator]
        return auc(truth, [judge.score(item) for item in test])

    assert area(fit_center, 0) == 1.0
    areas = [area(OnPermutedLabels(fit_center), seed) for seed in range(400)]
    error = np.std(areas) / np.sqrt(len(areas))
    assert error < 0.02
    assert abs(np.mean(areas) - 0.5) < 2 * error


def test_both_groups_are_permuted_and_by_the_seed_alone() -> None:
    seen: list[tuple[list[int | None], ...]] = []

    def fit(train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int):  # type: ignore[no-untyped-def] # noqa: ANN202
        seen.append(tuple([item.clinical.n_status for item in group] for group in (train, validation)))
        return fit_center(train, validation, seed=seed)

    for seed in (0, 0, 1):
        OnPermutedLabels(fit)(cohort("t", 24), cohort("v", 24), seed=seed)
    truth = [item.clinical.n_status for item in cohort("t", 24)]
    assert seen[0] == seen[1] != seen[2]
    assert truth not in seen[0]


def test_the_control_differs_from_the_method_in_name_and_labels_only() -> None:
    control, method = permuted_labels(MetastasisSettings()), combined(MetastasisSettings())
    assert isinstance(control.fit, OnPermutedLabels)
    assert control.fit.fit.__self__ == method.fit.__self__  # type: ignore[attr-defined]
    assert replace(control, name=method.name, fit=method.fit, require=method.require) == method
