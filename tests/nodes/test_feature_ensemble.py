"""The ensemble on node features: it learns, from patients drawn with replacement, the same for a seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.core.errors import InputError
from lymphct.evaluation.classification import auc
from lymphct.nodes.crops import IdentificationCase, as_no_nodes
from lymphct.nodes.feature_ensemble import FeatureEnsemble, FeatureLesson, fit_feature_ensemble
from lymphct.nodes.features import CORE
from lymphct.nodes.identification import (
    build_identification_network,
    fit_ensemble,
    fit_identification,
    fit_statistics,
    validation_score,
)
from lymphct.nodes.settings import FeatureEnsembleSettings, IdentificationHeadSettings, IdentificationSettings

SETTINGS = FeatureEnsembleSettings(members=6, hidden=16, iterations=120)


def lesson(seed: int, patients: int = 60) -> FeatureLesson:
    """Three nodes a patient, positive on both sides of a feature, which no straight line can tell."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(3 * patients, 4))
    return FeatureLesson(
        standard=features,
        classes=(np.abs(features[:, 0]) > 0.7).astype(np.int64),
        patients=[f"p{n:03d}" for n in range(patients) for _ in range(3)],
        count=2,
    )


def fitted(taught: FeatureLesson, settings: FeatureEnsembleSettings = SETTINGS) -> FeatureEnsemble:
    ensemble = FeatureEnsemble(taught.standard.shape[1], taught.count, settings)
    ensemble.load_state_dict(dict(fit_feature_ensemble(taught, settings, seed=0).value))
    return ensemble


def said(ensemble: FeatureEnsemble, features: np.ndarray) -> np.ndarray:
    logits = ensemble(torch.from_numpy(features)).numpy()
    return np.asarray(logits[:, 1] - logits[:, 0])


def test_it_learns_what_no_straight_line_can_tell() -> None:
    unseen = lesson(1)
    found = said(fitted(lesson(0)), unseen.standard)
    assert auc(unseen.classes == 1, found) > 0.85


def test_it_records_whom_it_learned_from() -> None:
    taught = lesson(0, patients=8)
    assert fit_feature_ensemble(taught, SETTINGS, seed=0).patients == set(taught.patients)


def test_members_learn_from_different_patients() -> None:
    weights = fit_feature_ensemble(lesson(0), SETTINGS, seed=0).value["first_weight"]
    assert len({tuple(member.ravel()[:4].tolist()) for member in weights}) == SETTINGS.members


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    taught = lesson(0, patients=10)
    first, again, other = (
        fit_feature_ensemble(taught, SETTINGS, seed=seed).value["last_weight"] for seed in (0, 0, 1)
    )
    assert_array_equal(first.numpy(), again.numpy())
    assert not np.array_equal(first.numpy(), other.numpy())


def test_a_class_without_nodes_is_refused() -> None:
    taught = lesson(0, patients=5)
    with pytest.raises(InputError, match="every class"):
        fit_feature_ensemble(replace(taught, classes=np.zeros(15, np.int64)), SETTINGS, seed=0)


def test_it_learns_to_do_without_the_arterial_phase() -> None:
    """Feature 0 says the class clearly, feature 1 a little less; without the first the second must do."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, 300)
    clear = (2 * classes[:, None] - 1) + rng.normal(size=(300, 2)) * (0.2, 0.6)
    taught = FeatureLesson(
        standard=clear, classes=classes, patients=[f"p{n}" for n in range(300)], count=2, arterial=(0,)
    )
    hidden = clear * (0.0, 1.0)
    areas = [
        auc(classes == 1, said(fitted(replace(taught, phase_dropout=share)), hidden)) for share in (0.0, 0.5)
    ]
    assert areas[1] > 0.95
    margins = [
        np.abs(said(fitted(replace(taught, phase_dropout=share)), hidden)).mean() for share in (0.0, 0.5)
    ]
    assert margins[1] > margins[0]


def with_ensemble(classes: int = 2) -> IdentificationHeadSettings:
    return IdentificationHeadSettings.model_validate(
        {"classes": classes, "ensemble": {"members": 4, "hidden": 16, "iterations": 80}}
    )


@pytest.fixture
def cases() -> list[IdentificationCase]:
    """Ten patients with two nodes each, whose volume says the class."""
    made = []
    for patient in range(10):
        instances = np.zeros((12, 16, 16), np.uint8)
        instances[4:6, 4:6, 4:6], instances[8:11, 9:13, 9:13] = 1, 2
        rng = np.random.default_rng(patient)
        volume = np.array([[4.0], [6.0]]) + rng.normal(0, 0.2, (2, 1))
        features = np.concatenate([volume, rng.normal(size=(2, 6))], axis=1)
        made.append(
            IdentificationCase(
                patient=f"p{patient}",
                image=rng.normal(size=(2, 12, 16, 16)).astype(np.float32),
                instances=instances,
                boxes=((slice(4, 6),) * 3, (slice(8, 11), slice(9, 13), slice(9, 13))),
                labels=(1, 2),
                classes=(0, 1),
                ious=(1.0, 1.0),
                features=features,
                fill=(0.0, 0.0),
            )
        )
    return made


def small(head: IdentificationHeadSettings) -> IdentificationSettings:
    return IdentificationSettings.model_validate(
        {
            "unet": {"features": [4, 8], "strides": [[1, 1, 1], [2, 2, 2]], "convolutions_per_stage": 1},
            "head": head.model_dump(),
            "sampling": {"crop_size": [16, 16, 12], "batch_size": 4, "box_jitter": [0, 1], "box_margin": 1},
            "training": {"epochs": 1, "iterations_per_epoch": 2, "learning_rate": 10.0, "judge_start": True},
        }
    )


def test_stage_2_starts_as_its_ensemble_and_never_ends_below_it(cases: list[IdentificationCase]) -> None:
    settings = small(with_ensemble())
    network = build_identification_network(settings)
    (record,) = fit_identification(network, cases[:8], cases[8:], settings, seed=0)
    # Two steps at a rate of 10 ruin any network; the best weights are those of the start.
    network.load_state_dict(
        {n.removeprefix("best/"): x for n, x in record.state.tensors.items() if n.startswith("best/")}
    )
    assert validation_score(network, cases[8:], settings) == 1.0
    statistics = fit_statistics(cases[:8]).value
    features = torch.from_numpy(statistics.standardize(cases[9].features))
    ensemble = FeatureEnsemble(len(CORE.names), 2, settings.head.ensemble)
    ensemble.load_state_dict(dict(fit_ensemble(cases[:8], statistics, settings, seed=0).value))
    image, mask = torch.zeros(2, 2, 12, 16, 16), torch.ones(2, 1, 12, 16, 16)
    box = torch.tensor([[[0, 0, 0], [12, 16, 16]]] * 2)
    with torch.no_grad():
        logits = network.eval()(image, mask, box, torch.from_numpy(cases[9].features).float())
    assert_allclose(logits.numpy(), ensemble(features).numpy(), atol=1e-4)


def test_the_order_of_patients_changes_nothing(cases: list[IdentificationCase]) -> None:
    settings = small(with_ensemble())
    statistics = fit_statistics(cases).value
    one, other = (
        fit_ensemble(group, statistics, settings, seed=0).value["first_weight"]
        for group in (cases, cases[::-1])
    )
    assert_array_equal(one.numpy(), other.numpy())


def test_it_learns_three_classes(cases: list[IdentificationCase]) -> None:
    settings = small(with_ensemble(classes=3))
    odd = as_no_nodes(replace(cases[0], features=cases[0].features + 20.0))
    taught = [*cases[1:], odd]
    statistics = fit_statistics(taught).value
    ensemble = FeatureEnsemble(len(CORE.names), 3, settings.head.ensemble)
    ensemble.load_state_dict(dict(fit_ensemble(taught, statistics, settings, seed=0).value))
    called = ensemble(torch.from_numpy(statistics.standardize(odd.features))).argmax(dim=1)
    assert called.tolist() == [2, 2]


def test_an_ensemble_takes_the_place_of_the_logistic_start() -> None:
    for wrong in ({"logistic_start": True}, {"node_features": False}):
        with pytest.raises(ValueError, match="takes the place of logistic_start"):
            IdentificationHeadSettings.model_validate({"ensemble": {"members": 2}, **wrong})
