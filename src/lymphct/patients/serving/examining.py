"""One study examined: imported without a guess, predicted; in a child process that costs itself alone."""

import logging
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from lymphct.core.errors import InputError, LymphctError
from lymphct.io.children import Child, run_child
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.patients.serving.ledger import State
from lymphct.patients.serving.settings import ServingSettings

logger = logging.getLogger(__name__)

EXPORT_FOLDER: Final = "export"
COHORT_FOLDER: Final = "cohort"
RESULT_FOLDER: Final = "result"
ANSWER_FILE: Final = "answer.json"
JOB_FILE: Final = "job.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How every study is examined.

    Attributes:
        key: file of the key of pseudonyms.
        bundle: folder of the models.
        signed: digest of the bundle whose signature was verified; others are refused. None: not asked for.
        config: settings, as JSON.
        device: on which the networks run.
        registration: of the arterial phase; None = as the bundle was trained.
        dicom: add DICOM objects to each result.
        resample: bring tilted and uneven stacks onto an even grid.
        jobs: series looked at side by side.
        threads: of the registration.

    """

    key: str
    bundle: str
    config: str
    signed: str | None = None
    device: str = "auto"
    registration: str | None = None
    dicom: bool = False
    resample: bool = False
    jobs: int = 1
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a study.

    Attributes:
        state: done (its folder `result` is whole), refused or failed.
        code, reason: why, where it is not done.
        patient: pseudonym; empty when there is none.

    """

    state: State
    code: str = ""
    reason: str = ""
    patient: str = ""


class Examine(Protocol):
    """Examines the study in the folder `export` of a place; whatever it makes, it makes in that place."""

    def __call__(self, place: Path, choices: Path | None) -> Answer:
        """Return what became of it; never raises for what is wrong with the study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InChild:
    """Examines in a process of its own, within limits of time and memory.

    Attributes:
        how: what it is told.
        settings: its limits.

    """

    how: How
    settings: ServingSettings

    def __call__(self, place: Path, choices: Path | None) -> Answer:
        """Start the process and wait for its answer."""
        chosen = None if choices is None else str(choices)
        write_json(place / JOB_FILE, {"how": asdict(self.how), "choices": chosen, "parent": os.getpid()})
        limits = self.settings
        child = Child(
            name=place.name,
            log=logger,
            folder=Path.cwd(),
            seconds=limits.study_seconds,
            memory=limits.study_memory,
        )
        command = [sys.executable, "-m", "lymphct.patients.serving.child", str(place)]
        ended = run_child(command, child)
        if ended.is_stopped:
            reason = f"it took more than {limits.study_seconds:g} s"
            return Answer(state=State.FAILED, code="E_LIMITS", reason=reason)
        try:
            return answer_of(read_json(place / ANSWER_FILE))
        except InputError:
            if ended.code < 0:
                reason = "its process was killed, probably for lack of memory"
                return Answer(state=State.FAILED, code="E_MEMORY", reason=reason)
            reason = f"its process ended before its time (exit {ended.code}) - see `lymphct doctor`"
            return Answer(state=State.FAILED, code="E_LOST", reason=reason)


def answer_to(error: LymphctError, patient: str = "") -> Answer:
    """Return what an error means for a study: refused where it is the study's own fault, else failed.

    Neither paths nor names of files are in the reason.
    """
    text = error.cause + (f" - {error.cure}" if error.cure else "")
    return Answer(
        state=State.REFUSED if isinstance(error, InputError) else State.FAILED,
        code=error.code,
        reason="".join(c if c.isprintable() else repr(c)[1:-1] for c in text),
        patient=patient,
    )


def answer_of(record: Any) -> Answer:  # noqa: ANN401 - JSON of ours
    """Return an answer as it was written."""
    return Answer(**{**record, "state": State(record["state"])})
