import platform

import pytest

from lymphct.learning import allocation
from lymphct.learning.allocation import kept_memory


class Library:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def mallopt(self, option: int, value: int) -> int:
        self.calls.append((option, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.calls.append((pad,))
        return 1


def _fail() -> None:
    with kept_memory():
        msg = "the network failed"
        raise ArithmeticError(msg)


def test_memory_is_given_back_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(allocation, "_glibc", lambda: library)
    with pytest.raises(ArithmeticError, match="the network failed"):
        _fail()
    (mmap, kept), (trim, _), *restored = library.calls
    assert (mmap, trim) == (-3, -1)  # of malloc.h
    assert kept == 1 << 30
    assert restored == [(-3, 32 << 20), (-1, 64 << 20), (0,)]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    allocation._glibc.cache_clear()
    try:
        assert allocation._glibc() is None
        with kept_memory():
            pass
    finally:
        allocation._glibc.cache_clear()
