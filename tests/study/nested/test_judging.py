"""A method in a fold: what it learns from, whom it may judge, and that chance stays chance."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.study.nested.cohorts import seen

from lymphct.baselines.method import StatusMethod
from lymphct.baselines.table import METHODS
from lymphct.core.errors import InputError, LeakageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import Fitted, FittedOn
from lymphct.evaluation.statistics import delong
from lymphct.metastasis.heads import Judge, fit_judge
from lymphct.metastasis.settings import MetastasisSettings
from lymphct.study.nested.folds import nested_folds
from lymphct.study.nested.judging import judged_in_fold

NODES = METHODS["nodes"](MetastasisSettings())
TRAIN = [seen("t0", 0, 10.0), seen("t1", 1, 90.0)]
CHOOSE = [seen("v0", 0, 20.0), seen("v1", 1, 100.0)]


def test_the_score_is_the_mean_over_the_cascades_that_saw_the_patient() -> None:
    asked = {"p": [seen("p", 1, 40.0), seen("p", 1, 100.0)], "q": [seen("q", 0)], "lost": []}
    found = judged_in_fold(NODES, TRAIN, CHOOSE, asked, seed=0)
    assert found.threshold == 60.0  # midway between the validation patients
    verdicts = {verdict.patient: verdict for verdict in found.verdicts}
    assert (verdicts["p"].score, verdicts["p"].call) == (70.0, 1)
    assert (verdicts["q"].score, verdicts["q"].call) == (0.0, 0)
    assert (verdicts["lost"].score, verdicts["lost"].call) == (None, None)
    assert verdicts["lost"].lacking == ("images",)
    assert found.fitted_on == {"t0", "t1", "v0", "v1"}


def test_a_cascade_that_shows_nothing_is_left_out_of_the_mean() -> None:
    tumor = METHODS["tumor_volume"](MetastasisSettings())
    assert tumor.needs == ("tumor",)
    reported = METHODS["ct_reported"](MetastasisSettings())
    blank = seen("p", 1)
    train, choose = ([seen(f"{w}{n}", n, reported=n) for n in (0, 1)] for w in "tv")
    found = judged_in_fold(reported, train, choose, {"p": [blank]}, seed=0)
    assert found.verdicts[0].score == 0.0
    with pytest.raises(
        InputError, match="control: tumor volume has 0 training patients, not of both classes"
    ):
        judged_in_fold(tumor, train, choose, {"p": [blank]}, seed=0)


def test_nobody_is_judged_who_taught() -> None:
    with pytest.raises(LeakageError, match=r"used for fitting .* v1"):
        judged_in_fold(NODES, TRAIN, CHOOSE, {"v1": [seen("v1", 1, 5.0)]}, seed=0)


@pytest.mark.parametrize("role", ["train", "validation", "test"])
def test_evidence_by_models_that_knew_the_patient_is_refused(role: str) -> None:
    leaking = seen("x", 1, 80.0, fitted_on=FittedOn.of(["x"]))
    groups = {"train": list(TRAIN), "validation": list(CHOOSE), "test": [seen("p", 1)]}
    groups[role] = [*groups[role], leaking]
    asked = {item.patient: [item] for item in groups["test"]}
    with pytest.raises(LeakageError, match="x: the models were fitted on this patient"):
        judged_in_fold(NODES, groups["train"], groups["validation"], asked, seed=0)


def crossed(method: StatusMethod, cohort: dict[str, Evidence], seed: int) -> tuple[float, float]:
    """Return the AUC of a nested cross-validation on made-up evidence, and its standard error."""
    strata = {name: str(item.clinical.n_status) for name, item in cohort.items()}
    scores: dict[str, float] = {}
    for fold in nested_folds(strata, seed, inner=2):
        train, choose = ([cohort[name] for name in ids] for ids in (fold.outer.train, fold.outer.validation))
        asked = {name: [cohort[name]] for name in fold.outer.test}
        found = judged_in_fold(method, train, choose, asked, seed=seed)
        scores |= {verdict.patient: verdict.score or 0.0 for verdict in found.verdicts}
    labels = [cohort[name].clinical.n_status or 0 for name in scores]
    result = delong(labels, list(scores.values()))
    low, high = result.interval
    return result.auc, (high - low) / 3.92


def cohort_of(count: int, rng: np.random.Generator, effect: float) -> dict[str, Evidence]:
    volumes = {}
    for number in range(count):
        status = number % 2
        volumes[f"case{number}"] = (status, float(np.exp(rng.normal(5.0 + effect * status, 0.9))))
    return {name: seen(name, status, volume) for name, (status, volume) in volumes.items()}


def remember(train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int) -> Fitted[Judge]:
    """Learn by heart: the status of the patient with the most similar node, and of whoever taught the own."""
    del seed
    taught = [(item.nodes[0].volume, item.clinical.n_status or 0) for item in train]

    def score(item: Evidence) -> float:
        near = sorted(taught, key=lambda known: abs(known[0] - item.nodes[0].volume))[:5]
        return float(np.mean([status for _, status in near]))

    judge = fit_judge(score, validation)
    return Fitted(judge.value, judge.patients | {item.patient for item in train})


def test_permuted_labels_give_an_auc_of_one_half() -> None:
    by_heart = StatusMethod(name="by heart", needs=("nodes",), fit=remember)
    rng = np.random.default_rng(3)
    cohort = cohort_of(200, rng, effect=1.5)
    told, error = crossed(by_heart, cohort, seed=1)
    assert told - 0.5 > 4 * error  # there is something to find
    names, statuses = list(cohort), np.array([item.clinical.n_status for item in cohort.values()])
    found = []
    for permutation in range(20):
        dealt = {
            name: seen(name, status, cohort[name].nodes[0].volume)
            for name, status in zip(names, rng.permutation(statuses).tolist(), strict=True)
        }
        found.append(crossed(by_heart, dealt, seed=permutation)[0])
    assert abs(np.mean(found) - 0.5) < 2 * np.std(found, ddof=1) / np.sqrt(len(found))
