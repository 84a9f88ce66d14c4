"""From the images as acquired to the working grid and back (Sec. IV-A.2)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from lymphct.core.arrays import Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase, NodeMap
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

AIR: Final = -1024.0
"""HU outside the field of view."""

Intensity = Mapping[Phase, IntensityStatistics]


def align(venous: Volume, arterial: Volume | None, spacing: Vector3) -> Multiphase:
    """Bring both phases onto the working grid, each interpolated once (Sec. IV-A.2).

    The arterial phase goes through the patient's coordinates: two phases of one session share them.
    """
    grid = working_grid(venous.geometry, spacing)
    return Multiphase(
        venous=resample(venous, grid, fill=AIR),
        arterial=None if arterial is None else resample(arterial, grid, fill=AIR),
    )


def normalized(ct: Multiphase, intensity: Intensity) -> Multiphase:
    """Return clipped and z-scored phases, float32 (Sec. IV-A.2)."""
    return Multiphase(
        venous=normalize(ct.venous, intensity.get(Phase.VENOUS, DEFAULT_INTENSITY)),
        arterial=None
        if ct.arterial is None
        else normalize(ct.arterial, intensity.get(Phase.ARTERIAL, DEFAULT_INTENSITY)),
    )


def nodes_on_grid(nodes: NodeMap, grid: Geometry) -> NodeMap:
    """Bring drawn nodes onto another grid; nodes too small for a voxel of it are left out."""
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
