from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lymphct.core.errors import EnvironmentProblemError, ModelError
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
    _assert_same(_fit(_settings(prefetch=3))[-1].state, _fit(_settings())[-1].state)


def test_the_older_name_of_the_threads_is_read() -> None:
    assert _settings(prefetch_threads=3).prefetch == 3
    assert _settings().prefetch == "auto"
    assert "prefetch_threads" not in _settings(prefetch_threads=0).model_dump()


def _spoiled(*iterations: int) -> Callable[[int], Pair]:
    def batch(iteration: int) -> Pair:
        x, y = _batch(iteration)
        return (x * float("nan"), y) if iteration in iterations else (x, y)

    return batch


def test_a_step_whose_loss_is_not_a_number_is_left_out_counted_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = _network()
    records = list(train(network, _spoiled(5, 6), _loss, _settings()))
    assert [record.skipped for record in records] == [0, 2, 0, 0, 0]
    assert all(torch.isfinite(torch.tensor(record.loss)) for record in records)
    assert "epoch 2: 2 steps skipped, loss or gradient not finite" in caplog.text
    # The running statistics of the batch normalisation saw the batch that was not finite.
    assert all(torch.isfinite(x).all() for x in records[-1].state.tensors.values())


def test_a_left_out_step_changes_neither_weights_nor_running_statistics() -> None:
    network = _network()
    kept: list[dict[str, Tensor]] = []

    def told(_: int) -> None:
        kept.append({name: x.clone() for name, x in network.state_dict().items()})

    settings = _settings(epochs=1, iterations_per_epoch=3)
    (record,) = train(network, _spoiled(2), _loss, settings, told=told)
    assert record.skipped == 1
    assert all(torch.equal(x, kept[1][name]) for name, x in kept[2].items())
    assert not torch.equal(kept[0]["0.weight"], kept[1]["0.weight"])


def test_steps_that_are_not_finite_in_a_row_stop_with_the_last_good_state() -> None:
    states: list[TrainingState] = []
    records = train(_network(), _spoiled(7, 8, 9), _loss, _settings(max_skipped=3))
    wanted = r"loss or its gradient became nan 3 times in a row in epoch 3 \[E_DIVERGED\]"
    with pytest.raises(LearningStoppedError, match=wanted) as caught:
        states.extend(record.state for record in records)
    assert caught.value.state is states[-1]
    assert states[-1].epoch == 2
    assert states[-1].meta["skipped_in_a_row"] == 1


def test_a_resumed_training_goes_on_counting_steps_in_a_row() -> None:
    settings = _settings(max_skipped=3)
    first = next(train(_network(), _spoiled(3), _loss, settings)).state
    with pytest.raises(LearningStoppedError, match="3 times in a row in epoch 2"):
        list(train(_network(), _spoiled(4, 5), _loss, settings, state=first))
    assert len(list(train(_network(), _spoiled(4), _loss, settings, state=first))) == 4


def test_an_epoch_without_a_single_good_step_stops_too_and_leaves_the_weights() -> None:
    def steep(network: nn.Module, batch: Pair) -> Tensor:
        flat: Tensor = network(batch[0]) * 0.0
        return torch.sqrt(flat.sum())

    network = _network()
    before = network[0].weight.detach().clone()  # type: ignore[index] # a Sequential
    with pytest.raises(LearningStoppedError, match="4 times in a row in epoch 1") as caught:
        next(train(network, _batch, steep, _settings()))
    assert caught.value.state is None
    assert torch.equal(network[0].weight, before)  # type: ignore[index] # a Sequential


class Vanishing(nn.Module):
    """A network whose GPU is gone after some steps."""

    def __init__(self, error: RuntimeError, after: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.error, self.left = error, after

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return self.weight * x


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("CUDA error: unspecified launch failure\nmore"), "E_DEVICE"),
        (getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: device lost"), "E_DEVICE"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "E_MEMORY"),
    ],
    ids=["words", "class", "memory"],
)
def test_a_gpu_that_vanishes_is_an_error_with_a_cure(error: RuntimeError, code: str) -> None:
    records = train(Vanishing(error, 6), _batch, _loss, _settings())
    assert next(records).epoch == 1
    with pytest.raises(EnvironmentProblemError, match=f"\\[{code}\\] - .*--resume") as caught:
        next(records)
    assert caught.value.exit_code == 6


def test_another_error_of_a_network_passes_unchanged() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        next(train(Vanishing(RuntimeError("mat1 and mat2"), 0), _batch, _loss, _settings()))


def test_a_gpu_that_vanishes_while_validating_is_told_too() -> None:
    def validate(_: nn.Module) -> float:
        msg = "CUDA error: device lost"
        raise RuntimeError(msg)

    with pytest.raises(EnvironmentProblemError, match="the GPU does not answer any more: CUDA error"):
        next(train(_network(), _batch, _loss, _settings(), validate=validate))


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
