"""Work that is killed at a chosen call that changes the disk."""

import os
import signal
from collections.abc import Callable
from typing import Final

STEPS: Final = ("mkdir", "fsync", "rename", "rmdir", "unlink")
"""Calls of `os` that change names, or bring files to the disk."""
WRITING_STEPS: Final = (*STEPS, "write")
"""The same, and lines that are appended."""


def killed_at(at: int, work: Callable[[], object], steps: tuple[str, ...] = STEPS) -> bool:
    """Work in a child process that kills itself at call number `at`, from 1; return whether it did.

    Raises:
        ChildProcessError: it ended otherwise, such as by an error.

    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            count = 0

            def watched(original: Callable[..., object]) -> Callable[..., object]:
                def call(*args: object, **kwargs: object) -> object:
                    nonlocal count
                    count += 1
                    if count == at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return original(*args, **kwargs)

                return call

            for step in steps:
                setattr(os, step, watched(getattr(os, step)))
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in {0, -signal.SIGKILL}:
        msg = f"the child ended with {status}"
        raise ChildProcessError(msg)
    return status != 0
