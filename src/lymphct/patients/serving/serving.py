"""The service: what is complete in the watched folder is examined, one study after the other, exactly once.

A study goes through five steps, each of which can be taken again after a kill: its files are copied, the copy
is examined, what became of it is committed, the result is renamed into the folder of results, and log,
ledger and queue are brought up to date. Until the third step the work is thrown away and begun again; from
then on it is only brought to its end.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from lymphct.core.errors import EnvironmentProblemError, InputError, LymphctError, UsageError
from lymphct.core.terms import counted
from lymphct.io.pseudonyms import Pseudonyms, require_outside
from lymphct.io.regular_file import combined_digest
from lymphct.io.results.disk import environment_errors
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.locks import locked
from lymphct.io.results.store import clean_stale_staging
from lymphct.patients.serving.examining import EXPORT_FOLDER, Answer, Examine, answer_to
from lymphct.patients.serving.inbox import UNLISTED, Arrived, Inbox
from lymphct.patients.serving.ledger import REFUSED_FOLDER, Ledger, State
from lymphct.patients.serving.publishing import Verdict, cleared, commit, committed, publish
from lymphct.patients.serving.settings import ServingSettings
from lymphct.patients.serving.snapshot import ChangedError, copied

logger = logging.getLogger(__name__)

CHOICES_FILE: Final = "choices.csv"
_SHORTEST: Final = 0.05
"""Seconds between two looks, at least."""

Line = dict[str, JSON]
Told = Callable[[Line], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a service works.

    Attributes:
        inbox: folder that is watched, and never changed.
        outbox: folder of the results.
        key: file of the key of pseudonyms; made where none is. Never in `outbox`.

    """

    inbox: Path
    outbox: Path
    key: Path


class Step(NamedTuple):
    """What one look led to.

    Attributes:
        line: of the log, where a study was brought to its end.
        is_taken: whether a study was dealt with.
        waiting: how many are left.
        ready_in: seconds until the first of them may be complete; infinite where none is left.

    """

    line: Line | None
    is_taken: bool
    waiting: int
    ready_in: float


@contextmanager
def service(
    places: Places, settings: ServingSettings, examine: Examine, *, retry_failed: bool = False
) -> Iterator["Service"]:
    """Yield the one service of a folder of results; what a killed one left is brought to its end first.

    Args:
        places: where it works.
        settings: limits and times.
        examine: what is done with a study.
        retry_failed: examine again what failed before.

    Raises:
        InputError: the watched folder is no folder; a damaged key.
        UsageError: one of the places lies in another.
        HeldError: another service works there.
        EnvironmentProblemError: no permission and the like.

    """
    require_places(places)
    pseudonyms = Pseudonyms.of_file(places.key)
    with locked(places.outbox):
        ledger = Ledger(places.outbox)
        ledger.lay()
        made = Service(
            inbox=Inbox(places.inbox, pseudonyms),
            ledger=ledger,
            pseudonyms=pseudonyms,
            settings=settings,
            examine=examine,
        )
        made.recover()
        made.retry = ledger.failed() if retry_failed else set()
        yield made


def require_places(places: Places) -> None:
    """Refuse places that lie in one another, and a watched folder that is none.

    Raises:
        InputError, UsageError: as `service`.

    """
    if not places.inbox.is_dir():
        msg = f"no such folder to watch: {places.inbox}"
        raise InputError(msg, code="E_MISSING", cure="make it, or check the path")
    require_outside(places.key, places.outbox, "the key")
    inbox, outbox = places.inbox.resolve(), places.outbox.resolve()
    if inbox.is_relative_to(outbox) or outbox.is_relative_to(inbox):
        msg = "the watched folder and the folder of results lie in one another"
        raise UsageError(msg, cure="name two folders apart")


@dataclass(slots=True, kw_only=True)
class Service:
    """A service at work; `service` makes one.

    Attributes:
        inbox: the watched folder.
        ledger: what was done.
        pseudonyms: for names of series.
        settings: limits and times.
        examine: what is done with a study.
        retry: studies that failed and are to be examined again.
        is_blind: whether the watched folder could not be listed at the last look.

    """

    inbox: Inbox
    ledger: Ledger
    pseudonyms: Pseudonyms
    settings: ServingSettings
    examine: Examine
    retry: set[str] = field(default_factory=set)
    is_blind: bool = False

    def recover(self) -> None:
        """Bring to its end what was committed; clear what was not, it is done again from the beginning."""
        clean_stale_staging(self.ledger.outbox / REFUSED_FOLDER)
        for place in self.ledger.works():
            verdict = committed(place)
            if verdict is None:
                cleared(place)
            else:
                publish(verdict, place, self.ledger)

    def run(self, told: Told) -> None:
        """Watch until a signal ends the process; `told` is given each line of the log."""
        while True:
            try:
                step = self.step()
            except EnvironmentProblemError as error:
                if error.code != UNLISTED:
                    raise
                if not self.is_blind:
                    logger.warning("%s; looking again every %g s", error, self.settings.every)
                self.is_blind = True
                time.sleep(self.settings.every)
                continue
            self.is_blind = False
            if step.line is not None:
                told(step.line)
            if not step.is_taken:
                time.sleep(self._pause(step))

    def run_once(self, told: Told) -> list[Line]:
        """Do what is there, waiting for what is still being written; return the lines of the log.

        Raises:
            EnvironmentProblemError: the watched folder cannot be listed.

        """
        lines: list[Line] = []
        last = time.monotonic()
        while True:
            step = self.step()
            if step.line is not None:
                lines.append(step.line)
                told(step.line)
            if step.is_taken:
                last = time.monotonic()
                continue
            if not step.waiting:
                return lines
            if time.monotonic() - last > self.settings.patience * max(self.settings.settle, 1.0):
                logger.warning(
                    "%s still being written: left for the next run", counted(step.waiting, "study")
                )
                return lines
            time.sleep(self._pause(step))

    def _pause(self, step: Step) -> float:
        return max(_SHORTEST, min(self.settings.every, step.ready_in))

    def step(self) -> Step:
        """Look once, and deal with the first study that is complete."""
        arrived = self.inbox.look()
        waiting = [one for one in arrived if not self._is_dealt_with(one)]
        received = {one.name: self.ledger.received(one.name) for one in waiting}
        self._tell_gone({one.name for one in arrived}, set(received))
        missing = {one.name: self.settings.settle - self.inbox.quiet(one) for one in waiting}
        ready = [one for one in waiting if missing[one.name] <= 0]
        if not ready:
            return Step(
                None, is_taken=False, waiting=len(waiting), ready_in=min(missing.values(), default=math.inf)
            )
        first = min(ready, key=lambda one: (received[one.name], one.name))
        line, is_taken = self._take(first, received[first.name])
        return Step(line, is_taken=is_taken, waiting=len(waiting) - is_taken, ready_in=self.settings.settle)

    def _is_dealt_with(self, one: Arrived) -> bool:
        entry = self.ledger.entry(one.name)
        return bool(entry.versions) and entry.signature == self._signature(one) and one.name not in self.retry

    def _signature(self, one: Arrived) -> str:
        choices = self._choices(one.name)
        if choices is None:
            return one.signature
        with environment_errors():
            status = choices.stat()
        return f"{one.signature} {status.st_size} {status.st_mtime_ns}"

    def _choices(self, name: str) -> Path | None:
        """Return the table in which the user named series of a study, where its last refusal is explained."""
        for version in reversed(self.ledger.entry(name).versions):
            if version.state is State.REFUSED:
                path = self.ledger.place(name, version.number, State.REFUSED) / CHOICES_FILE
                if path.is_file():
                    return path
        return None

    def _tell_gone(self, arrived: set[str], waiting: set[str]) -> None:
        """Say of studies that waited and were taken out of the folder that they are gone."""
        for name in sorted(self.ledger.queue() - waiting):
            if name not in arrived:
                self.ledger.tell(
                    {
                        "received": self.ledger.received(name),
                        "study": name,
                        "version": 0,
                        "attempt": 0,
                        "state": State.GONE.value,
                        "patient": "",
                        "files": 0,
                        "seconds": 0.0,
                        "code": "E_GONE",
                        "reason": "its files left the watched folder before it was taken",
                    }
                )
            self.ledger.leave_queue(name)

    def _take(self, one: Arrived, received: str) -> tuple[Line | None, bool]:
        """Deal with a study; return its line of the log, none where nothing new was in it."""
        place, began = self.ledger.work / one.name, time.monotonic()
        choices, signature = self._choices(one.name), self._signature(one)
        answer: Answer | None = None
        try:
            with environment_errors():
                place.mkdir()
            fingerprint = copied(
                one, self.inbox.folder, place / EXPORT_FOLDER, self.pseudonyms, self.settings
            )
        except ChangedError:
            self.inbox.stir(one.name)
            cleared(place)
            return None, False
        except LymphctError as error:
            fingerprint, answer = one.signature, answer_to(error)
        if choices is not None:
            fingerprint = combined_digest([fingerprint, digest_file(choices)])
        entry = self.ledger.entry(one.name)
        known = entry.of(fingerprint)
        if known is not None and not (known.state is State.FAILED and one.name in self.retry):
            self.ledger.keep(one.name, replace(entry, signature=signature))
            self.ledger.leave_queue(one.name)
            cleared(place)
            return None, True
        verdict = Verdict(
            study=one.name,
            version=self.ledger.next_number(one.name) if known is None else known.number,
            attempt=1 if known is None else known.attempt + 1,
            fingerprint=fingerprint,
            signature=signature,
            received=received,
            files=len(one.files),
            answer=answer or self.examine(place, choices),
            seconds=round(time.monotonic() - began, 1),
        )
        commit(verdict, place)
        publish(verdict, place, self.ledger)
        self.retry.discard(one.name)
        return verdict.line(), True
