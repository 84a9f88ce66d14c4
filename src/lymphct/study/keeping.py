"""Where the states of a training go: a checkpoint and a line of the log per epoch."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from lymphct.core.errors import UsageError
from lymphct.io.models.checkpoints import has_checkpoint, load_checkpoint, save_checkpoint
from lymphct.io.results.jsonfile import append_json_line, read_json, write_json
from lymphct.learning.training import EpochRecord, TrainingState
from lymphct.study.pulse import PulseWriter

LOG_FILE: Final = "log.jsonl"
LESSON_FILE: Final = "lesson.json"
"""What a training in progress learns from, where labels are made for it: a key."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The folder of one training; a `Keep` of `fit_stage`.

    Attributes:
        folder: receives checkpoints, log and pulse.
        state: the one that was there when the folder was opened, to go on from; None begins anew.
        pulse: tells those who look how far the training is, every two seconds; None tells nobody.

    """

    folder: Path
    state: TrainingState | None = None
    pulse: PulseWriter | None = None

    @classmethod
    def open(cls, folder: Path, *, resume: bool) -> Self:
        """Look for the last checkpoint in a folder, which need not exist.

        Raises:
            UsageError: there is one, and nobody asked to go on from it.

        """
        saved = load_checkpoint(folder)
        if saved is None:
            return cls(folder, pulse=PulseWriter(folder))
        if not resume:
            msg = f"stage {folder.name} was begun here before"
            raise UsageError(msg, code="E_BEGUN", cure="add --resume, or choose another --out")
        tensors, meta = saved
        epoch = int(str(meta.pop("epoch")))
        state = TrainingState(epoch=epoch, tensors=tensors, meta=meta)  # type: ignore[arg-type] # scalars
        return cls(folder, state, PulseWriter(folder))

    def last(self) -> TrainingState | None:
        """Return the state to go on from; None begins anew."""
        return self.state

    def told(self, done: int, total: int) -> None:
        """Let everybody who looks know how far the training is."""
        if self.pulse is not None:
            self.pulse(done, total)

    def add(self, record: EpochRecord, epochs: int) -> None:
        """Commit a checkpoint, then write a line that says so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_checkpoint(self.folder, record.state.tensors, {**record.state.meta, "epoch": record.state.epoch})
        append_json_line(
            self.folder / LOG_FILE,
            {
                "epoch": record.epoch,
                "epochs": epochs,
                "loss": record.loss,
                "score": record.score,
                "learning_rate": record.learning_rate,
                "seconds": round(record.seconds, 2),
                "skipped": record.skipped,
                "rejected_share": record.rejected_share,
            },
        )


@dataclass(slots=True)
class Sparing:
    """Keeps a state now and then: of networks whose epochs are shorter than their checkpoints take to write.

    Attributes:
        keep: receives what is kept.
        every: seconds between two states that are kept; a kill costs no more than these.
        began: when the training began, then when the last state was kept, on the monotonic clock.

    """

    keep: Checkpoints
    every: float = 30.0
    began: float = field(default_factory=time.monotonic)

    def last(self) -> TrainingState | None:
        """Return the state to go on from; None begins anew."""
        return self.keep.last()

    def told(self, done: int, total: int) -> None:
        """Let everybody who looks know how far the training is."""
        self.keep.told(done, total)

    def add(self, record: EpochRecord, epochs: int) -> None:
        """Commit a checkpoint where the last one is old enough."""
        if time.monotonic() - self.began >= self.every:
            self.keep.add(record, epochs)
            self.began = time.monotonic()


def lesson_checkpoints(folder: Path, key: str, *, resume: bool) -> Checkpoints:
    """Open the checkpoints of a training; one that was begun with other labels does not go on.

    Args:
        folder: of the training.
        key: of the labels it learns from.
        resume: whether to go on with one that was begun.

    Raises:
        UsageError: it was begun and is not resumed, or its labels are others now.

    """
    keep = Checkpoints.open(folder, resume=resume)
    file = folder / LESSON_FILE
    if has_checkpoint(folder) and file.exists() and read_json(file) != {"key": key}:
        msg = "the labels of the student are others than those its training was begun with"
        raise UsageError(msg, code="E_OTHER_RUN", cure="choose another --out, or restore the teacher's masks")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, {"key": key})
    return keep
