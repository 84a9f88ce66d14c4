"""The user's own programs as children: with limits, progress in our log, and nothing left behind."""

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lymphct.core.system import kill_group

_LIMITED: Final = (
    "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_AS, (n, n)); "
    "os.execvp(sys.argv[2], sys.argv[2:])"
)
_PERCENT: Final = re.compile(rb"(\d{1,3})%\|")
_TOLD_EVERY: Final = 10
_CHUNK: Final = 65_536
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """How a program is run.

    Attributes:
        name: as the log calls it.
        log: receives its bars as whole tens of percent, and at level debug all else it says.
        folder: in which it works.
        seconds: until it and everything it started are killed.
        memory: bytes of its address space; None for no limit.
        environment: variables that it sees besides ours.

    """

    name: str
    log: logging.Logger
    folder: Path
    seconds: float
    memory: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it ended.

    Attributes:
        code: of its exit.
        last: the last line it said, without folders; empty when it said nothing.
        is_stopped: whether it took longer than it may.

    """

    code: int
    last: str
    is_stopped: bool


def run_child(command: Sequence[str], child: Child) -> Ended:
    """Run a program to its end, or to the limit of its time.

    Raises:
        OSError: it does not start.

    """
    if child.memory is not None:
        command = [sys.executable, "-c", _LIMITED, str(child.memory), *command]
    process = subprocess.Popen(  # noqa: S603 - the user's own program, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **child.environment, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        cwd=child.folder,
    )
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        kill_group(process.pid)

    timer = threading.Timer(child.seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        with process:
            try:
                last = _listened(process, child)
                code = process.wait()
            except BaseException:
                kill_group(process.pid)
                raise
    finally:
        timer.cancel()
    return Ended(code=code, last=last, is_stopped=stopped.is_set())


def _listened(process: subprocess.Popen[bytes], child: Child) -> str:
    """Log progress while the child speaks; return its last line, without folders."""
    last, told, rest = "", 0, b""
    stream = process.stdout
    while stream is not None:
        part = os.read(stream.fileno(), _CHUNK)
        *lines, rest = re.split(rb"[\r\n]", rest + (part or b"\n"))
        rest = rest[-_CHUNK:]
        for line in lines:
            found = _PERCENT.search(line)
            if found is None:
                text = line.decode("utf-8", "replace").strip()
                last = text or last
                child.log.debug("%s: %s", child.name, text[:_SHOWN])
                continue
            tens = int(found[1]) // _TOLD_EVERY * _TOLD_EVERY
            if tens > told:
                child.log.info("%s: %d %%", child.name, tens)
            told = tens  # it falls where another bar begins
        if not part:
            break
    return re.sub(r"\S*/", "", last)[:_SHOWN]
