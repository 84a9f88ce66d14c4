"""The way back: a registration turned round, from the moving image's points to the fixed image's."""

from dataclasses import replace
from typing import Final

import numpy as np

from lymphct.core.arrays import DoubleArray, Index3
from lymphct.registration.field import ControlField, sample_field
from lymphct.registration.result import Registration

ROUNDS: Final = 50
"""Steps of the fixed point at most; a field that does not fold needs a dozen."""
ENOUGH: Final = 1e-3
"""Voxels of the work grid by which the last step moved a point at most."""


def inverted(registration: Registration) -> Registration:
    """Return the registration of the fixed image to the moving one: what was `y = A x + u(x)` gives x of y.

    Solved at the control points by x ← A⁻¹ (y − u(x)), which converges where the deformation does not fold;
    elsewhere, and beyond the grid, the last point stands. Numbers and flags are those of the way there.
    """
    shape = registration.grid.shape
    nodes = registration.control.displacement.shape[1:]
    places = _node_places((nodes[0], nodes[1], nodes[2]), shape)
    back: DoubleArray = np.linalg.inv(registration.affine).astype(np.float64)
    start = places @ back[:3, :3].T + back[:3, 3]
    found = start
    for _ in range(ROUNDS):
        shift = sample_field(registration.control, found, shape)
        following = start - shift @ back[:3, :3].T
        moved = float(np.abs(following - found).max(initial=0.0))
        found = following
        if moved < ENOUGH:
            break
    displacement = (found - start).T.reshape(3, *nodes).astype(np.float32)
    control = ControlField(displacement=displacement, spacing=registration.control.spacing)
    return replace(registration, control=control, affine=back)


def _node_places(nodes: Index3, shape: Index3) -> DoubleArray:
    """Return the voxel of each control point, (m, 3): node i of n along an axis of N voxels lies at i·N/n."""
    axes = [np.arange(n) * (size / n) for n, size in zip(nodes, shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
