"""convexAdam behind our interface: the extra `convexadam` (Siebert et al., IEEE TMI 2024)."""

import importlib
import warnings
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Final

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.core.errors import EnvironmentProblemError

LEAST_SPACING: Final = 1.4
"""mm; with finer voxels its fixed search radius of 24 voxels is too short for breathing."""


def solve(fixed: FloatArray, moving: FloatArray) -> FloatArray:
    """Return the pull-back displacement of every voxel, float32 (3, *shape), voxels.

    It knows neither spacing nor affine: both images lie on one isotropic grid. Computed in float32 (its
    default on a GPU is float16) and made inverse consistent.

    Raises:
        EnvironmentProblemError: convexAdam is not installed.

    """
    with warnings.catch_warnings():  # it silences all warnings of the program that loads it
        try:
            library: Any = importlib.import_module("convexAdam.convex_adam_MIND")
        except ImportError as error:
            msg = "convexAdam is not installed"
            cure = "pip install 'lymphct[convexadam]', or use method deeds"
            raise EnvironmentProblemError(msg, code="E_LIBRARY", cure=cure) from error
        with redirect_stdout(StringIO()):  # results go to files, stdout belongs to --json
            found = library.convex_adam_pt(
                np.ascontiguousarray(fixed),
                np.ascontiguousarray(moving),
                ic=True,
                dtype=library.torch.float32,
            )
    return np.ascontiguousarray(np.moveaxis(np.asarray(found, dtype=np.float32), -1, 0))
