"""How much of the disk a command takes, known from the headers of the images before anything is written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lymphct.core.errors import EnvironmentProblemError
from lymphct.imaging.preprocess import working_grid
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.usable import free_space
from lymphct.patients.memory import GIGABYTE, venous_grids
from lymphct.patients.outlook import Need
from lymphct.patients.preparation import Preparation


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes on the disk, by what takes them.

    Attributes:
        images: per voxel of the working grid and image that a patient has, as `preparation` stores them.
        attention: per voxel of the working grid: structures, tumor and the map, as `guidance` stores them.
        result: per voxel of the venous image, compressed, of a prediction; about three times what the masks
            of phantoms take.
        page: of a prediction, whatever the size of the image.

    """

    images: dict[str, int]
    attention: int
    result: int
    page: int


STORED: Final = Room(
    images={"venous": 2, "arterial": 2, "structures": 1, "tumor": 1, "nodes": 4},
    attention=6,
    result=1,
    page=1_000_000,
)


def room_to_prepare(records: Sequence[PatientRecord], preparation: Preparation, out: Path) -> Need:
    """Return what preparing a cohort takes of the disk, without the patients who are there already."""
    grids = venous_grids(records)
    total = 0
    for record in records:
        if record.venous not in grids or preparation.store.place(record.patient_id).is_dir():
            continue
        voxels = math.prod(working_grid(grids[record.venous], preparation.spacing).shape)
        total += voxels * (sum(STORED.images[name] for name in record.paths) + STORED.attention)
    return Need(needed=total, free=free_space(out))


def room_to_predict(records: Sequence[PatientRecord], out: Path) -> Need:
    """Return what the results of a cohort take of the disk."""
    grids = venous_grids(records)
    total = sum(math.prod(grid.shape) * STORED.result + STORED.page for grid in grids.values())
    return Need(needed=total, free=free_space(out))


def require_room(need: Need, out: Path) -> None:
    """Refuse work whose results have no room on the disk.

    Raises:
        EnvironmentProblemError: less is free than is needed.

    """
    if need.free is not None and need.needed > need.free:
        msg = (
            f"{need.needed / GIGABYTE:.1f} GB are needed, {need.free / GIGABYTE:.1f} GB are free on the disk"
        )
        raise EnvironmentProblemError(
            msg, code="E_NO_SPACE", cure="free some space, or choose another disk"
        ).at(file=out.name)
