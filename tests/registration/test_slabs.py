"""Work shared between threads is done once and completely, and its errors come back."""

from threading import Lock

import pytest

from lymphct.registration.slabs import in_slabs


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_every_item_is_worked_on_once(threads: int, count: int) -> None:
    done: list[int] = []
    lock = Lock()

    def work(start: int, stop: int) -> None:
        with lock:
            done.extend(range(start, stop))

    in_slabs(work, count, threads)
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_part_is_raised(threads: int) -> None:
    def work(_start: int, _stop: int) -> None:
        msg = "no memory"
        raise MemoryError(msg)

    with pytest.raises(MemoryError, match="no memory"):
        in_slabs(work, 10, threads)
