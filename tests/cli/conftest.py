"""The program run inside the test's own process: starting Python costs seconds, an error line does not."""

import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Self

import pytest
import torch

from lymphct.cli import commands
from lymphct.cli.context import GLOBALS, Globals, shared_console, start_logging
from lymphct.cli.main import exit_code, new_app
from lymphct.io.threads import COUNTS


@dataclass(frozen=True)
class Finished:
    """What a command left: exit code and both streams."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _restored_globals() -> Iterator[None]:
    """Leave global options and logging as they were: other tests read the log through pytest."""
    log = logging.getLogger("lymphct")
    handlers, level, propagate = list(log.handlers), log.level, log.propagate
    yield
    shared_console.cache_clear()
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)
    fresh = Globals()
    for option in fields(Globals):
        setattr(GLOBALS, option.name, getattr(fresh, option.name))


@pytest.fixture(autouse=True)
def _restored_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no command settle the threads of the tests after it."""
    for name in (*COUNTS, "OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        value = os.environ.get(name)
        monkeypatch.setenv(name, "" if value is None else value)  # so that it is put back
        if value is None:
            monkeypatch.delenv(name)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Terminal(io.StringIO):
    """An interactive terminal that remembers what it was sent."""

    def isatty(self) -> bool:
        return True

    def __enter__(self) -> Self:
        """Take the place of stderr; inside the test, since pytest puts its own there before."""
        self.before, sys.stderr = sys.stderr, self
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr = self.before

    @property
    def text(self) -> str:
        """Return what was shown, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue())

    def alone(self, line: str) -> bool:
        """Tell whether a line stands on a line of its own: nothing else was there, or it was erased."""
        before, found, after = self.text.partition(line)
        rest_of_line = re.split(r"\n|\r|\x1b\[2K", before)[-1]
        return bool(found) and not rest_of_line.strip() and after.lstrip(" ").startswith("\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return an interactive terminal that stands in the place of stderr as a context, logging included."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    shared_console.cache_clear()
    start_logging()
    return Terminal()


@pytest.fixture
def lymphct(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Return a function that runs one command, for example `lymphct("check", path)`."""
    app = new_app()
    commands.register(app)

    def run(*arguments: object) -> Finished:
        capsys.readouterr()
        code = exit_code(app, [str(word) for word in arguments])
        streams = capsys.readouterr()
        return Finished(code, streams.out, streams.err)

    return run
