"""Share the work of a compiled loop between threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

Work = Callable[[int, int], object]
"""Called with start and stop; writes to that part of its result only and lets go of the interpreter lock."""

_PARTS_PER_THREAD = 4
"""More parts than threads, because parts at the border of an image have less to do."""


def in_slabs(work: Work, count: int, threads: int) -> None:
    """Call `work(start, stop)` on parts that together make up range(count), whatever their number."""
    with sharing(threads) as share:
        share(work, count)


@contextmanager
def sharing(threads: int) -> Iterator[Callable[[Work, int], None]]:
    """Yield a function like `in_slabs` that keeps its threads, for many short pieces of work."""
    if threads <= 1:
        yield lambda work, count: _call(work, 0, count)
        return
    with ThreadPoolExecutor(threads) as pool:

        def share(work: Work, count: int) -> None:
            parts = max(min(count, _PARTS_PER_THREAD * threads), 1)
            edges = [count * part // parts for part in range(parts + 1)]
            for done in [pool.submit(work, start, stop) for start, stop in pairwise(edges)]:
                done.result()

        yield share


def _call(work: Work, start: int, stop: int) -> None:
    work(start, stop)
