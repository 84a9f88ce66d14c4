"""An older result that is no longer what was asked for steps out of sight before another is made.

Else it would stand there, and look like the answer, after the work that should replace it has failed. It
lies hidden beside its place as `.<name>.superseded`: the newer result removes it, and whoever asks for it
again, by the same files and settings, has it back without work.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from lymphct.core.system import move, sync
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.locks import exclusive_lock
from lymphct.io.results.store import (
    discard_folder,
    environment_errors,
    holds_a_result,
    is_current,
    staging_lock,
)

logger = logging.getLogger(__name__)

SUPERSEDED: Final = ".superseded"
"""End of the hidden name."""


def hidden_place(target: Path) -> Path:
    """Return where an older result of a place is kept.

    >>> hidden_place(Path("out/case7")).name
    '.case7.superseded'
    """
    return target.with_name(f".{target.name}{SUPERSEDED}")


def set_aside(target: Path) -> bool:
    """Hide the result that stands at a place, and tell whether there was one; what is not ours stays.

    Raises:
        OutputInUseError: another process is writing the place.
        EnvironmentProblemError: no permission and the like.

    """
    target = Path(os.path.realpath(target))
    if not holds_a_result(target):
        return False
    with environment_errors(), exclusive_lock(staging_lock(target)):
        return set_aside_locked(target)


def set_aside_locked(target: Path) -> bool:
    """Do what `set_aside` does, for one who holds the lock of the place."""
    target = Path(os.path.realpath(target))
    if not holds_a_result(target):
        return False
    hidden = hidden_place(target)
    if hidden.exists():
        discard_folder(hidden, target)
    move(target, hidden)
    sync(target.parent)
    logger.info("%s: its older result is kept as %s until there is a newer one", target.name, hidden.name)
    return True


def brought_back(target: Path, fingerprint: Mapping[str, JSON]) -> bool:
    """Put a hidden result back that was made from just this; what stands in its place is hidden in turn.

    Raises:
        OutputInUseError: another process is writing the place.
        EnvironmentProblemError: no permission and the like.

    """
    target = Path(os.path.realpath(target))
    hidden = hidden_place(target)
    if not is_current(hidden, fingerprint):
        return False
    with environment_errors(), exclusive_lock(staging_lock(target)):
        is_free = not target.exists()
        if not is_free and not holds_a_result(target):
            return False
        back = target.with_name(f".{target.name}.staging-{os.getpid()}-back")
        if not is_free:
            move(hidden, back)
            set_aside_locked(target)
            hidden = back
        move(hidden, target)
        sync(target.parent)
    return True


def forget_superseded(target: Path) -> None:
    """Remove the hidden result of a place where a newer one stands."""
    target = Path(os.path.realpath(target))
    hidden = hidden_place(target)
    if hidden.exists():
        with suppress(OSError):  # the newer result stands; the next one tries again
            discard_folder(hidden, target)
