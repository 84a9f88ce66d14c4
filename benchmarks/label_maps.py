"""Label maps to measure on: ten organ-like bodies and sixty nodes, generated."""

import numpy as np

from lymphct.core.arrays import LabelArray

SPACING = (0.68, 0.68, 0.8)
LABELS = tuple(range(1, 11))
# Centre (share of the shape) and radii (share) of ten bodies about as large as the guiding structures.
BODIES = (
    ((0.75, 0.55, 0.55), (0.11, 0.13, 0.17)),
    ((0.52, 0.60, 0.85), (0.02, 0.02, 0.14)),
    ((0.62, 0.35, 0.60), (0.16, 0.10, 0.17)),
    ((0.50, 0.62, 0.45), (0.03, 0.03, 0.44)),
    ((0.50, 0.48, 0.48), (0.16, 0.05, 0.07)),
    ((0.38, 0.48, 0.36), (0.05, 0.06, 0.17)),
    ((0.50, 0.54, 0.30), (0.01, 0.01, 0.20)),
    ((0.60, 0.54, 0.56), (0.10, 0.01, 0.02)),
    ((0.53, 0.45, 0.62), (0.012, 0.06, 0.02)),
    ((0.43, 0.47, 0.55), (0.07, 0.012, 0.02)),
)


def organs(shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[LabelArray, LabelArray]:
    """Return a predicted and a true label map whose surfaces differ by smooth waves of a few voxels."""
    axes = [np.arange(n, dtype=np.float32) for n in shape]
    maps = [np.zeros(shape, dtype=np.uint8) for _ in range(2)]
    for label, (center, radii) in enumerate(BODIES, start=1):
        box = tuple(
            slice(max(0, int((c - 1.3 * r) * n) - 4), min(n, int((c + 1.3 * r) * n) + 4))
            for c, r, n in zip(center, radii, shape, strict=True)
        )
        x, y, z = np.meshgrid(*(axis[part] for axis, part in zip(axes, box, strict=True)), indexing="ij")
        level = sum(
            ((w - c * n) / (r * n)) ** 2 for w, c, r, n in zip((x, y, z), center, radii, shape, strict=True)
        )
        for labels in maps:
            phase = rng.uniform(0, 2 * np.pi, 3)
            wave = np.sin(x / 9 + phase[0]) + np.sin(y / 7 + phase[1]) + np.sin(z / 8 + phase[2])
            labels[box][level < 1 + 0.06 * wave] = label
    return (maps[0], maps[1])


def nodes(shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[LabelArray, LabelArray]:
    """Return instance maps of sixty true nodes, most found a little displaced, and some false ones."""
    maps = [np.zeros(shape, dtype=np.int32) for _ in range(2)]
    ball = np.linalg.norm(np.indices((17, 17, 17)) - 8.0, axis=0) < 8
    for label in range(1, 61):
        start = rng.integers(16, np.array(shape) - 40)
        moved = start + rng.integers(-3, 4, 3) * (1 + 3 * (label % 7 == 0))
        for labels, corner in zip(maps, (moved, start), strict=True):
            box = labels[tuple(slice(c, c + 17) for c in corner)]
            box[ball & (box == 0)] = label
    return (maps[0], maps[1])
