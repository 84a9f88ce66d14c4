"""Two folds of nano patients: everybody is examined by models that never saw him, and the guard proves it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lymphct.cascade.evidence import EvidenceSettings
from lymphct.cascade.fitting import fit_cascade
from lymphct.cascade.models import Models
from lymphct.cascade.out_of_fold import out_of_fold
from lymphct.cascade.parts import Start
from lymphct.cascade.stages import CASCADE
from lymphct.config import Config
from lymphct.core.errors import LeakageError
from lymphct.core.evidence import Evidence, require_out_of_fold
from lymphct.core.leakage import Roles
from lymphct.evaluation.folds import Fold, stratified_folds
from lymphct.metastasis.heads import HEADS
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.study.plan import Run

SEED = 2
"""Of a training so short that not every seed finds a node."""


@pytest.fixture(scope="module")
def patients(bundle: Path) -> PreparedCohort:
    """All twelve patients, as a store keeps them for any run."""
    return Run.open(bundle.parent).patients


@pytest.fixture(scope="module")
def folds(patients: PreparedCohort) -> tuple[Fold, ...]:
    strata = {name: f"N{clinical.n_status}" for name, clinical in patients.clinical.items()}
    return stratified_folds(strata, 2, seed=0)


@pytest.fixture(scope="module")
def fitted(patients: PreparedCohort, folds: tuple[Fold, ...], config: Config) -> dict[Roles, Models]:
    """The cascade of each fold."""
    everybody = (Roles(train=fold.train, validation=fold.validation) for fold in folds)
    return {roles: fit_cascade(patients, roles, Start(config=config, seed=SEED)) for roles in everybody}


@pytest.fixture(scope="module")
def evidence(
    patients: PreparedCohort, folds: tuple[Fold, ...], fitted: dict[Roles, Models], config: Config
) -> Mapping[str, Evidence]:
    return out_of_fold(patients, folds, fitted.__getitem__, EvidenceSettings.of(config))


def test_everybody_is_examined_once_by_models_that_never_saw_him(
    patients: PreparedCohort, folds: tuple[Fold, ...], evidence: Mapping[str, Evidence]
) -> None:
    assert set(evidence) == set(patients)
    require_out_of_fold(list(evidence.values()))
    for fold in folds:
        for name in fold.test:
            seen = [other for other in patients if other in evidence[name].fitted_on]
            assert seen == sorted([*fold.train, *fold.validation])
            assert evidence[name].clinical.n_status == patients.clinical[name].n_status


def test_the_evidence_has_every_node_with_its_features(evidence: Mapping[str, Evidence]) -> None:
    assert any(item.nodes for item in evidence.values())
    for item in evidence.values():
        assert len(item.nodes) == len(item.features)
        assert all(node.volume > 0 and node.probability is not None for node in item.nodes)
        assert item.patches is None or item.patches.shape == (9, 3, 32, 32)


def test_the_models_of_a_fold_refuse_its_own_patients(
    folds: tuple[Fold, ...], fitted: dict[Roles, Models]
) -> None:
    for fold, models in zip(folds, fitted.values(), strict=True):
        for name in fold.test:
            models.require_unseen(name)
        for name in (*fold.train, *fold.validation):
            with pytest.raises(LeakageError, match=f"{name}: the models were fitted on this patient"):
                models.require_unseen(name)
        assert set(models.info.parts) == set(CASCADE)


def test_a_planted_leak_is_caught(
    patients: PreparedCohort, folds: tuple[Fold, ...], fitted: dict[Roles, Models]
) -> None:
    first = next(iter(fitted.values()))
    leaking = replace(folds[0], test=(*folds[0].test, folds[0].train[0]))
    with pytest.raises(LeakageError, match=f"{folds[0].train[0]}: the models were fitted"):
        out_of_fold(patients, [leaking], lambda _: first)
    with pytest.raises(LeakageError, match="would both teach and choose"):
        out_of_fold(patients, [replace(folds[0], validation=folds[0].train)], lambda _: first)
    with pytest.raises(LeakageError, match="tested in 2 folds"):
        out_of_fold(patients, [folds[0], folds[0]], lambda _: first)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_evidence(
    patients: PreparedCohort,
    folds: tuple[Fold, ...],
    evidence: Mapping[str, Evidence],
    config: Config,
) -> None:
    fit = partial(fit_cascade, patients, start=Start(config=config, seed=SEED))
    again = out_of_fold(patients, folds[:1], fit, EvidenceSettings.of(config))
    for name in folds[0].test:
        assert again[name].nodes == evidence[name].nodes
        assert again[name].tumor_volume == evidence[name].tumor_volume


@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_head_judges_from_the_evidence(
    head: str, evidence: Mapping[str, Evidence], config: Config
) -> None:
    known = sorted(evidence.values(), key=lambda item: (item.patches is None, item.patient))
    train, validation, test = known[0:6], known[6:10], known[10:]
    statuses = {item.clinical.n_status for item in validation}
    if statuses != {0, 1}:  # seed and folds are fixed: this would be a changed generator
        pytest.fail("the validation patients of this test are of one class")
    judge = (
        HEADS[head](config.metastasis)
        .fit(train, validation, seed=0)
        .for_unseen(item.patient for item in test)
    )
    for item in test:
        score = judge.score(item)
        assert score is None or score >= 0
        assert judge.call(item) in {None, 0, 1}
