"""From the images as acquired to the working grid and back (Sec. IV-A.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lymphct.core.arrays import Vector3
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, NodeMap, Notice
from lymphct.core.terms import Phase
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import (
    DEFAULT_INTENSITY,
    IntensityStatistics,
    normalize,
    resample,
    resample_labels,
    working_grid,
)
from lymphct.registration.registering import Resources, register_with
from lymphct.registration.result import Registration, RegistrationReport
from lymphct.registration.settings import RegistrationSettings

AIR: Final = -1024.0
"""HU outside the field of view."""

DIFFERENT_REGIONS: Final = "E_OVERLAP"
"""Code of the one refusal that concerns the patient and not the registration."""

_LEFT: Final = "the phases were left at the scanner's coordinates"

Intensity = Mapping[Phase, IntensityStatistics]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """Both phases on the working grid, and how the arterial one got there.

    Attributes:
        ct: HU.
        registration: numbers of the registration that was tried, used or refused; None when none was.
        notices: `registration_flagged` or `registration_failed` when the phases were left where they were.

    """

    ct: Multiphase
    registration: RegistrationReport | None = None
    notices: tuple[Notice, ...] = ()


def align(
    venous: Volume, arterial: Volume | None, spacing: Vector3, how: RegistrationSettings, *, threads: int = 1
) -> Aligned:
    """Bring both phases onto the working grid, each interpolated once (Sec. IV-A.2).

    The arterial phase is registered to the venous one on a coarser grid of its own, then the original is
    read once at the voxels of the working grid. A registration that fails or whose numbers cannot be trusted
    is replaced by the patient's coordinates, which two phases of one session share, unless `how` forbids it.

    Args:
        venous: HU as acquired.
        arterial: HU on its own grid; None when it was not acquired.
        spacing: of the working grid, mm.
        how: method and limits of the registration; method `none` trusts the coordinates.
        threads: of the registration; the result does not depend on them.

    Raises:
        InputError: the phases show different regions; or they cannot be registered and `how` has no way back.

    """
    found: Registration | None = None
    notices: tuple[Notice, ...] = ()
    if arterial is not None and how.method != "none":
        found, notices = _registered(venous, arterial, how, threads)
    grid = working_grid(venous.geometry, spacing)
    late = resample(venous, grid, fill=AIR)
    if arterial is None:
        early = None
    elif found is None or (found.is_flagged and how.fall_back):
        early = resample(arterial, grid, fill=AIR)
    else:
        early = found.warp_image(arterial, grid, fill=AIR)
    return Aligned(
        ct=Multiphase(venous=late, arterial=early),
        registration=None if found is None else found.report,
        notices=notices,
    )


def _registered(
    venous: Volume, arterial: Volume, how: RegistrationSettings, threads: int
) -> tuple[Registration | None, tuple[Notice, ...]]:
    """Return the registration, flagged or not, and what is to be said of it; None where it failed."""
    try:
        found = register_with(venous, arterial, how, Resources(threads=threads))
    except InputError as error:
        if error.code == DIFFERENT_REGIONS or not how.fall_back:
            raise
        return None, (_failure(error),)
    return found, (_doubt(found.report, how),) if found.is_flagged else ()


def _failure(error: InputError) -> Notice:
    text = f"the arterial phase could not be registered ({error.cause}): {_LEFT}"
    return Notice(code="registration_failed", text=text)


def _doubt(report: RegistrationReport, how: RegistrationSettings) -> Notice:
    what = _LEFT if how.fall_back else "it was used all the same, as the settings say"
    text = f"the registration of the arterial phase cannot be trusted ({'; '.join(report.flags)}): {what}"
    return Notice(code="registration_flagged", text=text, value=len(report.flags))


def normalized(ct: Multiphase, intensity: Intensity) -> Multiphase:
    """Return clipped and z-scored phases, float32 (decision 0017)."""
    return Multiphase(
        venous=normalize(ct.venous, intensity.get(Phase.VENOUS, DEFAULT_INTENSITY)),
        arterial=None
        if ct.arterial is None
        else normalize(ct.arterial, intensity.get(Phase.ARTERIAL, DEFAULT_INTENSITY)),
    )


def nodes_on_grid(nodes: NodeMap, grid: Geometry) -> NodeMap:
    """Bring drawn nodes onto another grid; nodes too small for a voxel of it are left out.

    `notices.collected_notices` names them.
    """
    instances = resample_labels(nodes.instances, grid)
    there = frozenset(np.unique(instances.array).tolist())
    return NodeMap(instances=instances, nodes=tuple(node for node in nodes.nodes if node.label in there))


def nodes_as_acquired(nodes: NodeMap, acquired: Geometry) -> NodeMap:
    """Bring found nodes back onto the venous grid; their measurements stay those of the working grid.

    A node that falls between the voxel centres of a coarse grid keeps the voxel nearest to its center, so
    that every row of `nodes.csv` can be found in the mask.
    """
    painted = resample_labels(nodes.instances, acquired).array.copy()
    there = frozenset(np.unique(painted).tolist())
    for node in nodes.nodes:
        if node.label not in there:
            voxel = np.rint(acquired.index(node.center)).astype(int)
            i, j, k = np.clip(voxel, 0, np.asarray(acquired.shape) - 1)
            painted[i, j, k] = node.label
    return replace(nodes, instances=Volume(array=painted, geometry=acquired))
