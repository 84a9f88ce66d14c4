"""Lines that another process appends to a file, read as they appear."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EVERY: Final = 0.3
"""Seconds between two looks."""


@dataclass(slots=True)
class Tail:
    """The end of a file that may not be there yet.

    Attributes:
        path: of the file.
        read: bytes that were told already.

    """

    path: Path
    read: int = 0

    def lines(self) -> list[bytes]:
        """Return the lines that are whole and new."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.read)
                new = file.read()
        except OSError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self.read += len(whole)
        return whole.splitlines()


@contextmanager
def looking(look: Callable[[], None], every: float = EVERY) -> Iterator[None]:
    """Call `look` again and again while the block runs, in a thread of its own, and once at its end."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            look()

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        look()
