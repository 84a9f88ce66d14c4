"""How far trainings are, read from what they write: the same from this process and from any other."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lymphct.core.terms import StageName
from lymphct.io.results.tail import Tail, looking
from lymphct.study.keeping import LOG_FILE
from lymphct.study.pulse import Pulse, read_pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An epoch that ended.

    Attributes:
        stage: which training.
        epoch: from 1.
        epochs: how many there will be.
        loss: mean of the epoch.
        score: on validation patients; None when not validated.
        seconds: wall time of the epoch.

    """

    stage: StageName
    epoch: int
    epochs: int
    loss: float
    score: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Beat:
    """Iterations that were done meanwhile, between the ends of epochs."""

    stage: StageName
    pulse: Pulse


Progress = Callable[[Step | Beat], None]
"""Called after every epoch, in the order in which the lines appear, and every few seconds between them."""


@contextmanager
def watched(stages: Path, progress: Progress | None) -> Iterator[None]:
    """Tell `progress` of every epoch that ends and how far the next one is, whichever process trains.

    Args:
        stages: folder with a folder per stage.
        progress: called in a thread of its own; None watches nothing.

    """
    if progress is None:
        yield
        return
    watch = _Watch(stages, progress)
    watch.look(silent=True)  # lines of an earlier, interrupted run
    with looking(watch.look):
        yield


@dataclass(slots=True)
class _Watch:
    stages: Path
    progress: Progress
    logs: dict[StageName, Tail] = field(default_factory=dict)
    pulses: dict[StageName, Pulse | None] = field(default_factory=dict)

    def look(self, *, silent: bool = False) -> None:
        """Read what is new."""
        for stage in StageName:
            folder = self.stages / stage
            log = self.logs.setdefault(stage, Tail(folder / LOG_FILE))
            steps = [step for line in log.lines() if (step := _step(stage, line)) is not None]
            pulse = read_pulse(folder)
            is_new, self.pulses[stage] = pulse != self.pulses.get(stage), pulse
            if silent:
                continue
            for step in steps:
                self.progress(step)
            if pulse is not None and is_new:
                self.progress(Beat(stage, pulse))


def _step(stage: StageName, line: bytes) -> Step | None:
    try:
        values = json.loads(line)
    except ValueError:  # torn by a kill; the resumed training wrote its lines below
        return None
    return Step(
        stage=stage,
        epoch=values["epoch"],
        epochs=values["epochs"],
        loss=values["loss"],
        score=values["score"],
        seconds=values["seconds"],
    )
