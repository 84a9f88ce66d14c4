"""A command that fails, in a fork of a warm process: at a write, by a signal; and what is seen afterwards."""

import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script, Python knows this folder only

from benchmarks.failpoints import Failpoint

from lymphct.cli import commands
from lymphct.cli.main import exit_code, new_app
from lymphct.core.errors import LymphctError
from lymphct.io.models.bundle_reading import BUNDLE_FILE, read_bundle, read_part
from lymphct.io.results.store import DONE_FILE, TIMINGS_FILE, is_current

MOVING: Final = ("logs", "progress.json", "index-")
"""Beginnings of names that tell of seconds or of inodes, not of results."""
ANSWER: Final = 10.0
"""Seconds in which a signal must be answered."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is failed.

    Attributes:
        name: of the command.
        words: its line, without the folder.
        again: words that are added when it goes on, where a checkpoint stands.

    """

    name: str
    words: tuple[str, ...]
    again: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Row:
    """What became of one command that failed one way.

    Attributes:
        command: its name.
        how: it failed.
        writes: it does undisturbed.
        points: at which it failed.
        harmless: of them, refusals without which the command came to its end all the same.
        visible: files that were seen though not whole.
        differing: files that were other, missing or too many after the rerun.
        wrong: exits that were not as they must be.
        slowest: seconds until a signal was answered.
        seconds: of all of it.

    """

    command: str
    how: str
    writes: int = 0
    points: int = 0
    harmless: int = 0
    visible: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child ended: its exit code, negative for a signal; what it said; its writes; seconds."""

    code: int
    said: str
    writes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What happens to a child: a failpoint, a limit on the size of files, or signals after some seconds."""

    at: int = 0
    how: str = "kill"
    largest: int | None = None
    signals: tuple[tuple[float, int], ...] = ()


def in_child(words: Sequence[str], under: Path, trouble: Trouble) -> Ended:
    """Run a command in a fork of this process, in trouble; wait for its end."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as told:
        code, seconds = _forked(words, under, trouble, (said.fileno(), told.fileno()))
        said.seek(0)
        told.seek(0)
        text = said.read().decode("utf-8", "replace")
        return Ended(code=code, said=text, writes=int(told.read() or b"0"), seconds=seconds)


def _forked(words: Sequence[str], under: Path, trouble: Trouble, files: tuple[int, int]) -> tuple[int, float]:
    """Return the exit code and the seconds it took, from the first signal on where there is one."""
    child = os.fork()
    if child == 0:
        os.dup2(files[0], 1)
        os.dup2(files[0], 2)
        point = Failpoint(str(under), at=trouble.at, how=trouble.how)
        code = 1
        try:
            sys.addaudithook(point)
            if trouble.largest is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.largest, trouble.largest))
            code = done(words)
        finally:
            os.write(files[1], str(point.count).encode())
            os._exit(code)
    began = time.perf_counter()
    answered = began
    for wait, number in trouble.signals:
        time.sleep(wait)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            os.kill(child, number)
            answered = answered if answered > began else time.perf_counter()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, time.perf_counter() - (answered if trouble.signals else began)


def done(words: Sequence[str]) -> int:
    """Run a command in this process; return its exit code."""
    app = new_app()
    commands.register(app)
    return exit_code(app, list(words))


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file that must not depend on who made it, when and how often."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _moves(path.relative_to(folder))
    }


def _moves(path: Path) -> bool:
    is_told = any(part.lstrip(".").startswith(MOVING) for part in path.parts)
    return is_told or path.name == TIMINGS_FILE or path.name.endswith((".lock", ".log", "log.jsonl"))


def half(folder: Path, whole: Mapping[str, str]) -> list[str]:
    """Return the files a reader sees that are neither as they end nor in a result that is whole."""
    found = []
    for name, digest in digests(folder).items() if folder.is_dir() else ():
        path = Path(name)
        is_hidden = any(part.startswith(".") for part in path.parts)
        if is_hidden or whole.get(name) == digest:
            continue
        if not any(_is_whole(folder / place) for place in path.parents):
            found.append(name)
    return found


def _is_whole(place: Path) -> bool:
    """Return whether a folder is a whole result, or a whole bundle, to which parts are added one by one."""
    if not (place / BUNDLE_FILE).is_file():
        return (place / DONE_FILE).is_file() and is_current(place, verify=True)
    try:
        info = read_bundle(place).info
        for part in info.parts.values():
            read_part(place, part)
    except LymphctError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One command, its undisturbed writes and bytes, and where it is failed."""

    command: Command
    folder: Path
    writes: int
    whole: Mapping[str, str]

    @classmethod
    def of(cls, command: Command, folder: Path) -> "Bench":
        """Do a command undisturbed.

        Raises:
            RuntimeError: it fails.

        """
        out = folder / f"{command.name}-quiet"
        ended = in_child([*command.words, "--out", str(out)], out.parent, Trouble())
        if ended.code:
            raise RuntimeError(ended.said)
        return cls(command=command, folder=folder, writes=ended.writes, whole=digests(out))

    def writes_of(self, how: str) -> int:
        """Return at how many writes the command can fail so: a full disk lets everything be removed."""
        if how in {"kill", "torn"}:
            return self.writes
        out = self.folder / f"{self.command.name}-counted"
        ended = in_child([*self.command.words, "--out", str(out)], self.folder, Trouble(how=how))
        shutil.rmtree(out)
        return ended.writes

    def fail(self, row: Row, trouble: Trouble, out: Path) -> Ended:
        """Let the command fail once; note what is seen that should not be."""
        ended = in_child(self.words(out), self.folder, trouble)
        row.points += 1
        row.visible += [f"{trouble.at}: {name}" for name in half(out, self.whole)]
        return ended

    def words(self, out: Path) -> list[str]:
        """Return the line that begins the command, or goes on with it."""
        goes_on = bool(self.command.again) and any(out.rglob("epoch-*/DONE.json"))
        return [*self.command.words, *(self.command.again if goes_on else ()), "--out", str(out)]

    def finish(self, row: Row, out: Path, label: object) -> None:
        """Do the command again; note which bytes are others."""
        ended = in_child(self.words(out), self.folder, Trouble())
        if ended.code:
            row.wrong.append(f"{label}: rerun ended with {ended.code}: {ended.said[-300:]}")
        now = digests(out)
        names = {*self.whole, *now}
        row.differing += [f"{label}: {n}" for n in sorted(names) if self.whole.get(n) != now.get(n)]
        shutil.rmtree(out, ignore_errors=True)


def walked(bench: Bench, how: str, points: int, rng: random.Random) -> Row:
    """Fail a command at so many of its writes, each in an empty folder."""
    row, began = Row(command=bench.command.name, how=how, writes=bench.writes), time.perf_counter()
    for number, trouble in enumerate(troubles(bench, how, points, rng)):
        out = bench.folder / f"{bench.command.name}-{how}-{number}"
        ended = bench.fail(row, trouble, out)
        judge(row, trouble, ended)
        bench.finish(row, out, trouble.at or number)
    row.seconds = time.perf_counter() - began
    return row


def troubles(bench: Bench, how: str, points: int, rng: random.Random) -> Iterator[Trouble]:
    """Yield what a command meets."""
    if how == "EFBIG":
        quiet = bench.folder / f"{bench.command.name}-quiet"
        sizes = sorted({path.stat().st_size for path in quiet.rglob("*") if path.is_file()} - {0, 1})
        for size in spread(sizes, points):
            yield Trouble(largest=size - 1, how=how)
    elif how == "signal":
        longest = in_child(bench.words(bench.folder / "timed"), bench.folder, Trouble()).seconds
        shutil.rmtree(bench.folder / "timed")
        for number in range(points):
            first, second = signal.SIGTERM if number % 2 else signal.SIGINT, signal.SIGTERM
            twice = ((rng.uniform(0.0, 0.3), int(second)),) if number % 4 >= 2 else ()
            yield Trouble(how=how, signals=((rng.uniform(0.05, longest), int(first)), *twice))
    else:
        for at in spread(range(1, bench.writes_of(how) + 1), points):
            yield Trouble(at=at, how=how)


def spread(every: Sequence[int], points: int) -> list[int]:
    """Return so many of them, evenly; all where there are fewer or none is asked for.

    >>> spread([1, 2, 3, 4, 5], 3), spread([1, 2], 0)
    ([1, 3, 5], [1, 2])
    """
    if not points or points >= len(every):
        return list(every)
    return [every[round(place * (len(every) - 1) / max(1, points - 1))] for place in range(points)]


def judge(row: Row, trouble: Trouble, ended: Ended) -> None:
    """Note an exit that is not as it must be."""
    where = f"{trouble.how} {trouble.at or trouble.largest or ''}".strip()
    if trouble.signals:
        row.slowest = max(row.slowest, ended.seconds)
        if ended.code == 0:
            row.harmless += 1
        elif ended.code not in {130, 143, -signal.SIGTERM} or ended.seconds > ANSWER:
            row.wrong.append(f"{where}: exit {ended.code} after {ended.seconds:.1f} s: {ended.said[-300:]}")
    elif trouble.how in {"kill", "torn"}:
        if ended.code == 0:
            row.harmless += 1  # the lines of a log are not everywhere the same number
        elif ended.code != -signal.SIGKILL:
            row.wrong.append(f"{where}: exit {ended.code}: {ended.said[-300:]}")
    else:
        lines = [line for line in ended.said.splitlines() if line.startswith("error:")]
        if ended.code == 0:
            row.harmless += 1
        elif ended.code != 6 or len(lines) != 1 or "no space" not in lines[0]:
            row.wrong.append(f"{where}: exit {ended.code}: {ended.said[-400:]}")


def chained(bench: Bench, how: str, kills: int, rng: random.Random) -> Row:
    """Fail a command again and again in one folder, each time after a drawn number of writes."""
    row, began = Row(command=bench.command.name, how=how, writes=bench.writes), time.perf_counter()
    run, longest = 0, max(2, 4 * bench.writes // max(1, kills))
    while row.points < kills:
        out = bench.folder / f"{bench.command.name}-{how}-{run}"
        trouble = Trouble(at=rng.randint(1, longest), how=how)
        ended = bench.fail(row, trouble, out)
        if ended.code == 0:
            row.points -= 1
            bench.finish(row, out, f"run {run}")
            run += 1
        else:
            judge(row, trouble, ended)
    bench.finish(row, out, f"run {run}")
    row.seconds = time.perf_counter() - began
    return row
