"""Memory that one layer frees is kept for the next, instead of going back to the system each time."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Numbers of the options of glibc's `mallopt`."""

_KEPT: Final = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1}
_USUAL: Final = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
"""Where glibc's own rule ends after large blocks were freed."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory while a network runs; give it back afterwards.

    glibc takes feature maps from the system and returns them layer by layer, and the system fills every page
    with zeros anew: up to a quarter of the CPU time of a small network. Where another C library does the work
    nothing happens. No result depends on it.
    """
    library = _glibc()
    if library is None:
        yield
        return
    for option, value in _KEPT.items():
        library.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            library.mallopt(option, value)
        library.malloc_trim(0)


def give_back() -> None:
    """Give freed memory back to the system, also while it is kept."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
