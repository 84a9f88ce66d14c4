"""How far a training is within its epoch: a small file, replaced every few seconds, that anybody can read."""

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lymphct.io.results.jsonfile import format_json

PULSE_FILE: Final = "progress.json"
EVERY: Final = 2.0
"""Seconds between two writings; the first iteration is told at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """Iterations of one training.

    Attributes:
        done: since the training began, also in an earlier, interrupted run.
        total: of the whole training.
        seconds: an iteration takes, validation and checkpoints between them counted in; after the first one
            what it took with everything before it.

    """

    done: int
    total: int
    seconds: float

    @property
    def left(self) -> float:
        """Return the seconds to go."""
        return self.seconds * (self.total - self.done)


@dataclass(slots=True)
class PulseWriter:
    """Writes the pulse of a training into its folder; most iterations cost a look at the clock."""

    folder: Path
    made: float = field(default_factory=time.monotonic)
    first: int = 0
    began: float = 0.0
    told: float = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Take the number of iterations that are done."""
        now = time.monotonic()
        seconds = now - self.made
        if not self.began:
            self.first, self.began = done, now
        elif now - self.told < EVERY and done < total:
            return
        if done > self.first:
            seconds = (now - self.began) / (done - self.first)
        self.told = now
        staging = self.folder / f".{PULSE_FILE}.writing"
        # Nothing is lost when the disk refuses: the next checkpoint says so.
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            staging.write_bytes(format_json({"done": done, "total": total, "seconds": round(seconds, 4)}))
            os.replace(staging, self.folder / PULSE_FILE)  # noqa: PTH105 - as the store's renames


def read_pulse(folder: Path) -> Pulse | None:
    """Return how far the training of a folder is; None where it has not begun."""
    try:
        values: Any = json.loads((folder / PULSE_FILE).read_bytes())
        return Pulse(done=values["done"], total=values["total"], seconds=values["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
