"""Which stage of which patient is under way, told across processes."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lymphct.core.errors import EnvironmentProblemError
from lymphct.io.results.jsonfile import append_json_line
from lymphct.io.results.tail import Tail, looking

Begun = Callable[[str, str], None]
"""Takes the id of a patient and the name of the stage that begins."""


@dataclass(frozen=True, slots=True)
class Course:
    """Takes what begins, in any process, and passes it on to the one that watches."""

    file: Path | None = None

    def __call__(self, patient_id: str, stage: str) -> None:
        """Say that a stage of a patient begins; nobody needs to listen."""
        if self.file is not None:
            # Who can hear it no more is no reason to stop the work.
            with suppress(EnvironmentProblemError):
                append_json_line(self.file, {"patient": patient_id, "stage": stage})

    def of(self, patient_id: str) -> Callable[[str], None]:
        """Return the same for one patient."""
        return partial(self, patient_id)


@contextmanager
def watched_course(begun: Begun | None) -> Iterator[Course]:
    """Yield a course that work in other processes may tell; `begun` is called in a thread of its own.

    Args:
        begun: None listens to nothing.

    """
    if begun is None:
        yield Course()
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix="lymphct-"))
    except OSError:  # no room for a line: the work goes on, unwatched
        yield Course()
        return
    tail = Tail(folder / "course.jsonl")

    def look() -> None:
        for line in tail.lines():
            entry = json.loads(line)
            begun(entry["patient"], entry["stage"])

    try:
        with looking(look):
            yield Course(tail.path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
