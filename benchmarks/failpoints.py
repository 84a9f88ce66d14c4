"""Let lymphct fail at a chosen write: killed before it, killed with half a file, or refused by the disk.

`LYMPHCT_FAIL_AT=12 [LYMPHCT_FAIL_HOW=kill|torn|ENOSPC|EDQUOT|EROFS|…] [LYMPHCT_FAIL_UNDER=FOLDER]
python benchmarks/failpoints.py predict cohort.csv --out DIR` runs the command and fails at its twelfth write.

A write is what changes a file or a folder: opened for writing, renamed, removed, made. Python itself tells
of each of them, whichever library does it (`sys.addaudithook`): no write can be forgotten, and the package
holds no word of this. `crash_loop.py` and the tests walk through all points of a command.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TAKING: Final = frozenset({"open", "os.mkdir", "os.rename"})
"""Writes that a full disk refuses; it lets everything be removed."""
CHANGING: Final = frozenset({*TAKING, "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"})
HALF: Final = b'{"half'
"""What stands in a file whose writer was killed."""


@dataclass(slots=True)
class Failpoint:
    """Counts the writes below a folder, and fails at one of them.

    Attributes:
        under: the folder; writes elsewhere, such as to a compiler's cache, are not counted.
        at: number of the write that fails, from 1; 0 fails never.
        how: `kill`, `torn` or the name of an error of the system.
        count: writes so far.
        seen: told of each, for who is curious.
        is_armed: whether it counts.

    """

    under: str
    at: int = 0
    how: str = "kill"
    count: int = 0
    seen: Callable[[str, str], None] | None = None
    is_armed: bool = True
    _events: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Settle what counts as a write."""
        self._events = CHANGING if self.how in {"kill", "torn"} else TAKING
        self.under = os.path.realpath(self.under)

    def __call__(self, event: str, told: tuple[Any, ...]) -> None:
        """Look at what Python is about to do (an audit hook).

        Raises:
            OSError: the disk refuses this one.

        """
        if not self.is_armed or event not in self._events or not self._counts(event, told):
            return
        self.count += 1
        path = os.fspath(told[0]) if not isinstance(told[0], int) else ""
        path = os.fsdecode(path)
        if self.seen is not None:
            self.seen(event, path)
        if self.count != self.at:
            return
        if self.how in {"kill", "torn"}:
            if self.how == "torn" and event == "open":
                self.is_armed = False
                with Path(path).open("ab" if told[2] & os.O_APPEND else "wb") as stream:
                    stream.write(HALF)
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.how)
        raise OSError(code, os.strerror(code), path)

    def _counts(self, event: str, told: tuple[Any, ...]) -> bool:
        if event == "open" and not (told[2] or 0) & WRITING:
            return False
        if isinstance(told[0], int):
            return False
        # A name relative to an open folder comes from the removal of a tree; who removes trees but us?
        path = os.fsdecode(os.fspath(told[0]))
        is_in_a_tree = event in {"os.remove", "os.rmdir"} and told[-1] not in {-1, None}
        return is_in_a_tree or _below(path, self.under)


def _below(path: str, folder: str) -> bool:
    # Only the folder is resolved: whoever asks for more of the path would open files himself.
    place = Path(path)
    above = Path(os.path.realpath(place.parent))
    return above == Path(folder) or Path(folder) in above.parents


def from_environment() -> Failpoint:
    """Return what the variables ask for."""
    return Failpoint(
        under=os.environ.get("LYMPHCT_FAIL_UNDER", "/"),
        at=int(os.environ.get("LYMPHCT_FAIL_AT", "0")),
        how=os.environ.get("LYMPHCT_FAIL_HOW", "kill"),
    )


def main() -> None:
    from lymphct.cli.main import run  # noqa: PLC0415 - counted are the writes of the command

    sys.addaudithook(from_environment())
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
