"""What every command shares: the global options, logging, and how an error ends the program."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from lymphct.config import Config

GLOBAL_WITH_VALUE = ("--config", "--set", "--device", "--jobs", "--threads", "--seed")
GLOBAL_SWITCHES = ("--version", "--debug", "-v", "--verbose", "-q", "--quiet")


@dataclass(slots=True)
class Globals:
    """The options that hold for every command."""

    config: str | None = None
    overrides: list[str] = field(default_factory=list)
    device: str = "auto"
    jobs: int = 1
    seed: int = 0
    debug: bool = False
    quiet: bool = False
    verbose: bool = False
    go_on: Callable[[], str] | None = None
    """How to go on after an interruption, asked for when there was one; set by a command with long work."""

    @property
    def show_progress(self) -> bool:
        """Tell whether progress bars make sense: someone watches and did not ask for silence."""
        return sys.stderr.isatty() and not self.quiet


GLOBALS = Globals()
"""Filled by the callback of the command line before a command runs."""


def chosen_config() -> "Config":
    """Return the settings of `--config` and `--set`.

    A command asks for them before it imports its rooms: a mistake in them costs no wait for networks.
    """
    from lymphct.io.settings import load_config

    return load_config(GLOBALS.config, GLOBALS.overrides)


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Move global options before the command, so that they may stand anywhere.

    >>> hoisted(["phantom", "OUT", "--seed", "3", "--size", "nano"])
    ['--seed', '3', 'phantom', 'OUT', '--size', 'nano']
    """
    front: list[str] = []
    rest: list[str] = []
    pending = list(arguments)
    while pending:
        word = pending.pop(0)
        if word == "--":
            rest += [word, *pending]
            break
        if word in GLOBAL_WITH_VALUE:
            if not pending:  # nothing may follow, so that the parser says what is missing
                return [*front, word]
            front += [word, pending.pop(0)]
        elif word in GLOBAL_SWITCHES or word.startswith(tuple(f"{name}=" for name in GLOBAL_WITH_VALUE)):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def start_logging() -> None:
    """Send one line per message to stderr: warnings always, progress notes unless `-q`, details with `-v`."""
    level = logging.DEBUG if GLOBALS.verbose else logging.WARNING if GLOBALS.quiet else logging.INFO
    handler = _ToStderr()
    handler.setFormatter(_OneLine("%(levelname)s %(message)s"))
    root = logging.getLogger("lymphct")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


class _ToStderr(logging.Handler):
    """Prints to whatever stderr is now: while a bar is shown, that puts the line above it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201 - the terminal belongs to this room


class _OneLine(logging.Formatter):
    """Text from outside must not drive the terminal or look like a line of ours."""

    def format(self, record: logging.LogRecord) -> str:
        line = one_line(super().format(record))
        # A traceback keeps its lines; it is shown only on request.
        return line if record.exc_info is None else super().format(record)


def one_line(text: str) -> str:
    r"""Return text with its line breaks and control characters shown, not sent.

    >>> print(one_line("a\nb"))
    a\nb
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(number: int, what: str) -> str:
    """Return how many there are, in words that can stand in a sentence.

    >>> counted(0, "problem"), counted(1, "problem"), counted(3, "problem")
    ('no problems', '1 problem', '3 problems')
    """
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(42.2), duration(560), duration(7840), duration(200_000)
    ('42 s', '9 min', '2 h 11 min', '2 d 8 h')
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


@cache
def shared_console() -> "Console":
    """Return the one console on stderr: bars and whatever is printed meanwhile know of one another."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on an interactive terminal; call what is yielded after each step with its name."""
    with patient_bar(title, total) as bar:
        yield bar.done


@dataclass(frozen=True, slots=True)
class PatientBar:
    """A bar over patients: tell it what begins and who is done.

    Attributes:
        done: takes the id of a patient who is done.
        begun: takes a patient's id and the stage that begins; None where nobody watches.

    """

    done: Callable[[str], None]
    begun: Callable[[str, str], None] | None


@contextmanager
def patient_bar(title: str, total: int) -> Iterator[PatientBar]:
    """Show a bar over patients on an interactive terminal, with the stage that is under way."""
    if not GLOBALS.show_progress:
        yield PatientBar(lambda _: None, None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shared_console(), transient=True) as bars:
        task = bars.add_task(title, total=total)

        def done(name: str) -> None:
            bars.update(task, advance=1, description=f"{title}: {name}")

        def begun(name: str, stage: str) -> None:
            bars.update(task, description=f"{title}: {name}: {stage}")

        yield PatientBar(done, begun)
