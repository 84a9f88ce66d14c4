"""The program of the authors of DEEDS, for comparisons: `DEEDS_BIN` names it, files carry the images.

We ship no such program. It reads .nii.gz files of equal size, looks at neither spacing nor axes nor the scale
of stored values, and writes the displacements of its last control grid as bare float32 numbers.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.core.errors import EnvironmentProblemError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.nifti import write_nifti
from lymphct.io.results.disk import environment_errors, read_bounded
from lymphct.registration.deeds_settings import DeedsSettings

VARIABLE: Final = "DEEDS_BIN"
LONGEST_RUN: Final = 6 * 3600.0
"""Seconds after which the program is stopped; it takes minutes."""

_RANGE: Final = (-32768, 32767)
_FLOAT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class DeedsBinary:
    """Runs the program in a child process; a `Solver` of `register_with`.

    Attributes:
        program: the executable file.
        threads: how many threads it may use.

    """

    program: Path
    threads: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, *, threads: int = 1) -> Self:
        """Return the program that the variable DEEDS_BIN names.

        Raises:
            EnvironmentProblemError: the variable is not set, or what it names cannot be run.

        """
        named = environment.get(VARIABLE, "")
        if not named:
            msg = f"{VARIABLE} is not set: method deeds-binary needs the program of the authors of DEEDS"
            cure = f"set {VARIABLE} to the path of deedsBCV, or use method deeds"
            raise EnvironmentProblemError(msg, code="E_DEEDS_BIN", cure=cure)
        program = Path(named)
        if not (program.is_file() and os.access(program, os.X_OK)):
            msg = f"{VARIABLE} names no program that can be run"
            raise EnvironmentProblemError(msg, code="E_DEEDS_BIN", cure="correct the path").at(
                file=program.name
            )
        return cls(program.resolve(), threads)

    def __call__(self, fixed: FloatArray, moving: FloatArray, settings: DeedsSettings) -> FloatArray:
        """Register two arrays (HU, one isotropic grid); return (3, n0, n1, n2) float32, voxels.

        Raises:
            EnvironmentProblemError: the program fails, takes too long, or writes something else than said.

        """
        spacing = settings.grid_spacing[-1]
        nodes = tuple(n // spacing for n in fixed.shape)
        with environment_errors(), tempfile.TemporaryDirectory(prefix="lymphct-deeds-") as name:
            folder = Path(name)
            for role, image in (("fixed", fixed), ("moving", moving)):
                write_nifti(folder / f"{role}.nii.gz", _as_stored(image))
            self._run(_arguments(settings), folder)
            return _read_displacements(folder / "out_displacements.dat", nodes)

    def _run(self, arguments: Sequence[str], folder: Path) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the user's own program, no shell
                [str(self.program), *arguments],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=LONGEST_RUN,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"the program was stopped after {LONGEST_RUN / 3600:g} hours"
            raise self._failed(msg) from error
        except OSError as error:  # a text file without an interpreter, another processor
            msg = f"the program does not start ({error.strerror})"
            raise self._failed(msg) from error
        if done.returncode:
            msg = f"the program ended with code {done.returncode}"
            raise self._failed(msg)

    def _failed(self, cause: str) -> EnvironmentProblemError:
        cure = "try the program by hand, or use method deeds"
        return EnvironmentProblemError(cause, code="E_DEEDS_BIN", cure=cure).at(file=self.program.name)


def _as_stored(image: FloatArray) -> Volume:
    """Return whole HU with a plain header: the program ignores scale, spacing and axes."""
    whole = np.clip(np.rint(image), *_RANGE).astype(np.int16)
    n_i, n_j, n_k = whole.shape
    return Volume(array=whole, geometry=Geometry(shape=(n_i, n_j, n_k), spacing=(1.0, 1.0, 1.0)))


def _arguments(settings: DeedsSettings) -> list[str]:
    levels = {"-G": settings.grid_spacing, "-L": settings.search_radius, "-Q": settings.step}
    words = ["-F", "fixed.nii.gz", "-M", "moving.nii.gz", "-O", "out"]
    words += ["-a", f"{settings.alpha:g}", "-l", str(len(settings.grid_spacing))]
    for option, values in levels.items():
        words += [option, "x".join(str(value) for value in values)]
    return words


def _read_displacements(path: Path, nodes: tuple[int, ...]) -> FloatArray:
    """Read float32 numbers: the component along j, then i, then k, each with i fastest."""
    expected = 3 * int(np.prod(nodes)) * _FLOAT_BYTES
    size = path.stat().st_size if path.exists() else 0
    if size != expected:
        msg = f"the program wrote {size} bytes of displacements, {expected} were expected"
        raise EnvironmentProblemError(msg, code="E_DEEDS_BIN", cure="is it deedsBCV?")
    content = read_bounded(path, expected)
    along_j, along_i, along_k = np.frombuffer(content, dtype="<f4").reshape(3, *nodes[::-1])
    found = np.stack([part.T for part in (along_i, along_j, along_k)])
    if not np.isfinite(found).all():
        msg = "the program wrote displacements that are not finite"
        raise EnvironmentProblemError(msg, code="E_DEEDS_BIN", cure="try the program by hand")
    return np.ascontiguousarray(found, dtype=np.float32)
