"""Work in processes of its own that ends in time: whoever hangs is killed, the others go on."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

from lymphct.io.threads import COUNTS

Item = TypeVar("Item")
Value = TypeVar("Value")

_GLANCE: Final = 10.0
"""Seconds until somebody looks at the clock, while no deadline is near."""


class Lost(Enum):
    """Why there is no value."""

    LATE = "it took longer than it may"
    KILLED = "its process was killed"


@dataclass(slots=True)
class _Hand(Generic[Item, Value]):
    """One process that works on one item at a time; a new one takes its place when it is lost.

    Attributes:
        work: what it does.
        threads: of the numerics.
        seconds: for one item, from the moment its process is ready.
        item: that is under way, by number; None while it rests.
        until: when it is late; infinite while its process starts.

    """

    work: Callable[[Item], Value]
    threads: int
    seconds: float
    item: tuple[int, Item] | None = None
    until: float = float("inf")
    future: "Future[Any]" = field(default_factory=Future)
    _process: ProcessPoolExecutor | None = None

    def take(self, number: int, item: Item) -> None:
        self.item = (number, item)
        if self._process is None:
            environment = {name: str(self.threads) for name in COUNTS}
            self._process = ProcessPoolExecutor(max_workers=1, env=environment)
            # What the work imports is loaded before the clock starts.
            self.future, self.until = self._process.submit(_loaded, self.work), float("inf")
        else:
            self._begin(item)

    def _begin(self, item: Item) -> None:
        if self._process is not None:
            self.future = self._process.submit(self.work, item)
            self.until = time.monotonic() + self.seconds

    def ended(self) -> tuple[int, Value | Lost] | None:
        """Return the number of the item and what became of it; None while it is under way."""
        if self.item is None:
            return None
        number, item = self.item
        if self.future.done():
            try:
                value = self.future.result()
            except TerminatedWorkerError:
                return self._lost(number, Lost.KILLED)
            if self.until == float("inf"):
                self._begin(item)
                return None
            self.item = None
            return number, value
        return self._lost(number, Lost.LATE) if time.monotonic() >= self.until else None

    def _lost(self, number: int, why: Lost) -> tuple[int, Lost]:
        self.kill()
        self.item = None
        return number, why

    def kill(self) -> None:
        """End its process, whatever it does, and all that process started."""
        process, self._process = self._process, None
        if process is not None:
            process.shutdown(wait=True, kill_workers=True)


def _loaded(work: object) -> None:
    """Do nothing in a process that received the work."""
    del work


def in_time(
    work: Callable[[Item], Value], items: Sequence[Item], *, hands: tuple[int, int], seconds: float
) -> Iterator[Value | Lost]:
    """Yield what the work returns for each item, in their order, or why it was lost.

    An item gets `seconds` by the clock; then its process is killed with all it started, and a new one goes
    on with the next. A process that is killed by somebody else, as by a kernel short of memory, costs its own
    item.

    Args:
        work: called with each item in another process; what it raises is raised here.
        items: the items.
        hands: how many processes, and threads of the numerics in each.
        seconds: for each item, without the start of a process.

    """
    waiting = deque(enumerate(items))
    known: dict[int, Value | Lost] = {}
    team = [_Hand(work, hands[1], seconds) for _ in range(min(hands[0], len(items)))]
    try:
        for number in range(len(items)):
            while number not in known:
                for hand in team:
                    if hand.item is None and waiting:
                        hand.take(*waiting.popleft())
                _wait([hand for hand in team if hand.item is not None])
                known.update(found for hand in team if (found := hand.ended()) is not None)
            yield known.pop(number)
    finally:
        for hand in team:
            hand.kill()


def _wait(busy: Sequence[_Hand[Any, Any]]) -> None:
    left = min(hand.until for hand in busy) - time.monotonic()
    wait([hand.future for hand in busy], timeout=max(0.0, min(left, _GLANCE)), return_when=FIRST_COMPLETED)
