"""Radiomics as a method: what is selected, that a test patient changes nothing, and what the report adds."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from lymphct.baselines.radiomics.judging import RadiomicsModel, fit_radiomics, radiomics_method, selected
from lymphct.baselines.settings import RadiomicsSettings
from lymphct.core.errors import InputError, LeakageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical
from lymphct.evaluation.classification import auc
from lymphct.metastasis.heads import Judge

SETTINGS = RadiomicsSettings(penalties=20)
FEATURES = 60


def patient(number: int, prefix: str = "p", *, signal: float = 1.5) -> Evidence:
    """Patient `number`, N+ where odd: feature 7 tells, feature 8 in other units, the others do not."""
    rng = np.random.default_rng((number, ord(prefix)))
    values = rng.normal(size=FEATURES)
    values[7] += signal * (number % 2)
    values[8] = 1e6 + 2e5 * (rng.normal() - signal * (number % 2))
    return Evidence(
        patient=f"{prefix}{number}",
        patches=None,
        tumor_volume=1.0,
        nodes=(),
        features=np.zeros((0, 7)),
        clinical=Clinical(n_status=number % 2, ct_reported_n=int(rng.random() < 0.2 + 0.6 * (number % 2))),
        fitted_on=FittedOn.of(["somebody"]),
        radiomics={f"f{n}": float(value) for n, value in enumerate(values)},
    )


def cohort(count: int, prefix: str, *, signal: float = 1.5) -> list[Evidence]:
    return [patient(number, prefix, signal=signal) for number in range(count)]


TRAIN, VALIDATION, TEST = cohort(80, "t"), cohort(20, "v"), cohort(100, "x")


def scores_of(judge: Judge, patients: list[Evidence]) -> list[float]:
    scores = [judge.score(item) for item in patients]
    return [score for score in scores if score is not None]


def model_of(judge_score: object) -> RadiomicsModel:
    assert isinstance(judge_score, RadiomicsModel)
    return judge_score


def test_lasso_finds_the_features_that_tell_and_the_scores_separate() -> None:
    judge = fit_radiomics(TRAIN, VALIDATION, seed=0, settings=SETTINGS).value
    model = model_of(judge.score)
    assert {"f7", "f8"} <= set(model.names)
    assert len(model.names) < FEATURES / 2
    weight = dict(zip(model.names, model.weights, strict=True))
    assert weight["f7"] > 0 > weight["f8"]
    assert auc([item.clinical.n_status or 0 for item in TEST], scores_of(judge, TEST)) > 0.85


def test_the_report_adds_to_the_logit_of_those_who_have_it() -> None:
    judge = fit_radiomics(TRAIN, VALIDATION, seed=0, settings=SETTINGS, with_report=True).value
    model = model_of(judge.score)
    assert model.report is not None
    assert model.report > 0.5
    without, reported, unknown = (
        replace(TEST[0], clinical=Clinical(ct_reported_n=value)) for value in (0, 1, None)
    )
    scores = [judge.score(item) for item in (without, reported)]
    logits = [np.log(p / (1 - p)) for p in scores if p is not None]
    assert logits[1] - logits[0] == pytest.approx(model.report)
    assert judge.score(unknown) is None


def test_the_report_helps_where_the_features_tell_nothing() -> None:
    truth = [item.clinical.n_status or 0 for item in TEST]
    parts = [cohort(80, "t", signal=0), cohort(20, "v", signal=0)]
    dull = cohort(100, "x", signal=0)
    areas = []
    for with_report in (False, True):
        judge = fit_radiomics(*parts, seed=0, settings=SETTINGS, with_report=with_report).value
        areas.append(auc(truth, scores_of(judge, dull)))
    assert areas[0] < 0.65
    assert areas[1] > 0.7


def test_features_that_tell_nothing_give_one_half_on_average() -> None:
    """60 features and 40 patients: what was selected on anybody but them would show."""
    areas = []
    for number in range(12):
        parts = [cohort(40, prefix, signal=0) for prefix in (chr(200 + number), chr(300 + number))]
        test = cohort(60, chr(400 + number), signal=0)
        judge = fit_radiomics(*parts, seed=number, settings=SETTINGS).value
        areas.append(auc([item.clinical.n_status or 0 for item in test], scores_of(judge, test)))
    error = float(np.std(areas)) / np.sqrt(len(areas))
    assert error < 0.04
    assert abs(np.mean(areas) - 0.5) < 2 * error


def test_two_methods_of_the_table_differ_in_the_report() -> None:
    alone, both = radiomics_method(SETTINGS), radiomics_method(SETTINGS, with_report=True)
    assert (alone.name, alone.needs) == ("Radiomics", ("radiomics",))
    assert (both.name, both.needs) == (
        "Radiomics + CT-reported LN status",
        ("radiomics", "ct_reported_n"),
    )
    bare = replace(TEST[0], radiomics=None, clinical=Clinical(n_status=0))
    assert both.lacking(bare) == ("radiomics", "ct_reported_n")
    scores = [m.fit(TRAIN, VALIDATION, seed=0).value.score(TEST[1]) for m in (alone, both)]
    assert scores[0] != scores[1]


@pytest.mark.slow
def test_the_folds_and_so_the_scores_depend_on_the_seed_alone() -> None:
    scores = [
        [fit_radiomics(train, VALIDATION, seed=seed, settings=SETTINGS).value.score(item) for item in TEST]
        for train, seed in ((TRAIN, 0), (TRAIN, 0), (TRAIN, 3))
    ]
    assert scores[0] == scores[1]


def test_a_feature_that_is_not_defined_stands_at_its_mean_and_a_constant_one_is_left_out() -> None:
    def with_gaps(item: Evidence, number: int) -> Evidence:
        features = dict(item.radiomics or {}) | {"constant": 3.0, "nowhere": np.nan}
        return replace(item, radiomics=features | ({"f7": np.nan} if number % 5 == 0 else {}))

    train = [with_gaps(item, number) for number, item in enumerate(TRAIN)]
    judge = fit_radiomics(train, VALIDATION, seed=0, settings=SETTINGS).value
    model = model_of(judge.score)
    assert not {"constant", "nowhere"} & set(model.names)
    known = [item.radiomics["f7"] for n, item in enumerate(TRAIN) if n % 5 and item.radiomics]
    place = model.names.index("f7")
    assert model.center[place] == pytest.approx(np.mean(known))
    gap, at_mean = (
        replace(TEST[0], radiomics={**(TEST[0].radiomics or {}), "f7": value})
        for value in (np.nan, float(model.center[place]))
    )
    assert judge.score(gap) == judge.score(at_mean)


def test_where_nothing_is_selected_everybody_has_the_share_of_n_plus(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flat = [replace(item, radiomics={"f0": 1.0}) for item in TRAIN[:30]]
    with caplog.at_level(logging.INFO):
        judge = fit_radiomics(
            [*flat, *(replace(i, radiomics={"f0": 1.0}) for i in TRAIN[30:61:2])],
            VALIDATION,
            seed=0,
            settings=SETTINGS,
        ).value
    assert "radiomics: 0 of 0 features selected" in caplog.text
    assert judge.score(TEST[0]) == pytest.approx(15 / 46)


def test_lasso_selects_nothing_without_a_difference() -> None:
    standard = np.tile([[1.0, -1.0], [-1.0, 1.0]], (4, 1))
    truth = np.array([True, True, False, False] * 2)
    assert selected(standard, truth, [([0, 1, 2, 3], [4, 5, 6, 7])], 5) == []


def test_training_on_one_class_is_refused_with_the_numbers() -> None:
    with pytest.raises(InputError, match="two N\\+ and two N- training patients with features, got 1 and 9"):
        fit_radiomics([*TRAIN[0:18:2], TRAIN[1]], VALIDATION, seed=0, settings=SETTINGS)
    without = [replace(item, radiomics=None) for item in TRAIN]
    with pytest.raises(InputError, match="got 0 and 0"):
        fit_radiomics(without, VALIDATION, seed=0, settings=SETTINGS)


def test_nobody_teaches_and_chooses_and_the_judge_remembers_them() -> None:
    with pytest.raises(LeakageError, match="were used for fitting"):
        fit_radiomics(TRAIN, TRAIN[:10], seed=0, settings=SETTINGS)
    fitted = fit_radiomics(TRAIN, VALIDATION, seed=0, settings=SETTINGS)
    assert fitted.patients == {item.patient for item in (*TRAIN, *VALIDATION)}
    seen = replace(TRAIN[0], fitted_on=FittedOn.of([TRAIN[0].patient]))
    with pytest.raises(LeakageError, match="the models were fitted on this patient"):
        fit_radiomics([seen, *TRAIN[1:]], VALIDATION, seed=0, settings=SETTINGS)
