"""Everything around the organs: skin, fat, muscles, spine, ribs, lungs."""

from typing import Final

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.phantom.canvas import Canvas, Fat, Tissue
from lymphct.phantom.shapes import Tube, tube

HALF_WIDTH: Final = 80.0
HALF_DEPTH: Final = 73.0
AXIS: Final = (0.0, 5.0)
ROUNDNESS: Final = 2.35
AIR_MARGIN: Final = 3.5
WALL: Final = 5.5

Tissues = dict[str, Tissue]


def paint_torso(canvas: Canvas, tissues: Tissues, rng: np.random.Generator) -> FloatArray:
    """Paint skin, fat, muscles, bones and lungs; return the signed distance to the abdominal cavity, mm."""
    whole = (slice(None), slice(None), slice(None))
    body = _body_distance(canvas)
    canvas.paint_distance(whole, body, tissues["fat"])
    canvas.fat[body < -2.0] = Fat.UNDER_SKIN
    canvas.paint_distance(whole, np.abs(body + 1.0) - 1.0, tissues["skin"])
    wall = body + _fat_thickness(canvas, rng)
    cavity = wall + np.float32(WALL)
    canvas.paint_distance(whole, np.maximum(wall, -cavity), tissues["muscle"])
    canvas.fat[cavity < -1.0] = Fat.INNER
    _paint_lungs(canvas, tissues, cavity)
    _paint_back(canvas, tissues)
    _paint_ribs(canvas, tissues)
    _paint_spine(canvas, tissues)
    return cavity


def _body_distance(canvas: Canvas) -> FloatArray:
    distance = _superellipse(canvas.atlas, HALF_WIDTH, HALF_DEPTH, AXIS)
    # However the build stretches a patient, air stays visible around the skin.
    low, high = canvas.world[0, 0, 0, :2], canvas.world[-1, -1, 0, :2]
    middle, half = (low + high) / 2, (high - low) / 2 - np.float32(AIR_MARGIN)
    limit = _superellipse(canvas.world, float(half[0]), float(half[1]), (float(middle[0]), float(middle[1])))
    return np.maximum(distance, limit)


def _superellipse(points: FloatArray, a: float, b: float, middle: tuple[float, float]) -> FloatArray:
    x, y = points[..., 0] - np.float32(middle[0]), points[..., 1] - np.float32(middle[1])
    level = (np.abs(x / a) ** ROUNDNESS + np.abs(y / b) ** ROUNDNESS) ** np.float32(1 / ROUNDNESS)
    level = np.maximum(level, np.float32(1e-3))
    distance: FloatArray = (np.sqrt(x * x + y * y) * (1 - 1 / level)).astype(np.float32)
    return distance


def _fat_thickness(canvas: Canvas, rng: np.random.Generator) -> FloatArray:
    x, y = canvas.atlas[..., 0], canvas.atlas[..., 1]
    side = float(rng.uniform(5.0, 9.0))
    front = float(rng.uniform(0.0, 3.0))
    back = float(rng.uniform(2.0, 5.0))
    angle = np.arctan2(y, np.abs(x) + 1.0)
    thickness: FloatArray = (side + front * np.clip(-angle, 0, 1) + back * np.clip(angle - 0.4, 0, 1)).astype(
        np.float32
    )
    return thickness


def _paint_lungs(canvas: Canvas, tissues: Tissues, cavity: FloatArray) -> None:
    x, y, z = canvas.atlas[..., 0], canvas.atlas[..., 1], canvas.atlas[..., 2]
    across = np.minimum((x + 34) ** 2, (x - 36) ** 2)
    dome = 80.0 - 0.0095 * across - 0.012 * (y + 10) ** 2 - z
    lung = np.maximum(dome, cavity + 1.5).astype(np.float32)
    spine = 14.0 - np.hypot(x, y - 40.0)
    whole = (slice(None), slice(None), slice(None))
    canvas.paint_distance(whole, np.maximum(lung, spine).astype(np.float32), tissues["lung"])


def _paint_back(canvas: Canvas, tissues: Tissues) -> None:
    for side in (-1, 1):
        canvas.paint(
            tube(*[(side * 21.0, 59.0, z, 12.0) for z in (-400.0, 150.0)], step=50), tissues["muscle"]
        )
        canvas.paint(
            tube(*[(side * 38.0, 58.0, z, 8.0) for z in (-400.0, 150.0)], step=50), tissues["muscle"]
        )
        psoas = tube(
            (side * 19.0, 32.0, -20.0, 3.0),
            (side * 25.0, 34.0, -50.0, 9.0),
            (side * 30.0, 32.0, -100.0, 12.0),
            (side * 40.0, 15.0, -200.0, 13.0),
            (side * 46.0, -10.0, -300.0, 11.0),
            step=8,
        )
        canvas.paint(psoas, tissues["muscle"])
        crus = tube(
            (side * 13.0, 14.0, 60.0, 3.0), (side * 12.0, 18.0, 0.0, 3.5), (side * 10.0, 22.0, -50.0, 2.5)
        )
        canvas.paint(crus, tissues["muscle"])


def _paint_ribs(canvas: Canvas, tissues: Tissues) -> None:
    angles = np.linspace(np.deg2rad(62), np.deg2rad(-50), 24)
    for start in (110.0, 86.0, 62.0, 38.0, 14.0):
        for side in (-1, 1):
            c, s = np.cos(angles), np.sin(angles)
            radius = (
                np.abs(c / 0.86 / HALF_WIDTH) ** ROUNDNESS + np.abs(s / 0.86 / HALF_DEPTH) ** ROUNDNESS
            ) ** (-1 / ROUNDNESS)
            height = start - 52.0 * (np.deg2rad(62) - angles) / 1.95
            keep = height > -32.0 - 30.0 * (s > 0)
            rows = np.stack(
                [side * radius * c + AXIS[0], radius * s + AXIS[1], height, np.full(24, 3.6)], axis=1
            )
            rib = Tube(rows[keep].astype(np.float32))
            canvas.paint(rib, tissues["hard bone"])
            canvas.paint(rib.resized(add=-2.0), tissues["spongy bone"])


def _paint_spine(canvas: Canvas, tissues: Tissues) -> None:
    box = canvas.box(tube((0.0, 45.0, -400.0, 38.0), (0.0, 45.0, 200.0, 38.0), step=100))
    if box is None:
        return
    x, y, z = (canvas.atlas[box][..., a] for a in range(3))
    level = np.mod(z + 8.0, 32.0) - 16.0  # each vertebra with its disc is 32 mm high
    waist = 1.0 - 0.1 * np.clip(1 - np.abs(level) / 13.0, 0, 1)
    body = (np.sqrt((x / (19.5 * waist)) ** 2 + ((y - 36.0) / (14.5 * waist)) ** 2) - 1.0) * 16.0
    spinous = np.maximum(np.abs(x) - 3.0, np.maximum(52.0 - y, y - 70.0 + np.abs(level) * 0.4))
    lamina = np.abs(np.hypot(x, y - 56.0) - 10.5) - 2.5
    process = np.hypot(y - 53.0 - 0.12 * np.abs(x), level) - 3.2
    process = np.maximum(process, np.abs(x) - 27.0)
    arch = np.minimum(np.minimum(spinous, lamina), process)
    arch = np.maximum(arch, np.abs(level) - 13.0)
    bone = np.minimum(np.maximum(body, np.abs(level) - 13.0), arch).astype(np.float32)
    canvas.paint_distance(box, body.astype(np.float32), tissues["disc"])
    canvas.paint_distance(box, bone, tissues["hard bone"])
    canvas.paint_distance(box, bone + np.float32(2.2), tissues["spongy bone"])
    canal = (np.hypot(x / 1.2, y - 56.0) - 8.0).astype(np.float32)
    canvas.paint_distance(box, canal, tissues["canal"])
