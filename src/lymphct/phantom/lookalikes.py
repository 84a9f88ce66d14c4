"""What a network takes for lymph nodes where nodes lie: ganglia, loops of bowel, nodes that nobody drew."""

from typing import Final

import numpy as np

from lymphct.core.arrays import DoubleArray, Vector3
from lymphct.core.terms import NodeClass
from lymphct.phantom.canvas import Tissue
from lymphct.phantom.nodes import LOG_VOLUME, Look, NodePlan, Sculpture, random_rotation, sculpt
from lymphct.phantom.placement import Looks, Placed, find_room
from lymphct.phantom.settings import PhantomSettings
from lymphct.phantom.surroundings import Surroundings

GANGLION: Final = Look(tissue=Tissue(62, 78), texture=5.0, roundness=(0.25, 0.5))
"""Flat and long, a little darker than a node (the coeliac ganglia); not stated in the paper."""
GANGLION_VOLUME: Final = (5.3, 0.6)
"""Mean and SD of the logarithm of the volume, mm³."""
WALL: Final = Tissue(85.0, 105.0)
CONTENT: Final = Tissue(18.0, 18.0)
"""Of a collapsed loop: seen in one slice, a node with a necrotic core; not stated in the paper."""
WALL_THICKNESS: Final = 2.0
"""mm."""
UNDRAWN_POSITIVE: Final = 0.3
"""Share of the nodes that nobody drew which look like positive ones."""


def place_lookalikes(
    rng: np.random.Generator, settings: PhantomSettings, looks: Looks, surroundings: Surroundings
) -> list[Placed]:
    """Place as many of each kind as the mode has, where attention is above 0; none has a label."""
    difficulty = settings.difficulty
    kinds = (
        (difficulty.undrawn_nodes, lambda: _undrawn(rng, settings, looks, surroundings.spacing)),
        (difficulty.ganglia, lambda: _ganglion(rng, surroundings.spacing)),
        (difficulty.bowel_loops, lambda: _loop(rng, surroundings.spacing)),
    )
    placed = []
    for expected, make in kinds:
        for _ in range(int(rng.poisson(expected))):
            warm = surroundings.free & surroundings.inner & (surroundings.attention > 0)
            body = find_room(rng, make, warm)
            if body is not None:
                surroundings.occupy(body.start, body.sculpture.mask)
                placed.append(body)
    return placed


def _undrawn(
    rng: np.random.Generator, settings: PhantomSettings, looks: Looks, spacing: Vector3
) -> Sculpture:
    node_class = NodeClass.POSITIVE if rng.random() < UNDRAWN_POSITIVE else NodeClass.NEGATIVE
    volume = float(np.exp(rng.normal(*LOG_VOLUME[NodeClass.NEGATIVE])))
    plan = NodePlan(node_class=node_class, volume=float(np.clip(volume, settings.smallest_node, 1500.0)))
    return sculpt(rng, plan, looks[node_class], spacing)


def _ganglion(rng: np.random.Generator, spacing: Vector3) -> Sculpture:
    volume = float(np.clip(np.exp(rng.normal(*GANGLION_VOLUME)), 80.0, 1200.0))
    plan = NodePlan(node_class=NodeClass.NEGATIVE, volume=volume)
    return sculpt(rng, plan, GANGLION, spacing)


def _loop(rng: np.random.Generator, spacing: Vector3) -> Sculpture:
    """Draw a piece of collapsed bowel: a bent tube of an enhancing wall and dark content."""
    radius, half, bend = rng.uniform(3.0, 5.0), rng.uniform(3.0, 9.0), rng.uniform(0.0, 0.08)
    reach = half + radius
    counts = [int(np.ceil(reach / step)) for step in spacing]
    steps = [np.arange(-n, n + 1) * step for n, step in zip(counts, spacing, strict=True)]
    points = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1) @ random_rotation(rng)
    along = np.clip(points[..., 0], -half, half)
    middle = np.stack([along, bend * along**2, np.zeros_like(along)], axis=-1)
    distance: DoubleArray = np.linalg.norm(points - middle, axis=-1)
    edge = float(np.cbrt(np.prod(spacing)))
    share = np.clip(0.5 - (distance - radius) / edge, 0.0, 1.0).astype(np.float32)
    core = np.clip(0.5 - (distance - radius + WALL_THICKNESS) / edge, 0.0, 1.0)
    arterial, venous = (
        (wall + core * (content - wall)).astype(np.float32)
        for wall, content in zip(WALL, CONTENT, strict=True)
    )
    return Sculpture(share, arterial, venous)
