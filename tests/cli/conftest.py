"""The program run inside the test's own process: starting Python costs seconds, an error line does not."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import pytest

from lymphct.cli import commands
from lymphct.cli.context import GLOBALS, Globals
from lymphct.cli.main import exit_code, new_app


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
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)
    fresh = Globals()
    for option in fields(Globals):
        setattr(GLOBALS, option.name, getattr(fresh, option.name))


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
