from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lymphct.core.errors import ModelError
from lymphct.learning.settings import TrainingSettings
from lymphct.learning.training import (
    EpochRecord,
    LearningStoppedError,
    TrainingState,
    best_weights,
    learning_rate,
    train,
)

Pair = tuple[Tensor, Tensor]


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Dropout(0.3), nn.Conv3d(4, 1, 1)
    )


def _batch(iteration: int) -> Pair:
    x = torch.randn(2, 1, 4, 5, 6, generator=torch.Generator().manual_seed(iteration))
    return x, 2 * x + 1


def _loss(network: nn.Module, batch: Pair) -> Tensor:
    return nn.functional.mse_loss(network(batch[0]).float(), batch[1])


def _settings(**changes: object) -> TrainingSettings:
    small = {"epochs": 5, "iterations_per_epoch": 4, "learning_rate": 0.02, "momentum": 0.9}
    return TrainingSettings.model_validate(small | changes)


def _scores(values: list[float]) -> Callable[[nn.Module], float]:
    left = iter(values)
    return lambda _: next(left)


def _fit(
    settings: TrainingSettings, state: TrainingState | None = None, scores: list[float] | None = None
) -> list[EpochRecord]:
    validate = None if scores is None else _scores(scores)
    return list(train(_network(), _batch, _loss, settings, validate=validate, state=state))


def _assert_same(one: TrainingState, two: TrainingState) -> None:
    assert one.epoch == two.epoch
    assert one.meta == two.meta
    assert one.tensors.keys() == two.tensors.keys()
    for name in one.tensors:
        assert torch.equal(one.tensors[name], two.tensors[name]), name


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "schedule": "cosine", "warmup_iterations": 6, "score_momentum": 0.5},
        {"optimizer": "adamw", "cpu_bfloat16": True, "channels_last": True},
    ],
    ids=["sgd", "adamw", "bfloat16"],
)
def test_a_resumed_training_equals_an_uninterrupted_one_bit_by_bit(
    stopped_after: int, changes: dict[str, object]
) -> None:
    settings = _settings(**changes)
    scores = [0.1, 0.5, 0.3, 0.55, 0.2]
    whole = _fit(settings, scores=scores)
    torch.manual_seed(1234)  # whatever happens to the global generator in between
    rest = _fit(settings, whole[stopped_after - 1].state, scores[stopped_after:])
    assert [(r.epoch, r.loss, r.score, r.learning_rate) for r in rest] == [
        (r.epoch, r.loss, r.score, r.learning_rate) for r in whole[stopped_after:]
    ]
    _assert_same(rest[-1].state, whole[-1].state)


def test_a_state_is_a_copy_that_further_training_does_not_touch() -> None:
    network = _network()
    records = train(network, _batch, _loss, _settings())
    first = next(records).state
    before = {name: x.clone() for name, x in first.tensors.items()}
    next(records)
    assert all(torch.equal(first.tensors[name], before[name]) for name in before)
    assert all(x.is_contiguous() for x in before.values())


def test_training_lowers_the_loss() -> None:
    records = _fit(_settings(epochs=8, iterations_per_epoch=10))
    assert records[-1].loss < 0.5 * records[0].loss
    assert [record.epoch for record in records] == list(range(1, 9))
    assert all(record.seconds > 0 for record in records)


def test_the_global_random_state_is_left_alone() -> None:
    records = train(_network(), _batch, _loss, _settings())
    torch.manual_seed(3)
    before = torch.get_rng_state()
    next(records)
    assert torch.equal(before, torch.get_rng_state())


def test_the_weights_of_the_best_score_are_kept() -> None:
    records = _fit(_settings(), scores=[0.1, 0.9, 0.3, 0.8, 0.2])
    best = best_weights(records[-1].state)
    second = records[1].state
    assert all(torch.equal(best[name], second.tensors[f"network/{name}"]) for name in best)
    assert records[-1].state.meta["best_score"] == 0.9


def test_the_best_score_may_be_a_moving_average() -> None:
    records = _fit(_settings(score_momentum=0.75), scores=[0.4, 0.8, 0.2, 0.6, 0.1])
    # averages: 0.4, 0.5, 0.425, 0.46875, 0.3766
    assert records[-1].state.meta["best_score"] == pytest.approx(0.5)
    assert records[2].state.meta["average_score"] == pytest.approx(0.425)


def test_without_validation_the_last_weights_are_the_best() -> None:
    state = _fit(_settings(epochs=2))[-1].state
    assert not any(name.startswith("best/") for name in state.tensors)
    assert torch.equal(best_weights(state)["0.weight"], state.tensors["network/0.weight"])


def test_validation_comes_when_due_and_at_the_end() -> None:
    records = _fit(_settings(validate_every=2), scores=[0.1, 0.2, 0.3])
    assert [record.score for record in records] == [None, 0.1, None, 0.2, 0.3]


def test_batches_prepared_ahead_change_no_result() -> None:
    _assert_same(_fit(_settings(prefetch_threads=3))[-1].state, _fit(_settings())[-1].state)


def test_a_loss_that_is_not_a_number_stops_with_the_last_good_state() -> None:
    def bad(iteration: int) -> Pair:
        x, y = _batch(iteration)
        return x, y * (float("nan") if iteration == 9 else 1.0)

    states: list[TrainingState] = []
    records = train(_network(), bad, _loss, _settings())
    with pytest.raises(
        LearningStoppedError, match=r"the loss became nan in epoch 3 \[E_DIVERGED\]"
    ) as caught:
        states.extend(record.state for record in records)
    assert caught.value.state is states[-1]
    assert states[-1].epoch == 2


def test_a_gradient_that_is_not_finite_stops_too_and_leaves_the_weights() -> None:
    def steep(network: nn.Module, batch: Pair) -> Tensor:
        flat: Tensor = network(batch[0]) * 0.0
        return torch.sqrt(flat.sum())

    network = _network()
    before = network[0].weight.detach().clone()  # type: ignore[index] # a Sequential
    with pytest.raises(LearningStoppedError, match="in epoch 1") as caught:
        next(train(network, _batch, steep, _settings()))
    assert caught.value.state is None
    assert torch.equal(network[0].weight, before)  # type: ignore[index] # a Sequential


def test_a_state_of_another_network_is_refused() -> None:
    state = _fit(_settings(epochs=1))[-1].state
    with pytest.raises(ModelError, match="the training state belongs to another network"):
        next(train(nn.Conv3d(1, 1, 1), _batch, _loss, _settings(), state=state))


def test_poly_falls_from_the_base_rate_to_almost_nothing() -> None:
    settings = _settings(learning_rate=0.01, epochs=10, iterations_per_epoch=10)
    rates = [learning_rate(n, settings) for n in range(100)]
    assert rates[0] == 0.01
    assert rates[50] == pytest.approx(0.01 * 0.5**0.9)
    assert rates[99] == pytest.approx(0.01 * 0.01**0.9)


def test_the_warm_up_rises_linearly_and_cosine_passes_the_half() -> None:
    settings = _settings(
        learning_rate=0.1, epochs=1, iterations_per_epoch=30, warmup_iterations=10, schedule="cosine"
    )
    rates = [learning_rate(n, settings) for n in range(30)]
    assert rates[:10] == pytest.approx([0.01 * n for n in range(1, 11)])
    assert rates[10] == 0.1
    assert rates[20] == pytest.approx(0.05)


def test_the_gradient_is_clipped() -> None:
    def far(network: nn.Module, batch: Pair) -> Tensor:
        steep: Tensor = 1e6 * network(batch[0]).sum()
        return steep

    settings = _settings(
        epochs=1, iterations_per_epoch=1, learning_rate=1.0, momentum=0.0, weight_decay=0.0, gradient_clip=0.5
    )
    network = nn.Conv3d(1, 1, 1)
    before = torch.cat([x.detach().flatten().clone() for x in network.parameters()])
    next(train(network, _batch, far, settings))
    after = torch.cat([x.detach().flatten() for x in network.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.5, rel=1e-3)


def test_whoever_asks_is_told_of_every_iteration_and_the_result_is_the_same() -> None:
    settings = _settings(epochs=2)
    told: list[int] = []
    records = list(train(_network(), _batch, _loss, settings, told=told.append))
    assert told == [1, 2, 3, 4, 5, 6, 7, 8]
    _assert_same(records[-1].state, _fit(settings)[-1].state)
    (last,) = train(_network(), _batch, _loss, settings, state=records[0].state, told=told.append)
    assert told[8:] == [5, 6, 7, 8]
    assert last.epoch == 2
