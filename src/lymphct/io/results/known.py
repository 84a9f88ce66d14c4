"""Files that need not be hashed again: their size, time of change and inode are those of the last time."""

import hashlib
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationError

from lymphct.core.errors import InputError
from lymphct.core.system import move
from lymphct.io.images.sources import source_of
from lymphct.io.results.fingerprints import digest_input
from lymphct.io.results.jsonfile import format_json, read_json

SETTLED: Final = 2.0
"""Seconds after which another change cannot have the same time of change; younger files are hashed again."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Input(BaseModel):
    """What a file or folder looked like, and its digest then."""

    stamp: _Digest
    sha256: _Digest


class _Record(BaseModel):
    """Content of the file."""

    format: Literal["known"] = "known"
    inputs: dict[str, _Input] = {}
    result: str = ""


@dataclass(slots=True)
class Known:
    """What a result was made from and what it looked like, as last seen; kept in a file beside it.

    It only saves work: without the file, or where it cannot be written, everything is hashed. Paths are not
    kept, so a store tells nothing of where the images came from. Several processes may use it at once.

    Attributes:
        path: of the file.
        trusts: use what is remembered; otherwise hash everything, and remember that.

    """

    path: Path
    trusts: bool = True
    _record: _Record = field(default_factory=_Record)
    _seen: dict[str, _Input] = field(default_factory=dict)

    @classmethod
    def beside(cls, place: Path, *, trusts: bool = True) -> Self:
        """Read what is remembered of the result in a folder; nothing where the file is missing or damaged."""
        path = place.with_name(f"index-{place.name}.json")
        try:
            record = _Record.model_validate(read_json(path))
        except (InputError, ValidationError):
            record = _Record()
        return cls(path, trusts, record)

    def digests(self, files: Mapping[str, Path]) -> dict[str, str]:
        """Return the digest of each input, hashing those that are not known as they are now.

        Args:
            files: role → file or folder, as `fingerprints.digest_input` takes them.

        Raises:
            InputError: one is missing or cannot be read.

        """
        return {role: self._digest(role, path) for role, path in files.items()}

    def _digest(self, role: str, path: Path) -> str:
        stamp, newest = _input_stamp(path)
        known = self._record.inputs.get(role)
        if self.trusts and known is not None and known.stamp == stamp:
            self._seen[role] = known
            return known.sha256
        before = time.time()
        digest = digest_input(path)
        if newest < before - SETTLED and _input_stamp(path)[0] == stamp:
            self._seen[role] = _Input(stamp=stamp, sha256=digest)
        return digest

    def vouches(self, place: Path) -> bool:
        """Tell whether the files of a result look as they did when they were last known to be whole."""
        return self.trusts and bool(self._record.result) and self._record.result == _stamp(place)[0]

    def keep(self, place: Path) -> None:
        """Remember the inputs and the result, which are known to be whole; write only what changed."""
        record = _Record(inputs=self._seen, result=_stamp(place)[0])
        if record != self._record:
            self._record = record
            self._write(format_json(record.model_dump(mode="json")))

    def _write(self, content: bytes) -> None:
        own = self.path.with_name(f".{self.path.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            own.write_bytes(content)
            move(own, self.path)
        except OSError:  # a store that may only be read, a full disk: the next run hashes again
            with suppress(OSError):
                own.unlink(missing_ok=True)

    def forget(self) -> None:
        """Let the next run hash everything, because something was found damaged."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def damaged(path: Path, patient: str = "") -> InputError:
    """Return the error of a part of a result that is damaged; the next run hashes that result.

    Args:
        path: of the part, in the folder of the result.
        patient: whose it is.

    """
    Known.beside(path.parent).forget()
    msg = "an intermediate image is missing or damaged"
    cure = "run the command again: what is damaged is made again"
    return InputError(msg, code="E_DAMAGED", cure=cure).at(patient=patient, file=path.name)


def _input_stamp(path: Path) -> tuple[str, float]:
    place, series = source_of(path)
    stamp, newest = _stamp(place)
    return hashlib.sha256(f"{stamp} {series}".encode("utf-8", "surrogateescape")).hexdigest(), newest


def _stamp(path: Path) -> tuple[str, float]:
    """Return one digest of how a file, or all below a folder, looks, and its last time of change (s)."""
    files = [path] if not path.is_dir() else sorted(file for file in path.rglob("*") if not file.is_dir())
    lines, newest = [], 0.0
    for file in files:
        try:
            status = file.stat()
        except OSError:  # whoever reads it says so
            lines.append(f"{file.name} is missing\n")
            continue
        name = "" if file == path else file.relative_to(path).as_posix()
        lines.append(f"{name} {status.st_size} {status.st_mtime_ns} {status.st_ino}\n")
        newest = max(newest, status.st_mtime)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest(), newest
