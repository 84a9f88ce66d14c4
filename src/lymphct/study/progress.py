"""How far trainings are, read from the lines they write: the same from this process and from any other."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lymphct.core.terms import StageName
from lymphct.study.keeping import LOG_FILE

EVERY: Final = 0.3
"""Seconds between two looks."""


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


Progress = Callable[[Step], None]
"""Called after every epoch, in the order in which the lines appear."""


@contextmanager
def watched(stages: Path, progress: Progress | None) -> Iterator[None]:
    """Tell `progress` of every epoch that ends while the block runs, whichever process trains.

    Args:
        stages: folder with a folder per stage.
        progress: called in a thread of its own; None watches nothing.

    """
    if progress is None:
        yield
        return
    watch = _Watch(stages, progress)
    watch.look(silent=True)  # lines of an earlier, interrupted run
    thread = threading.Thread(target=watch.run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.over.set()
        thread.join()
        watch.look()


@dataclass(slots=True)
class _Watch:
    stages: Path
    progress: Progress
    over: threading.Event = field(default_factory=threading.Event)
    read: dict[StageName, int] = field(default_factory=dict)

    def run(self) -> None:
        while not self.over.wait(EVERY):
            self.look()

    def look(self, *, silent: bool = False) -> None:
        """Read the lines that are whole and new."""
        for stage in StageName:
            log = self.stages / stage / LOG_FILE
            if not log.exists():
                continue
            with log.open("rb") as file:
                file.seek(self.read.get(stage, 0))
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self.read[stage] = self.read.get(stage, 0) + len(whole)
            for line in () if silent else whole.splitlines():
                step = _step(stage, line)
                if step is not None:
                    self.progress(step)


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
