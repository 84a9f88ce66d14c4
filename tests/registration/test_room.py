"""Memory that is used again."""

import numpy as np

from lymphct.registration.room import Room


def test_the_next_array_of_a_name_takes_the_place_of_the_one_before() -> None:
    room = Room()
    first = room.take("table", (3, 4), np.float32)
    first[:] = 7
    second = room.take("table", (2, 5), np.float32)
    assert second.shape == (2, 5)
    assert second.dtype == np.float32
    assert np.shares_memory(first, second)
    assert (second == 7).all()


def test_names_do_not_share_and_a_larger_array_gets_memory_of_its_own() -> None:
    room = Room()
    first, other = room.take("a", (8,), np.uint64), room.take("b", (8,), np.uint64)
    assert not np.shares_memory(first, other)
    first[:] = 1
    larger = room.take("a", (80,), np.uint64)
    larger[:] = 2
    assert larger.flags.c_contiguous
    assert (first == 1).all()
