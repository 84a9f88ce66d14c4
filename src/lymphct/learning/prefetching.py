"""Batches that are prepared while the network learns from the ones before."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from itertools import islice
from typing import Final, Literal, TypeVar

import joblib
import torch
from torch import Tensor

B = TypeVar("B")

MOST_THREADS: Final = 8
"""Threads that `auto` takes at most: a GPU step of 0.15 s uses up what four of them read and augment."""


def thread_count(prefetch: Literal["auto"] | int, device: torch.device) -> int:
    """Return how many threads prepare batches ahead.

    `auto` gives a GPU as many as this process may use cores, at most `MOST_THREADS`; a CPU none, since the
    network keeps all its cores busy.
    """
    if prefetch != "auto":
        return prefetch
    return 0 if device.type == "cpu" else min(usable_cores(), MOST_THREADS)


def usable_cores() -> int:
    """Return on how many cores this process may run, by affinity, quota, and the threads it was given."""
    return min(int(joblib.cpu_count()), max(torch.get_num_threads(), 1))


def prefetched(next_batch: Callable[[int], B], numbers: Iterable[int], threads: int) -> Iterator[B]:
    """Yield the batches of `numbers` in order; `threads` of them are being prepared meanwhile.

    At most two per thread wait, so that memory does not grow while the network is slower than they are.
    """
    if threads == 0:
        yield from map(next_batch, numbers)
        return
    left = iter(numbers)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[B]] = deque(
            pool.submit(next_batch, number) for number in islice(left, 2 * threads)
        )
        try:
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(pool.submit(next_batch, number) for number in islice(left, 1))
                yield batch
        finally:
            # Whoever stops early waits for batches that are being prepared, not for those in the queue.
            pool.shutdown(cancel_futures=True)


def pinned_batches(next_batch: Callable[[int], B]) -> Callable[[int], B]:
    """Return the same batches in page-locked memory, from where a GPU fetches them while it computes."""

    def pinned_batch(number: int) -> B:
        return pinned(next_batch(number))

    return pinned_batch


def pinned(batch: B) -> B:
    """Return a batch with its tensors in page-locked memory: a frozen dataclass, a tuple, or a tensor."""
    if isinstance(batch, Tensor):
        return batch.pin_memory()  # type: ignore[return-value] # a tensor again
    if isinstance(batch, tuple):
        return tuple(map(pinned, batch))  # type: ignore[return-value] # tensors again
    if is_dataclass(batch) and not isinstance(batch, type):
        changed = {
            field.name: pinned(getattr(batch, field.name))
            for field in fields(batch)
            if isinstance(getattr(batch, field.name), Tensor | tuple)
            or is_dataclass(getattr(batch, field.name))
        }
        return replace(batch, **changed)
    return batch
