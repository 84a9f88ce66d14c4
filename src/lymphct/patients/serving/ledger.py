"""What was done of whom: one file per study, a queue of those that wait, a line of the log for each.

Everything is committed by a rename, and every step can be taken again: a service that is killed at any moment
goes on where it was. `serve.jsonl` is for people and programs that read along; what decides is the ledger.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import InputError
from lymphct.core.system import sync
from lymphct.io.results.disk import environment_errors
from lymphct.io.results.jsonfile import JSON, append_json_line, parse_json, read_json, write_json

LOG_FILE: Final = "serve.jsonl"
HIDDEN: Final = ".serve"
"""Folder of the service's own files in the folder of results, for its owner alone."""
REFUSED_FOLDER: Final = "refused"
_TAIL: Final = 65_536


class State(StrEnum):
    """What became of a study."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A study with one content, and what became of it.

    Attributes:
        number: from 1, per study.
        fingerprint: digest of the content.
        state: done, refused or failed.
        code, reason: why it was refused or failed.
        attempt: how often it was examined to an end.

    """

    number: int
    fingerprint: str
    state: State
    code: str = ""
    reason: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A study in the ledger.

    Attributes:
        signature: digest of its files as they lay in the folder when they were last dealt with.
        versions: in the order of their numbers.

    """

    signature: str = ""
    versions: tuple[Version, ...] = ()

    def of(self, fingerprint: str) -> Version | None:
        """Return the version with some content; None where it is new."""
        return next((one for one in self.versions if one.fingerprint == fingerprint), None)

    def with_version(self, version: Version, signature: str) -> "Entry":
        """Return the entry with a version added, or replaced by a later attempt."""
        others = [one for one in self.versions if one.number != version.number]
        ordered = tuple(sorted([*others, version], key=lambda one: one.number))
        return replace(self, signature=signature, versions=ordered)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The files of a service in the folder of its results.

    Attributes:
        outbox: that folder.

    """

    outbox: Path
    _entries: dict[str, Entry] = field(default_factory=dict, compare=False)

    @property
    def work(self) -> Path:
        """Return the folder in which studies are examined."""
        return self._hidden("work")

    def works(self) -> list[Path]:
        """Return the folders of work that a killed service left, or of which it left the lock alone."""
        names = (path.name for path in self.work.iterdir())
        return [
            self.work / name for name in sorted({n.removeprefix(".").removesuffix(".lock") for n in names})
        ]

    @property
    def log(self) -> Path:
        """Return the log of one line per study."""
        return self.outbox / LOG_FILE

    def _hidden(self, name: str) -> Path:
        return self.outbox / HIDDEN / name

    def lay(self) -> None:
        """Make the folders."""
        with environment_errors():
            (self.outbox / HIDDEN).mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("work", "queue", "studies"):
                self._hidden(name).mkdir(exist_ok=True)
                sync(self._hidden(name).parent)

    def entry(self, name: str) -> Entry:
        """Return what is known of a study.

        Raises:
            InputError: its file is damaged, which no crash of ours leaves behind.

        """
        if name not in self._entries:
            path = self._study(name)
            self._entries[name] = _entry(read_json(path)) if path.exists() else Entry()
        return self._entries[name]

    def keep(self, name: str, entry: Entry) -> None:
        """Commit what is known of a study."""
        versions: list[JSON] = [dict(asdict(version)) for version in entry.versions]
        write_json(self._study(name), {"schema": 1, "signature": entry.signature, "versions": versions})
        self._entries[name] = entry

    def failed(self) -> set[str]:
        """Return the studies whose last version failed."""
        names = [path.stem for path in self._hidden("studies").glob("*.json")]
        return {
            name
            for name in names
            if (versions := self.entry(name).versions) and versions[-1].state is State.FAILED
        }

    def received(self, name: str) -> str:
        """Return when a study was first seen that is still to be done; it waits in the queue from then on."""
        path = self._waiting(name)
        if not path.exists():
            write_json(path, {"received": datetime.now(UTC).isoformat(timespec="seconds")})
        record: Any = read_json(path)
        return str(record["received"])

    def queue(self) -> set[str]:
        """Return the names of the studies that wait."""
        return {path.stem for path in self._hidden("queue").glob("*.json")}

    def leave_queue(self, name: str) -> None:
        """Take a study out of the queue."""
        self._waiting(name).unlink(missing_ok=True)

    def tell(self, line: Mapping[str, JSON]) -> bool:
        """Append a line to the log unless it stands at its end already; return whether it was appended."""
        same = ("study", "version", "attempt", "received", "state")
        if any(all(told.get(key) == line[key] for key in same) for told in _last_lines(self.log)):
            return False
        append_json_line(self.log, line)
        return True

    def place(self, name: str, number: int, state: State) -> Path:
        """Return the folder that a version of a study gets."""
        shown = name if number == 1 else f"{name}-{number}"
        return (self.outbox / REFUSED_FOLDER if state is State.REFUSED else self.outbox) / shown

    def next_number(self, name: str) -> int:
        """Return the number of a new version: one whose folders are free, even if the ledger was lost."""
        number = max((one.number for one in self.entry(name).versions), default=0) + 1
        while any(self.place(name, number, state).exists() for state in (State.DONE, State.REFUSED)):
            number += 1
        return number

    def _study(self, name: str) -> Path:
        return self._hidden("studies") / f"{name}.json"

    def _waiting(self, name: str) -> Path:
        return self._hidden("queue") / f"{name}.json"


def _entry(record: Any) -> Entry:  # noqa: ANN401 - JSON of ours
    versions = [Version(**{**one, "state": State(one["state"])}) for one in record["versions"]]
    return Entry(signature=record["signature"], versions=tuple(versions))


def _last_lines(path: Path) -> list[Mapping[str, JSON]]:
    if not path.exists():
        return []
    with environment_errors(), path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
        lines = stream.read().splitlines()
    found: list[Mapping[str, JSON]] = []
    for line in lines:
        try:
            value = parse_json(line)
        except InputError:  # torn by a kill, or cut by the seek
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
