"""Which training runs on which device, when stages are trained side by side."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from lymphct.core.errors import OutputInUseError, UsageError
from lymphct.io.results.locks import exclusive_lock
from lymphct.learning.devices import chosen_device

PAUSE: Final = 0.5
"""Seconds between two looks at who is free."""


def named_devices(text: str) -> tuple[str, ...]:
    """Split `cuda:0,cuda:1`; a device that is named twice takes two trainings at a time.

    >>> named_devices("cuda:0, cuda:1")
    ('cuda:0', 'cuda:1')

    Raises:
        UsageError: no device between two commas.

    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        msg = f"{text!r} names no device between two commas"
        raise UsageError(msg, cure="--devices cuda:0,cuda:1")
    return names


@contextmanager
def free_device(folder: Path, devices: Sequence[str]) -> Iterator[str]:
    """Hold the first device that no other training of the run holds; wait where all are taken.

    Each place is a lock file, so that trainings in other processes count, and a killed one does not. A GPU
    takes one training, unless it is named more than once; the processor has room for all of them.

    Args:
        folder: of the run.
        devices: names, in the order in which they are preferred.

    Raises:
        UsageError, EnvironmentProblemError: a device is unknown or not there.

    """
    kinds = [chosen_device(name).type for name in devices]
    if set(kinds) == {"cpu"}:
        yield devices[0]
        return
    with ExitStack() as held:
        yield _taken(folder, devices, held)


def _taken(folder: Path, devices: Sequence[str], held: ExitStack) -> str:
    while True:
        for number, device in enumerate(devices):
            try:
                lock = folder / f".device{number}-{device.replace(':', '')}.lock"
                held.enter_context(exclusive_lock(lock, wait=0.0))
            except OutputInUseError:
                continue
            return device
        time.sleep(PAUSE)
