"""How many threads numerics use, and that those who wait sleep."""

import os
import sys
from typing import Final

import joblib

COUNTS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables by which the libraries under torch, numpy and numba are told a number of threads."""

_WAITING: Final = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Threads of OpenMP spin by default until the slowest is done: beside other work that costs many times what
they gain, as whoever waits keeps from running those he waits for (`benchmarks/threads.py`)."""


def usable_threads() -> int:
    """Return how many threads may compute: what was asked for, else the processors this process may use.

    The affinity of the process and the quota of its control group count, not what the machine has.
    """
    asked = os.environ.get(COUNTS[0], "")
    return int(asked) if asked.isdigit() and int(asked) else int(joblib.cpu_count())


def settle_threads(wanted: int | None) -> None:
    """Tell libraries that are still to be loaded how many threads to use, and to let waiting ones sleep.

    What the user's environment says stands, unless a number is given here. A library that is loaded already
    learns its number; how its threads wait was settled when it was loaded.

    Args:
        wanted: number of threads; None = the processors this process may use.

    """
    for name, value in _WAITING.items():
        os.environ.setdefault(name, value)
    count = usable_threads() if wanted is None else wanted
    for name in COUNTS:
        if wanted is not None or name not in os.environ:
            os.environ[name] = str(count)
    torch = sys.modules.get("torch")
    if wanted is not None and torch is not None:
        torch.set_num_threads(count)


def threads_of_each(jobs: int) -> int:
    """Return how many threads each of so many processes may use, so that together they use no more."""
    return max(1, usable_threads() // jobs)
