"""Everything around the organs: skin, fat, wall, spine, ribs, lungs, bowel, vessels without a label."""

from typing import Final

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.phantom.canvas import Canvas, Fat, Tissue
from lymphct.phantom.shapes import Ellipsoid, Tube, tube

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


def paint_bowel(canvas: Canvas, tissues: Tissues, rng: np.random.Generator) -> None:
    """Paint colon and small bowel, which guide nothing and carry no label."""
    for path in (_ASCENDING, _TRANSVERSE, _DESCENDING):
        _paint_loop(canvas, tissues, path, gas=float(rng.uniform(0.0, 6.0)), content="stool")
    for path in _small_bowel(rng, bottom=float(canvas.world[..., 2].min())):
        _paint_loop(canvas, tissues, path, gas=float(rng.uniform(-9.0, 0.0)), content="fluid")


def paint_unlabelled_vessels(canvas: Canvas, tissues: Tissues) -> None:
    """Paint renal and iliac vessels, and the branches of the portal vein and hepatic veins in the liver."""
    for path in _ARTERIES:
        canvas.paint(path, tissues["artery"])
    for path in _VEINS:
        canvas.paint(path, tissues["cava"])
    for path in _LIVER_BRANCHES:
        canvas.paint(path, tissues["portal"], label=None)


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
    dome = 82.0 - 0.0095 * across - 0.011 * (y + 8) ** 2 - z
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
    process = np.maximum(np.abs(y - 52.0) - 3.0, np.maximum(np.abs(x) - 34.0, np.abs(level) - 5.0))
    arch = np.minimum(np.minimum(spinous, lamina), process)
    arch = np.maximum(arch, np.abs(level) - 13.0)
    bone = np.minimum(np.maximum(body, np.abs(level) - 13.0), arch).astype(np.float32)
    canvas.paint_distance(box, body.astype(np.float32), tissues["disc"])
    canvas.paint_distance(box, bone, tissues["hard bone"])
    canvas.paint_distance(box, bone + np.float32(2.2), tissues["spongy bone"])
    canal = (np.hypot(x / 1.2, y - 56.0) - 8.0).astype(np.float32)
    canvas.paint_distance(box, canal, tissues["canal"])


def _paint_loop(canvas: Canvas, tissues: Tissues, path: Tube, *, gas: float, content: str) -> None:
    box = canvas.box(path)
    if box is None:
        return
    # Bowel fills what the cavity leaves: never over bone, muscle or an organ.
    taken = (canvas.fat[box] != Fat.INNER).astype(np.float32) * np.float32(50.0)
    distance = path.distance(canvas.atlas[box])
    outer = np.maximum(distance, taken - np.float32(25.0))
    canvas.paint_distance(box, outer, tissues["wall"])
    lumen = np.maximum(distance + np.float32(2.5), outer)
    canvas.paint_distance(box, lumen, tissues[content])
    y = canvas.atlas[box][..., 1]
    middle = float(path.path[:, 1].mean())
    canvas.paint_distance(box, np.maximum(lumen, y - np.float32(middle - gas)), tissues["gas"])


_ASCENDING: Final = tube(
    (-58.0, 6.0, -38.0, 11.0),
    (-60.0, 10.0, -70.0, 12.0),
    (-58.0, 8.0, -120.0, 13.0),
    (-55.0, 0.0, -185.0, 15.0),
)
_TRANSVERSE: Final = tube(
    (-58.0, 6.0, -38.0, 11.0),
    (-50.0, -28.0, -52.0, 10.0),
    (-20.0, -52.0, -68.0, 10.0),
    (15.0, -54.0, -66.0, 10.0),
    (45.0, -36.0, -42.0, 10.0),
    (56.0, 2.0, -22.0, 9.0),
)
_DESCENDING: Final = tube(
    (56.0, 2.0, -22.0, 9.0),
    (60.0, 16.0, -50.0, 9.0),
    (60.0, 16.0, -120.0, 9.5),
    (54.0, 10.0, -190.0, 9.5),
    (30.0, 0.0, -230.0, 10.0),
    (0.0, 20.0, -250.0, 10.0),
    (0.0, 40.0, -300.0, 13.0),
)


def _small_bowel(rng: np.random.Generator, *, bottom: float) -> list[Tube]:
    loops = []
    for level in np.arange(-84.0, max(bottom - 10.0, -230.0), -19.0):
        x, y = rng.uniform(-34.0, -20.0), rng.uniform(-42.0, -30.0)
        rows = [(x, y, level, 7.5)]
        for step in range(1, 7):
            rows.append(
                (
                    float(x + step * rng.uniform(9.0, 12.0)),
                    float(np.clip(y + (-1) ** step * rng.uniform(6.0, 14.0), -52.0, -14.0)),
                    float(level + rng.uniform(-6.0, 6.0)),
                    float(rng.uniform(6.5, 8.5)),
                )
            )
        loops.append(tube(*rows))
    return loops


_ARTERIES: Final = (
    tube((-1.0, 9.0, -22.0, 2.6), (-20.0, 20.0, -24.0, 2.4), (-36.0, 30.0, -32.0, 2.2)),
    tube((-1.0, 9.0, -24.0, 2.6), (16.0, 20.0, -26.0, 2.4), (30.0, 30.0, -30.0, 2.2)),
    tube(
        (-2.0, 10.0, -100.0, 6.5),
        (-18.0, 14.0, -140.0, 5.0),
        (-40.0, 4.0, -220.0, 4.5),
        (-48.0, -20.0, -300.0, 4.0),
    ),
    tube(
        (-2.0, 10.0, -100.0, 6.5),
        (16.0, 14.0, -140.0, 5.0),
        (40.0, 4.0, -220.0, 4.5),
        (48.0, -20.0, -300.0, 4.0),
    ),
)
_VEINS: Final = (
    tube((-22.0, 9.0, -27.0, 4.0), (-30.0, 20.0, -30.0, 3.6), (-38.0, 30.0, -36.0, 3.0)),
    tube(
        (-18.0, 6.0, -30.0, 4.0), (-2.0, -3.0, -30.0, 3.2), (14.0, 8.0, -32.0, 3.6), (30.0, 28.0, -36.0, 3.2)
    ),
    tube(
        (-20.0, 12.0, -104.0, 8.0),
        (-26.0, 20.0, -150.0, 6.0),
        (-42.0, 10.0, -220.0, 5.5),
        (-50.0, -14.0, -300.0, 5.0),
    ),
    tube(
        (-20.0, 12.0, -104.0, 8.0),
        (8.0, 20.0, -140.0, 6.0),
        (36.0, 10.0, -220.0, 5.5),
        (46.0, -14.0, -300.0, 5.0),
    ),
)
_LIVER_BRANCHES: Final = (
    tube((-36.0, -12.0, 26.0, 4.5), (-46.0, -6.0, 32.0, 3.5), (-58.0, 6.0, 36.0, 2.0)),
    tube((-46.0, -6.0, 32.0, 3.0), (-54.0, -14.0, 18.0, 2.4), (-60.0, -10.0, 0.0, 1.6)),
    tube((-36.0, -12.0, 28.0, 4.0), (-28.0, -24.0, 38.0, 3.0), (-12.0, -38.0, 42.0, 2.0)),
    tube((-20.0, 0.0, 58.0, 4.0), (-36.0, -8.0, 50.0, 3.0), (-54.0, -14.0, 40.0, 1.8)),
    tube((-20.0, 0.0, 58.0, 4.0), (-40.0, 14.0, 46.0, 3.0), (-56.0, 22.0, 30.0, 1.8)),
    tube((-18.0, -2.0, 60.0, 3.5), (-16.0, -20.0, 54.0, 2.5), (-14.0, -40.0, 48.0, 1.8)),
)
PELVIC_BLADDER: Final = Ellipsoid((0.0, -18.0, -290.0), (32.0, 26.0, 28.0))
