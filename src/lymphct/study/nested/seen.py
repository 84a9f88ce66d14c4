"""What a cascade found in a test patient, kept small for pictures: lymph nodes and where the attention lies.

The first cascade of each fold and variant keeps it; images and drawn masks lie in the store of the prepared
patients. The attention is kept as one bit at every second voxel: a contour needs no more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.cascade.examination import Findings
from lymphct.core.errors import LeakageError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import NodeMap
from lymphct.core.volume import Volume
from lymphct.io.results.volumes import StoredImages, save_volumes, smallest_unsigned
from lymphct.study.nested.guard import Artefacts
from lymphct.study.nested.plan import COHORT, CascadeRole

SEEN: Final = "seen"
"""Folder within what an examination keeps of a patient."""
LIT: Final = 0.5
"""Attention from which a voxel counts as looked at: half-way up the ramps."""
STEP: Final = 2
"""Every second voxel of the attention is kept along each axis."""
_NODES, _ATTENTION = "nodes", "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a cascade found in a test patient.

    Attributes:
        nodes: plausible lymph nodes with class, probability and size, on the grid of the prepared images.
        lit: 1 where the attention is at least `LIT`, on every `STEP`-th voxel of that grid.

    """

    nodes: NodeMap
    lit: Volume


def keeps_seen(cascade: CascadeRole) -> bool:
    """Tell whether a cascade keeps what it found: the first of its fold alone."""
    return cascade.inner <= 1


def write_seen(folder: Path, found: Findings) -> None:
    """Keep what was found in a patient, about 0.2 MB; the same findings give the same bytes.

    Args:
        folder: of the patient, which is there.
        found: by the cascade.

    """
    plausible = [node.label for node in found.nodes.nodes if node.is_plausible]
    instances = found.nodes.instances
    kept = np.where(np.isin(instances.array, plausible), instances.array, 0)
    lit = found.attention.array[::STEP, ::STEP, ::STEP] >= LIT
    coarse = Volume(array=lit.astype(np.uint8), geometry=_every_second(found.attention.geometry, lit.shape))
    images = {_NODES: instances.with_array(smallest_unsigned(kept)), _ATTENTION: coarse}
    for name, image in images.items():  # they lie on two grids
        place = folder / SEEN / name
        place.mkdir(parents=True)
        save_volumes(place, {name: image})


def _every_second(grid: Geometry, shape: tuple[int, ...]) -> Geometry:
    """Return the grid of every `STEP`-th voxel, from the first on."""
    i, j, k = (STEP * size for size in grid.spacing)
    return Geometry(
        shape=(shape[0], shape[1], shape[2]),
        spacing=(i, j, k),
        origin=grid.origin,
        direction=grid.direction,
    )


def seen_by(artefacts: Artefacts, cascade: CascadeRole, patient: str) -> Seen | None:
    """Return what a cascade found in a test patient; None where it kept nothing or could not examine him.

    Raises:
        LeakageError: the patient is not tested in the cascade's fold, or taught the cascade.
        InputError: damaged.

    """
    if patient not in artefacts.plan.outer_folds[cascade.fold - 1].outer.test:
        msg = f"pictures show test patients alone, and this one is not tested in fold {cascade.fold}"
        raise LeakageError(msg, cure="show what a cascade of the patient's own test fold found").at(
            patient=patient
        )
    evidence = artefacts.evidence(cascade, COHORT, patient)  # refuses who taught the cascade
    folder = artefacts.place(f"examine.{cascade.name}.{COHORT}") / patient / SEEN
    if evidence is None or not folder.is_dir():
        return None
    instances, lit = (StoredImages(folder / name, patient)[name].whole() for name in (_NODES, _ATTENTION))
    return Seen(nodes=NodeMap(instances=instances, nodes=evidence.nodes), lit=lit)
