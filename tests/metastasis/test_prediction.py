import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lymphct.core.errors import InputError, LeakageError, ModelError
from lymphct.learning.settings import AugmentationSettings
from lymphct.learning.training import EpochRecord, TrainingState, best_weights
from lymphct.metastasis.prediction import (
    build_status_network,
    fit_status,
    patch_probabilities,
    predict_status,
)
from lymphct.metastasis.sampling import StatusCase
from lymphct.metastasis.settings import (
    MetastasisSettings,
    StatusNetworkSettings,
    StatusSamplingSettings,
    StatusTrainingSettings,
)

torch.set_num_threads(1)


def settings(epochs: int = 3, **training: float) -> MetastasisSettings:
    return MetastasisSettings(
        network=StatusNetworkSettings(width=0.125),
        sampling=StatusSamplingSettings(batch_size=4),
        training=StatusTrainingSettings(
            epochs=epochs, iterations_per_epoch=2, **{"learning_rate": 1e-2, **training}
        ),
    )


def patient(number: int, n_status: int, *, texture: float = 1.0, volume: float = 0.0) -> StatusCase:
    rng = np.random.default_rng(number)
    patches = rng.normal(scale=texture, size=(9, 3, 32, 32)).astype(np.float32)
    patches[:, 2] = 0.0
    patches[:, 2, 8:24, 8:24] = 1.0
    return StatusCase(patient=f"case{number}", patches=patches, volume=volume, n_status=n_status)


def cohort(first: int = 0, n: int = 6) -> list[StatusCase]:
    """N+ patients have coarse, N- patients fine texture; half the N+ have a positive node."""
    return [
        patient(first + k, k % 2, texture=2.0 if k % 2 else 0.5, volume=400.0 * (k % 4 == 3))
        for k in range(n)
    ]


def taught(
    cases: Sequence[StatusCase],
    validation: Sequence[StatusCase],
    how: MetastasisSettings,
    *,
    seed: int = 0,
    state: TrainingState | None = None,
) -> Iterator[EpochRecord]:
    network = build_status_network(how, seed=seed)
    return fit_status(network, cases, validation, how, seed=seed, state=state)


def run(epochs: int = 3, *, seed: int = 0) -> list[EpochRecord]:
    return list(taught(cohort(), cohort(20), settings(epochs), seed=seed))


def test_training_is_the_same_twice_and_other_with_another_seed() -> None:
    first, again, other = run(), run(), run(seed=1)
    assert [record.loss for record in first] == [record.loss for record in again]
    assert first[0].loss != other[0].loss
    for name, tensor in first[-1].state.tensors.items():
        assert torch.equal(tensor, again[-1].state.tensors[name]), name


def test_a_resumed_training_ends_with_the_same_bits() -> None:
    whole = run(4)
    stopped = list(itertools.islice(taught(cohort(), cohort(20), settings(4), seed=0), 2))
    rest = list(taught(cohort(), cohort(20), settings(4), seed=0, state=stopped[-1].state))
    assert [record.epoch for record in rest] == [3, 4]
    assert [record.loss for record in rest] == [record.loss for record in whole[2:]]
    assert whole[-1].state.tensors.keys() == rest[-1].state.tensors.keys()
    for name, tensor in whole[-1].state.tensors.items():
        assert torch.equal(tensor, rest[-1].state.tensors[name]), name


def test_a_handful_of_patients_can_be_learned() -> None:
    cases = cohort(n=6)
    quick = settings(30, learning_rate=3e-2).model_copy(
        update={"augmentation": AugmentationSettings.preset("none")}
    )
    network = build_status_network(quick, seed=2)
    records = list(fit_status(network, cases, [], quick, seed=2))
    assert records[-1].loss < 0.2 < records[0].loss
    for case in cases:
        assert abs(predict_status(network, case.patches, case.volume) - case.n_status) < 0.3


def test_the_best_weights_predict_as_their_validation_said() -> None:
    records = run(4)
    scores = [record.score for record in records if record.score is not None]
    assert len(scores) == 4
    assert all(0 <= score <= 1 for score in scores)
    network = build_status_network(settings())
    network.load_state_dict(best_weights(records[-1].state))
    p = [predict_status(network, case.patches, case.volume) for case in cohort(20)]
    pairs = [(p[a] > p[b]) + 0.5 * (p[a] == p[b]) for a in (1, 3, 5) for b in (0, 2, 4)]
    assert any(np.isclose(np.mean(pairs), score) for score in scores)


def test_validation_patients_of_one_class_are_scored_by_cross_entropy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    negatives = [patient(number, 0) for number in (30, 31)]
    record = next(taught(cohort(), negatives, settings(), seed=0))
    assert "validation patients of one class only" in caplog.text
    network = build_status_network(settings())
    network.load_state_dict(best_weights(record.state))
    p = [predict_status(network, case.patches, case.volume) for case in negatives]
    assert record.score == pytest.approx(np.mean(np.log1p(-np.array(p))))


def test_the_patient_is_the_mean_of_nine_patches_and_the_mode_is_kept() -> None:
    network = build_status_network(settings(), seed=3).train()
    case = patient(1, 1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    p = patch_probabilities(network, case.patches, case.volume)
    assert p.shape == (9,)
    assert len(set(p)) == 9
    assert predict_status(network, case.patches, case.volume) == pytest.approx(p.mean())
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    one_by_one = [patch_probabilities(network, case.patches[n][None], 0.0)[0] for n in range(9)]
    assert_allclose(p, one_by_one, atol=1e-6)


def test_a_patient_without_positive_nodes_gets_a_probability() -> None:
    network = build_status_network(settings())
    blank = np.zeros((9, 3, 32, 32), dtype=np.float32)
    assert 0 < predict_status(network, blank, 0.0) < 1


def test_a_patient_cannot_train_and_validate() -> None:
    with pytest.raises(LeakageError, match=r"2 patients were used for fitting.*case2, case3"):
        next(taught(cohort(n=4), cohort(2, n=4), settings(), seed=0))


def test_training_on_one_class_is_refused() -> None:
    with pytest.raises(InputError, match=r"got 0 N\+ and 2 N-"):
        next(taught([patient(1, 0), patient(2, 0)], [], settings(), seed=0))


def test_a_state_of_another_width_is_refused() -> None:
    record = next(taught(cohort(), [], settings(), seed=0))
    wider = settings().model_copy(update={"network": StatusNetworkSettings(width=0.25)})
    with pytest.raises(ModelError, match="belongs to another network"):
        next(taught(cohort(), [], wider, seed=0, state=record.state))


def test_defaults_are_those_of_the_paper() -> None:
    paper = MetastasisSettings()
    assert (paper.patches.crop_size, paper.patches.slices_per_axis, paper.volume) == (224, 3, "largest")
    training = paper.training
    assert (training.learning_rate, training.momentum, training.weight_decay) == (5e-4, 0.95, 1e-4)
    assert training.optimizer == "sgd"
    assert training.epochs == 500
    changed = MetastasisSettings.model_validate({"training": {"epochs": 3}})
    assert changed.training.learning_rate == 5e-4, "one changed value keeps the others of the paper"
