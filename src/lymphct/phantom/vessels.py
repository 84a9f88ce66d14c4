"""Short vessels near the guiding structures: in one slice they look like nodes."""

from typing import Final

import numpy as np

from lymphct.core.arrays import BoolArray, Vector3
from lymphct.phantom.canvas import Tissue
from lymphct.phantom.nodes import Sculpture
from lymphct.phantom.placement import Placed, find_room
from lymphct.phantom.surroundings import Surroundings

STUB_TISSUES: Final = (Tissue(130.0, 165.0), Tissue(270.0, 145.0))


def place_stubs(rng: np.random.Generator, count: int, surroundings: Surroundings) -> list[Placed]:
    """Place straight vessel pieces of radius 1.5-2.5 and length 10-22 mm where attention is above 0."""
    warm = surroundings.free & surroundings.inner & (surroundings.attention > 0)
    placed = []
    for _ in range(count):
        free = warm & surroundings.free
        stub = find_room(rng, lambda: _stub(rng, surroundings.spacing), free, _solid)
        if stub is not None:
            surroundings.occupy(stub.start, _solid(stub.sculpture))
            placed.append(stub)
    return placed


def _solid(stub: Sculpture) -> BoolArray:
    mask: BoolArray = stub.share > 0.4
    return mask


def _stub(rng: np.random.Generator, spacing: Vector3) -> Sculpture:
    radius, half = rng.uniform(1.5, 2.5), rng.uniform(5.0, 11.0)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    steps = []
    for part, s in zip(direction, spacing, strict=True):
        n = int(np.ceil((half * abs(part) + radius + s) / s))
        steps.append(np.arange(-n, n + 1) * s)
    points = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1)
    along = np.clip(points @ direction, -half, half)
    distance = np.linalg.norm(points - along[..., None] * direction, axis=-1) - radius
    edge = float(np.cbrt(np.prod(spacing)))
    share = np.clip(0.5 - distance / edge, 0.0, 1.0).astype(np.float32)
    tissue = STUB_TISSUES[int(rng.random() < 0.35)]
    arterial, venous = (np.full(share.shape, value, dtype=np.float32) for value in tissue)
    return Sculpture(share, arterial, venous)
