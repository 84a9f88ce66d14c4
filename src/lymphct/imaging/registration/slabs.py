"""Share the work of a compiled loop between threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_slabs(work: Callable[[int, int], object], count: int, threads: int) -> None:
    """Call `work(start, stop)` on parts that together make up range(count).

    `work` writes to its own part of the result only and lets go of the interpreter lock, so the answer does
    not depend on the number of threads.
    """
    if threads <= 1 or count < 2:
        work(0, count)
        return
    # More parts than threads: a part at the border of the image has less to do.
    parts = min(count, 4 * threads)
    edges = [count * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, *edge) for edge in zip(edges[:-1], edges[1:], strict=True)]:
            done.result()
