"""Which device is free, when trainings run side by side."""

import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from lymphct.core.errors import HeldError, OutputInUseError, UsageError
from lymphct.io.results.locks import exclusive_lock

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

    Args:
        folder: of the run.
        devices: names, in the order in which they are preferred.

    Raises:
        UsageError, EnvironmentProblemError: a device is unknown or not there.

    """
    with ExitStack() as held:
        yield _waited_for(folder, devices, held)


def _waited_for(folder: Path, devices: Sequence[str], held: ExitStack) -> str:
    while True:
        try:
            return take_device(folder, devices, held)
        except HeldError:
            time.sleep(PAUSE)


def take_device(folder: Path, devices: Sequence[str], held: ExitStack) -> str:
    """Hold the first device that is free.

    Each place is a lock file, so that trainings in other processes count, and a killed one does not. A GPU
    takes one training, unless it is named more than once; the processor has room for all of them.

    Args:
        folder: of the run.
        devices: names, in the order in which they are preferred.
        held: lets go of it.

    Raises:
        HeldError: every one is taken.
        UsageError, EnvironmentProblemError: a device is unknown or not there.

    """
    from lymphct.learning.devices import chosen_device  # noqa: PLC0415 - loads torch, which few tasks need

    kinds = [chosen_device(name).type for name in devices]
    if set(kinds) == {"cpu"}:
        return devices[0]
    for number, device in enumerate(devices):
        try:
            held.enter_context(exclusive_lock(folder / _lock_of(number, device), wait=0.0))
        except OutputInUseError:
            continue
        return device
    msg = f"all of {', '.join(devices)} are taken"
    raise HeldError(msg, cure="wait")


def _lock_of(number: int, device: str) -> str:
    """Return the name of the lock of a device: another host, or job with GPUs of its own, has others."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    named = f"{number}-{socket.gethostname()}-{visible}-{device}"
    return f".device{re.sub('[^A-Za-z0-9-]', '_', named)}.lock"
