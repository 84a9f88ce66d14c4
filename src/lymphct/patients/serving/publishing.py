"""What became of a study, committed once, and brought to its end however often that is begun."""

import logging
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lymphct.core.system import move, sync
from lymphct.io.results.disk import environment_errors
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.locks import exclusive_lock
from lymphct.io.results.store import committed_folder, read_done
from lymphct.patients.exports.tables import PROPOSALS_FILE, SERIES_FILE
from lymphct.patients.serving.examining import COHORT_FOLDER, RESULT_FOLDER, Answer
from lymphct.patients.serving.ledger import Ledger, State, Version

logger = logging.getLogger(__name__)

VERDICT_FILE: Final = "verdict.json"
REFUSAL_FILE: Final = "refusal.json"
_LOCK_PATIENCE: Final = 30.0
"""Seconds to wait for a process that a killed service left behind; it ends by itself in less than one."""
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a study, with all that log and ledger say of it.

    Attributes:
        study: its name.
        version, attempt: numbers, from 1.
        fingerprint, signature: digests of its content, and of its files as they lay.
        received: when it was first seen, UTC.
        files: their number.
        seconds: that it took.
        answer: of the examination.

    """

    study: str
    version: int
    attempt: int
    fingerprint: str
    signature: str
    received: str
    files: int
    seconds: float
    answer: Answer

    def line(self) -> dict[str, JSON]:
        """Return its line of the log."""
        return {
            "received": self.received,
            "study": self.study,
            "version": self.version,
            "attempt": self.attempt,
            "patient": self.answer.patient,
            "files": self.files,
            "state": self.answer.state.value,
            "seconds": self.seconds,
            "code": self.answer.code,
            "reason": self.answer.reason,
        }

    def entered(self) -> Version:
        """Return what the ledger says of it."""
        return Version(
            number=self.version,
            fingerprint=self.fingerprint,
            state=self.answer.state,
            code=self.answer.code,
            reason=self.answer.reason,
            attempt=self.attempt,
        )


def commit(verdict: Verdict, place: Path) -> None:
    """Commit a verdict in the folder of the work: from here on the work is only brought to its end."""
    write_json(place / VERDICT_FILE, asdict(verdict))


def committed(place: Path) -> Verdict | None:
    """Return the verdict of a folder of work; None where the work did not come so far."""
    if not (place / VERDICT_FILE).exists():
        return None
    record: Any = read_json(place / VERDICT_FILE)
    answer = {**record["answer"], "state": State(record["answer"]["state"])}
    return Verdict(**{**record, "answer": Answer(**answer)})


def publish(verdict: Verdict, place: Path, ledger: Ledger) -> bool:
    """Put the result where it belongs, write log and ledger, clear the work; return whether it was told.

    Raises:
        EnvironmentProblemError: no space and the like; the next attempt goes on from there.

    """
    target = ledger.place(verdict.study, verdict.version, verdict.answer.state)
    with environment_errors():
        if verdict.answer.state is State.DONE and (place / RESULT_FOLDER).exists():
            move(place / RESULT_FOLDER, target)
            sync(target.parent)
        elif verdict.answer.state is State.REFUSED and read_done(target) is None:
            _refuse(verdict, place, target)
        is_told = ledger.tell(verdict.line())
        entry = ledger.entry(verdict.study)
        ledger.keep(verdict.study, entry.with_version(verdict.entered(), verdict.signature))
        ledger.leave_queue(verdict.study)
    cleared(place)
    return is_told


def _refuse(verdict: Verdict, place: Path, target: Path) -> None:
    """Write why a study was refused, and of which series it consists, for whoever has to decide."""
    target.parent.mkdir(exist_ok=True)
    with committed_folder(target, {"study": verdict.fingerprint}) as staging:
        answer = verdict.answer
        said: dict[str, JSON] = {"patient_id": answer.patient, "code": answer.code, "reason": answer.reason}
        write_json(staging / REFUSAL_FILE, {"schema": 1, **said})
        for name in (SERIES_FILE, PROPOSALS_FILE):
            table = place / COHORT_FOLDER / name
            if table.exists():
                shutil.copyfile(table, staging / name)


def cleared(place: Path) -> None:
    """Remove a folder of work, once no process that was left behind works in it.

    Raises:
        HeldError: one does not end.

    """
    with exclusive_lock(place.with_name(f".{place.name}.lock"), wait=_LOCK_PATIENCE):
        for _ in range(_ATTEMPTS):  # a process that is about to end may have written between two steps
            with suppress(OSError):
                shutil.rmtree(place)
            if not place.exists():
                return
        with environment_errors():
            shutil.rmtree(place)
