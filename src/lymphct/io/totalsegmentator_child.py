"""The user's own TotalSegmentator, run in a child process with progress and a limit on time."""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Final

from lymphct.core.errors import EnvironmentProblemError
from lymphct.core.volume import Volume
from lymphct.io.children import Child, run_child
from lymphct.io.images.labels import read_labels
from lymphct.io.images.reading import write_volume
from lymphct.io.results.disk import environment_errors

logger = logging.getLogger(__name__)

PROGRAM: Final = "TotalSegmentator"
LONGEST_RUN: Final = 3600.0
"""Seconds until it is stopped; the task total takes minutes on a GPU and up to half an hour without one."""
LONGEST_ANSWER: Final = 120.0
"""Seconds it may take to tell its version: it loads torch first."""


def totalsegmentator_program() -> str:
    """Return where the command is.

    Raises:
        EnvironmentProblemError: it is not on PATH.

    """
    found = shutil.which(PROGRAM)
    if found is None:
        msg = f"the command {PROGRAM} is not on PATH"
        cure = f"install it (pip install {PROGRAM}), or give its masks: totalsegmentator:PATH"
        raise EnvironmentProblemError(msg, code="E_TOTALSEGMENTATOR", cure=cure)
    return found


def totalsegmentator_version() -> str:
    """Return the version the command tells of itself; "" where it tells none.

    Raises:
        EnvironmentProblemError: it is not on PATH.

    """
    program = totalsegmentator_program()
    with environment_errors(), tempfile.TemporaryDirectory(prefix="lymphct-totalsegmentator-") as name:
        try:
            ended = run_child(
                [program, "--version"],
                Child(name=PROGRAM, log=logger, folder=Path(name), seconds=LONGEST_ANSWER),
            )
        except OSError:
            return ""
    return "" if ended.code or ended.is_stopped else ended.last.strip()


def structures_by_totalsegmentator(venous: Volume, *, seconds: float = LONGEST_RUN) -> Volume:
    """Let TotalSegmentator v2 (task total) segment a CT; return our label numbers on its grid.

    Args:
        venous: HU.
        seconds: until the program is stopped.

    Raises:
        EnvironmentProblemError: not installed, it failed, or took too long; says its last line.
        InputError: it wrote something that is no label map of the task total on this grid.

    """
    program = totalsegmentator_program()
    with environment_errors(), tempfile.TemporaryDirectory(prefix="lymphct-totalsegmentator-") as name:
        image, made = Path(name, "venous.nii.gz"), Path(name, "total.nii.gz")
        write_volume(image, venous)
        logger.info("TotalSegmentator begins (at most %.0f s)", seconds)
        _run([program, "-i", str(image), "-o", str(made), "--ml"], Path(name), seconds)
        if not made.is_file():
            msg = "it wrote no label map"
            raise _failed(msg)
        return read_labels(made, scheme="totalsegmentator", grid=venous.geometry)


def _run(command: list[str], folder: Path, seconds: float) -> None:
    try:
        ended = run_child(command, Child(name=PROGRAM, log=logger, folder=folder, seconds=seconds))
    except OSError as error:
        msg = f"it does not start ({error.strerror})"
        raise _failed(msg) from error
    if ended.is_stopped:
        msg = f"it was stopped after {seconds:g} s"
        raise _failed(msg)
    if ended.code:
        msg = f"it ended with code {ended.code}" + (f": {ended.last}" if ended.last else "")
        raise _failed(msg)


def _failed(cause: str) -> EnvironmentProblemError:
    cure = "try it by hand, or give its masks: totalsegmentator:PATH"
    return EnvironmentProblemError(cause, code="E_TOTALSEGMENTATOR", cure=cure).at(file=PROGRAM)
