"""How much of the disk a command takes, known from the headers of the images before anything is written."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lymphct.core.errors import EnvironmentProblemError
from lymphct.imaging.preprocess import working_grid
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.usable import free_space
from lymphct.patients.foresight.outlook import Need
from lymphct.patients.prepared.memory import GIGABYTE, venous_grids
from lymphct.patients.prepared.preparation import Preparation


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes on the disk that suffice, by what takes them (decision 0032).

    Attributes:
        images: per voxel of the working grid and image that a patient has, as `preparation` stores them; no
            air is taken for cut away. A phase with much noise took 1.4, masks of phantoms a third of this.
        attention: the same of the map; of phantoms a third.
        drawn: the same of structures and tumor that a network draws.
        tables: of a prepared patient, whatever the size of the image: voxels of the classes, records.
        result: per voxel of the venous image, compressed, of a prediction; about three times what the masks
            of phantoms take.
        page: of a prediction, whatever the size of the image.

    """

    images: dict[str, float]
    attention: float
    drawn: float
    tables: int
    result: int
    page: int

    def prepared(self, roles: Iterable[str], voxels: int) -> int:
        """Return what a patient with these images takes on a working grid of so many voxels."""
        missing = not {"structures", "tumor"} <= set(roles)
        each = sum(self.images[role] for role in roles) + self.attention + self.drawn * missing
        return math.ceil(each * voxels) + self.tables


STORED: Final = Room(
    images={"venous": 1.5, "arterial": 1.5, "structures": 0.15, "tumor": 0.05, "nodes": 0.05},
    attention=0.25,
    drawn=0.2,
    tables=2_000_000,
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
        total += STORED.prepared(record.paths, voxels)
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
        msg = f"{_words(need.needed)} are needed, {_words(need.free)} are free on the disk"
        raise EnvironmentProblemError(
            msg, code="E_NO_SPACE", cure="free some space, or choose another disk"
        ).at(file=out.name)


def _words(number: int) -> str:
    is_large = number >= GIGABYTE
    return f"{number / GIGABYTE:.1f} GB" if is_large else f"{number / GIGABYTE * 1000:.0f} MB"
