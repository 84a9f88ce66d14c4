"""One training loop for every network: it yields its states as values and resumes from them bit by bit."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lymphct.core.errors import LymphctError, ModelError
from lymphct.learning.devices import autocast, device_failures, fastest_convolutions
from lymphct.learning.inference_settings import Precision
from lymphct.learning.prefetching import pinned_batches, prefetched, thread_count
from lymphct.learning.settings import TrainingSettings

logger = logging.getLogger(__name__)

B = TypeVar("B")
Told = Callable[[int], None]
"""Takes the number of iterations that are done."""
Json = float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Everything needed to go on as if nothing had happened.

    Attributes:
        epoch: finished epochs.
        tensors: `network/…`, `optimizer/…` and, once validated, `best/…`; on the CPU, never written to.
        meta: best and average score, loss scale, steps skipped: in all, and in a row up to here.

    """

    epoch: int
    tensors: Mapping[str, Tensor]
    meta: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        epoch: its number, from 1.
        loss: mean over the steps that were taken.
        score: None when not validated.
        learning_rate: of its last step.
        seconds: wall time.
        state: everything needed to go on.
        skipped: steps that were left out because loss or gradient was not finite.
        rejected_share: of the patches drawn in it, the share that was drawn again; None without such a rule.

    """

    epoch: int
    loss: float
    score: float | None
    learning_rate: float
    seconds: float
    state: TrainingState
    skipped: int = 0
    rejected_share: float | None = None


class LearningStoppedError(LymphctError):
    """Loss or gradient stay no numbers; `state` is the last good one, None in the first epoch."""

    exit_code = 2
    default_code = "E_DIVERGED"
    state: TrainingState | None = None


def learning_rate(iteration: int, settings: TrainingSettings) -> float:
    """Return the rate of an iteration, counted from 0 over the whole training."""
    warmup = settings.warmup_iterations
    if iteration < warmup:
        return settings.learning_rate * (iteration + 1) / warmup
    total = settings.epochs * settings.iterations_per_epoch
    left = 1.0 - (iteration - warmup) / max(total - warmup, 1)
    if settings.schedule == "poly":
        return settings.learning_rate * math.pow(left, settings.poly_power)
    return settings.learning_rate * (0.5 - 0.5 * math.cos(math.pi * left))


def mixed_precision(settings: TrainingSettings, device: torch.device) -> Precision:
    """Return in what the convolutions of a training on a device compute."""
    if device.type != "cuda":
        return "bfloat16" if settings.cpu_bfloat16 else "float32"
    if not settings.mixed_precision:
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def train(  # noqa: PLR0913 - the last three are optional and name their role
    network: nn.Module,
    next_batch: Callable[[int], B],
    loss: Callable[[nn.Module, B], Tensor],
    settings: TrainingSettings,
    *,
    validate: Callable[[nn.Module], float] | None = None,
    state: TrainingState | None = None,
    told: Told | None = None,
) -> Iterator[EpochRecord]:
    """Train on the device of the network; yield a record after every epoch.

    Args:
        network: trained in place.
        next_batch: the batch of an iteration, a pure function of its number, so that nothing need be stored.
        loss: runs the network on a batch; it moves the batch to the network's device.
        settings: optimiser, schedule, precision.
        validate: score of the network, higher is better; the weights with the best moving average are kept,
            with `judge_start` those before the first step among them.
        state: a state of the same training to go on from.
        told: called after every iteration with their number since the training began.

    Raises:
        LearningStoppedError: loss or gradient were not finite `max_skipped` times in a row, or in all steps
            of an epoch.
        ModelError: the state belongs to another network or optimiser.
        EnvironmentProblemError: the GPU is gone (`E_DEVICE`) or its memory is full (`E_MEMORY`).

    """
    run = _Run(network, settings)
    if state is not None:
        run.restore(state)
    elif settings.judge_start and validate is not None:
        run.keep_if_best(validate(network))
    good = state
    batches = pinned_batches(next_batch) if run.device.type == "cuda" else next_batch
    threads = thread_count(settings.prefetch, run.device)
    for epoch in range(run.epoch, settings.epochs):
        began = time.perf_counter()
        first = epoch * settings.iterations_per_epoch
        iterations = range(first, first + settings.iterations_per_epoch)
        network.train()
        losses: list[float] = []
        with (
            torch.random.fork_rng(_cuda_devices(run.device)),
            fastest_convolutions(run.device),
            device_failures(),
        ):
            # Dropout depends on the epoch alone: a resumed training draws what an uninterrupted one draws.
            torch.manual_seed(epoch)
            for iteration, batch in zip(iterations, prefetched(batches, iterations, threads), strict=True):
                value = run.step(iteration, lambda batch=batch: loss(network, batch))  # type: ignore[misc] # bound now
                losses += [value] if math.isfinite(value) else []
                if run.in_a_row >= settings.max_skipped or not (losses or iteration < iterations[-1]):
                    raise _stopped(value, run.in_a_row, epoch, good)
                if told is not None:
                    told(iteration + 1)
            score = None
            due = (epoch + 1) % settings.validate_every == 0 or epoch + 1 == settings.epochs
            if validate is not None and due:
                score = validate(network)
                run.keep_if_best(score)
        run.epoch = epoch + 1
        good = run.state()
        skipped = len(iterations) - len(losses)
        if skipped:
            logger.warning("epoch %d: %d steps skipped, loss or gradient not finite", epoch + 1, skipped)
        mean, rate = math.fsum(losses) / len(losses), learning_rate(iterations[-1], settings)
        yield EpochRecord(epoch + 1, mean, score, rate, time.perf_counter() - began, good, skipped)


def _stopped(value: float, in_a_row: int, epoch: int, good: TrainingState | None) -> LearningStoppedError:
    msg = f"the loss or its gradient became {value} {in_a_row} times in a row in epoch {epoch + 1}"
    error = LearningStoppedError(msg, cure="lower the learning rate or the gradient clip")
    error.state = good
    return error


def best_weights(state: TrainingState) -> dict[str, Tensor]:
    """Return the weights with the best score; without validation those of the last epoch."""
    return _part(state, "best/") or _part(state, "network/")


class _Run:
    """A network in training: optimiser, loss scale, best weights."""

    def __init__(self, network: nn.Module, settings: TrainingSettings) -> None:
        self.network, self.settings = network, settings
        self.device = next(network.parameters()).device
        if settings.channels_last:
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # not in torch's stubs
        self.optimizer = _optimizer(network, settings)
        self.precision = mixed_precision(settings, self.device)
        # Gradients of float16 vanish unless the loss is scaled up.
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.precision == "float16")
        self.epoch = self.in_a_row = self.skipped = 0
        self.best: dict[str, Tensor] = {}
        self.best_score: float | None = None
        self.average: float | None = None

    def step(self, iteration: int, loss: Callable[[], Tensor]) -> float:
        """Move the weights by one batch and return its loss.

        Where loss or gradient is not finite, weights and running statistics stay and the result is no finite
        number; `in_a_row` counts such steps since the last good one.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(iteration, self.settings)
        self.optimizer.zero_grad(set_to_none=True)
        kept = [x.clone() for x in self.network.buffers()]
        with autocast(self.device, self.precision):
            value = loss()
        torch.autograd.backward(self.scaler.scale(value))
        self.scaler.unscale_(self.optimizer)
        clip = self.settings.gradient_clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        # Looked at once, after everything is on its way: a GPU does not wait for the question.
        number, length = torch.stack((value.detach().float(), norm.float())).tolist()
        is_finite = math.isfinite(number) and math.isfinite(length)
        if is_finite:
            self.scaler.step(self.optimizer)
        else:
            for x, before in zip(self.network.buffers(), kept, strict=True):
                x.copy_(before)
        self.in_a_row = 0 if is_finite else self.in_a_row + 1
        self.skipped += not is_finite
        self.scaler.update()
        return number if is_finite else math.nan

    def keep_if_best(self, score: float) -> None:
        """Copy the weights when the moving average of the score has never been higher."""
        share = self.settings.score_momentum
        self.average = score if self.average is None else share * self.average + (1 - share) * score
        if self.best_score is None or self.average > self.best_score:
            self.best_score = self.average
            self.best = {f"best/{name}": _copy(x) for name, x in self.network.state_dict().items()}

    def state(self) -> TrainingState:
        """Copy everything that changes while training."""
        tensors = {f"network/{name}": _copy(x) for name, x in self.network.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            for name, x in moments.items():
                if x is not None:
                    tensors[f"optimizer/{number}/{name}"] = _copy(torch.as_tensor(x))
        meta: dict[str, Json] = {"best_score": self.best_score, "average_score": self.average}
        meta |= {"skipped": self.skipped, "skipped_in_a_row": self.in_a_row}
        if self.scaler.is_enabled():
            scale = self.scaler.state_dict()
            meta |= {"loss_scale": scale["scale"], "loss_scale_growth": scale["_growth_tracker"]}
        return TrainingState(self.epoch, tensors | self.best, meta)

    def restore(self, state: TrainingState) -> None:
        """Take over a state."""
        groups = self.optimizer.state_dict()["param_groups"]
        try:
            self.network.load_state_dict(_part(state, "network/"))
            self.optimizer.load_state_dict({"state": self._moments(state), "param_groups": groups})
        except (RuntimeError, ValueError, IndexError) as error:
            msg = f"the training state belongs to another network: {str(error).splitlines()[0]}"
            raise ModelError(msg, cure="resume with the settings the training began with") from error
        self.epoch = state.epoch
        self.best = {name: x for name, x in state.tensors.items() if name.startswith("best/")}
        self.best_score = _number(state.meta.get("best_score"))
        self.average = _number(state.meta.get("average_score"))
        self.skipped, self.in_a_row = (
            int(state.meta.get(name) or 0) for name in ("skipped", "skipped_in_a_row")
        )
        if self.scaler.is_enabled() and "loss_scale" in state.meta:
            scale = self.scaler.state_dict()
            scale |= {"scale": state.meta["loss_scale"], "_growth_tracker": state.meta["loss_scale_growth"]}
            self.scaler.load_state_dict(scale)

    def _moments(self, state: TrainingState) -> dict[int, dict[str, Tensor]]:
        weights = [x for group in self.optimizer.param_groups for x in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, x in _part(state, "optimizer/").items():
            number, kind = name.split("/")
            # Moments take the memory order of their weights: the norm of a sum depends on its order.
            like = weights[int(number)] if x.ndim else x
            moments.setdefault(int(number), {})[kind] = torch.empty_like(like).copy_(x)
        return moments


def _optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    weights = [x for x in network.parameters() if x.requires_grad]
    decay, rate = settings.weight_decay, settings.learning_rate
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
    momentum = settings.momentum
    return torch.optim.SGD(weights, lr=rate, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)


def _part(state: TrainingState, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): x for name, x in state.tensors.items() if name.startswith(prefix)}


def _copy(x: Tensor) -> Tensor:
    return x.detach().cpu().clone(memory_format=torch.contiguous_format)


def _number(value: Json) -> float | None:
    return None if value is None else float(value)


def _cuda_devices(device: torch.device) -> list[Any]:
    return [device] if device.type == "cuda" else []
