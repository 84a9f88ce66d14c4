import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from lymphct.attention.storing import as_bytes
from lymphct.learning.cases import attention_values


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_zeros_stay_zeros_and_nothing_else_becomes_one(values: list[float]) -> None:
    attention = np.array(values, np.float32)
    back = attention_values(as_bytes(attention))
    assert_array_equal(back == 0, attention == 0)
    assert np.abs(back - attention).max() <= 1 / 255 + 1e-7
    bright = attention >= 1 / 510
    assert np.all(np.abs(back - attention)[bright] <= 1 / 510 + 1e-7)


def test_every_stored_byte_comes_back() -> None:
    stored = np.arange(256, dtype=np.uint8)
    assert_array_equal(as_bytes(attention_values(stored)), stored)
    assert attention_values(stored)[255] == 1.0
