"""How much memory preparing a patient takes, known before it is taken, and how many workers fit."""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.cascade.prepared import Prepared
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.imaging.preprocess import working_grid
from lymphct.io.images.grids import read_grid
from lymphct.io.images.sources import holds_series, source_of
from lymphct.io.manifest import PatientRecord
from lymphct.io.memory import available_memory
from lymphct.patients.prepared.preparation import Preparation

logger = logging.getLogger(__name__)

GIGABYTE: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes of one worker, measured by the peak of its resident memory (decision 0020).

    Attributes:
        program: of the program and its libraries.
        acquired: per voxel of the venous image, for both phases and the masks as read.
        working: per voxel of the working grid, for everything resampled and the attention.
        registration: per voxel of the registration's grid.
        inference: per voxel of the working grid, for the network of structures.

    """

    program: int
    acquired: int
    working: int
    registration: int
    inference: int


MEASURED: Final = Footprint(program=400_000_000, acquired=24, working=30, registration=220, inference=100)


def worker_memory(
    records: Sequence[PatientRecord], preparation: Preparation, *, with_networks: bool = False
) -> int:
    """Return the bytes a worker takes for the largest patient.

    Patients who are excluded or whose header cannot be read do not count: the latter fail later, for their
    own reason.
    """
    grids = venous_grids(records).values()
    return max(
        (grid_memory(grid, preparation, with_networks=with_networks) for grid in grids),
        default=MEASURED.program,
    )


def venous_grids(records: Sequence[PatientRecord]) -> dict[Path, Geometry]:
    """Return the grid of each patient's venous phase, by its path, from its header.

    Of DICOM series the largest is read and stands for all: a folder's headers cost time. Patients who are
    excluded or whose header cannot be read are left out.
    """
    paths = dict.fromkeys(record.venous for record in records if not record.is_excluded)
    folders = [path for path in paths if holds_series(path)]
    grids = {}
    for path in paths:
        if path not in folders:
            with suppress(InputError):
                grids[path] = read_grid(path)
    if folders:
        with suppress(InputError):
            grids |= dict.fromkeys(folders, read_grid(max(folders, key=_size_of_folder)))
    return grids


def _size_of_folder(path: Path) -> int:
    folder = source_of(path)[0]
    if folder.is_file():
        return folder.stat().st_size
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def grid_memory(grid: Geometry, preparation: Preparation, *, with_networks: bool = False) -> int:
    """Return the bytes a worker takes for a patient whose venous image lies on this grid."""
    working = math.prod(working_grid(grid, preparation.spacing).shape)
    acquired = math.prod(grid.shape) * MEASURED.acquired
    registering = 0.0
    if preparation.registration.method != "none":
        step = preparation.registration.spacing_mm
        registering = float(np.prod(grid.size)) / step**3 * MEASURED.registration
    # One after the other: what the steps share is the images as acquired.
    steps = [registering, working * MEASURED.working, working * MEASURED.inference * with_networks]
    return MEASURED.program + acquired + int(max(steps))


def drawing_jobs(patients: Mapping[str, Prepared], names: Sequence[str], jobs: int) -> int:
    """Return how many workers fit whose networks look at whole prepared patients; said before they start.

    Patients who cannot be read do not count: they fail later, for their own reason.
    """
    if jobs == 1:
        return 1
    voxels = [0]
    for name in names:
        with suppress(InputError):
            venous = patients[name].view("venous")
            voxels.append(0 if venous is None else math.prod(venous.geometry.shape))
    return affordable_jobs(jobs, MEASURED.program + max(voxels) * MEASURED.inference)


def affordable_jobs(jobs: int, each: int) -> int:
    """Return how many workers fit into memory, at least one and at most `jobs`; say so before they start."""
    free = available_memory()
    if free is None:
        logger.info("a worker takes up to %.1f GB; how much is free is not known", each / GIGABYTE)
        return jobs
    fitting = max(1, min(jobs, free // each))
    logger.info("a worker takes up to %.1f GB, %.1f GB are free", each / GIGABYTE, free / GIGABYTE)
    if fitting < jobs:
        logger.warning("memory suffices for %d workers instead of %d", fitting, jobs)
    elif each > free:
        logger.warning("memory may not suffice for the largest patient")
    return fitting
