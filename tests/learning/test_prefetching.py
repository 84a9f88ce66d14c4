import threading
import time
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from lymphct.learning.prefetching import pinned, prefetched, thread_count, usable_cores

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_batches_come_in_order_and_once(threads: int) -> None:
    def batch(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number * number

    assert list(prefetched(batch, range(20), threads)) == [n * n for n in range(20)]


def test_batches_are_prepared_meanwhile_but_not_far_ahead() -> None:
    started: list[int] = []
    lock = threading.Lock()

    def batch(number: int) -> int:
        with lock:
            started.append(number)
        return number

    batches = prefetched(batch, range(100), 2)
    assert next(batches) == 0
    deadline = time.monotonic() + 10
    while len(started) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.01)
    # The one that was given out, and two per thread.
    assert sorted(started) == [0, 1, 2, 3, 4]
    batches.close()  # type: ignore[attr-defined] # a generator


def test_an_error_in_a_thread_reaches_the_training() -> None:
    def batch(number: int) -> int:
        if number == 2:
            msg = "a prepared image is gone"
            raise ValueError(msg)
        return number

    batches = prefetched(batch, range(5), 2)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match="a prepared image is gone"):
        next(batches)


def test_auto_takes_the_cores_for_a_gpu_and_none_for_a_cpu() -> None:
    assert thread_count("auto", CPU) == 0
    assert thread_count("auto", GPU) == min(usable_cores(), 8) >= 1
    assert thread_count(5, CPU) == 5
    assert thread_count(0, GPU) == 0


@dataclass(frozen=True)
class Parts:
    """A batch with tensors at several depths."""

    image: Tensor
    rest: tuple[Tensor, ...]
    name: str
    nothing: Tensor | None = None


def test_every_tensor_of_a_batch_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a GPU torch refuses to pin; what is asked to be pinned is seen all the same.
    monkeypatch.setattr(Tensor, "pin_memory", lambda x: x + 100)
    found = pinned(Parts(torch.zeros(1), (torch.ones(1), torch.ones(2)), "p"))
    assert found.image.item() == 100
    assert [x.tolist() for x in found.rest] == [[101.0], [101.0, 101.0]]
    assert (found.name, found.nothing) == ("p", None)
