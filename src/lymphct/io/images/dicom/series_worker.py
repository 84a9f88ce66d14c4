"""Asks a child process about series, and starts another where one is lost."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from lymphct.core.errors import EnvironmentProblemError, InputError
from lymphct.core.system import kill_group
from lymphct.io.images.limits import LookLimits

_GRACE: Final = 30.0
"""Seconds beyond the limit until the child itself is taken for lost."""
_ENVIRONMENT_CODES: Final = ("E_NO_SPACE", "E_PERMISSION", "E_READ_ONLY", "E_DISK", "E_TOO_MANY_FILES")
_SINGLE: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class SeriesWorker:
    """A child process that looks at one series after the other; each within limits.

    To be closed after use; safe for one thread.
    """

    def __init__(self, limits: LookLimits | None = None) -> None:
        self._limits = limits or LookLimits()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self, files: Sequence[Path], *, stack: str = "", resample: bool = False) -> Mapping[str, Any]:
        """Return `shape`, `spacing`, `range` (mm along the body), `notices`, `is_resampled` and `contrast`.

        Args:
            files: of the series.
            stack: which frames of multi-frame files are meant, as `SliceHeader.stack` names it.
            resample: accept tilted and uneven stacks.

        Raises:
            InputError: the series is refused, with the reason; text of tags is never in it.
            EnvironmentProblemError: the machine refuses.

        """
        return self._ask(_request("look", files, stack, resample=resample))

    def take(
        self, files: Sequence[Path], *, to: Path | None = None, stack: str = "", resample: bool = False
    ) -> Mapping[str, Any]:
        """Read a series as a whole, and write it to a file if one is named; return `image_digest`, `notices`.

        Args:
            files: of the series.
            to: the file; None to write none.
            stack: as for `look`.
            resample: the same.

        Raises:
            InputError: as `look`.
            EnvironmentProblemError: the same.

        """
        request = _request("take", files, stack, resample=resample)
        return self._ask({**request, "to": None if to is None else str(to)})

    def close(self) -> None:
        """End the child and whatever it started."""
        if self._process is None:
            return
        process, self._process = self._process, None
        kill_group(process.pid)
        process.wait()
        with suppress(BrokenPipeError), process:  # a request that was never read may be left in the pipe
            pass

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        line = json.dumps({**request, "limits": self._limits.model_dump(mode="json")})
        answer = self._answer(line.encode("ascii") + b"\n")
        if answer is None:
            msg = "the series could not be looked at: its process was lost"
            raise InputError(msg, code="E_LIMITS", cure="leave the series out")
        if "error" in answer:
            cause, code, cure = answer["error"]
            kind = EnvironmentProblemError if code in _ENVIRONMENT_CODES else InputError
            raise kind(cause, code=code, cure=cure)
        return answer

    def _answer(self, line: bytes) -> dict[str, Any] | None:
        process = self._process or self._start()
        self._process = process
        timer = threading.Timer(self._limits.wall_seconds + _GRACE, kill_group, (process.pid,))
        timer.daemon = True
        timer.start()
        answer = b""
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(line)  # type: ignore[union-attr] # both are pipes
                process.stdin.flush()  # type: ignore[union-attr] # the same
                answer = process.stdout.readline()  # type: ignore[union-attr] # the same
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
        if not answer.endswith(b"\n"):
            self.close()
            return None
        found: dict[str, Any] = json.loads(answer)
        return found

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "lymphct.io.images.dicom.series_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_SINGLE},
            start_new_session=True,
        )


def _request(do: str, files: Sequence[Path], stack: str, *, resample: bool) -> dict[str, Any]:
    return {"do": do, "files": [str(path) for path in files], "stack": stack, "resample": resample}
