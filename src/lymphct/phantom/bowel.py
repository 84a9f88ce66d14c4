"""Bowel and vessels that guide nothing and carry no label; they make the picture crowded as it is."""

from typing import Final

import numpy as np

from lymphct.phantom import atlas
from lymphct.phantom.canvas import Canvas, Fat, Tissue
from lymphct.phantom.shapes import Tube, tube

Tissues = dict[str, Tissue]

LOOP_SPACING: Final = 20.0
"""mm between layers of small bowel."""


def paint_bowel(canvas: Canvas, tissues: Tissues, rng: np.random.Generator) -> None:
    """Paint colon and small bowel where the cavity still holds fat, and the bladder."""
    for path in (atlas.ASCENDING_COLON, atlas.TRANSVERSE_COLON, atlas.DESCENDING_COLON):
        _paint_loop(canvas, tissues, path, ("stool", float(rng.uniform(0.0, 7.0))))
    loops = [*atlas.JEJUNUM, *_small_bowel(rng, bottom=float(canvas.world[0, 0, 0, 2]))]
    for path in loops:
        _paint_loop(canvas, tissues, path, ("fluid", float(rng.uniform(5.0, 14.0))))
    canvas.paint(atlas.BLADDER, tissues["fluid"])


def paint_unlabelled_vessels(canvas: Canvas, tissues: Tissues) -> None:
    """Paint renal, iliac and mesenteric vessels, and the veins within the liver."""
    for path in (*atlas.RENAL_VEINS, *atlas.ILIAC_VEINS):
        canvas.paint(path, tissues["cava"])
    for path in (*atlas.RENAL_ARTERIES, *atlas.ILIAC_ARTERIES):
        canvas.paint(path, tissues["artery"])
    for path in atlas.MESENTERIC_BRANCHES:
        canvas.paint(path, tissues["portal"])
    for path in atlas.LIVER_VESSELS:
        canvas.paint(path, tissues["portal"], label=None)


def _paint_loop(canvas: Canvas, tissues: Tissues, path: Tube, content: tuple[str, float]) -> None:
    """Paint wall, content and gas; gas fills what lies the given mm in front of the loop's middle."""
    box = canvas.box(path)
    if box is None:
        return
    # Bowel fills what the cavity leaves: never over bone, muscle or an organ.
    taken = np.where(canvas.fat[box] == Fat.INNER, np.float32(-25.0), np.float32(25.0))
    distance = np.maximum(path.distance(canvas.atlas[box]), taken)
    canvas.paint_distance(box, distance, tissues["wall"])
    lumen = distance + np.float32(2.2)
    filling, gas = content
    canvas.paint_distance(box, lumen, tissues[filling])
    level = float(path.path[:, 1].mean()) - gas
    in_front = canvas.world[box][..., 1] - np.float32(level)
    canvas.paint_distance(box, np.maximum(lumen, in_front), tissues["gas"])


def _small_bowel(rng: np.random.Generator, *, bottom: float) -> list[Tube]:
    loops = []
    for level in np.arange(-92.0, max(bottom - 10.0, -240.0), -LOOP_SPACING):
        for depth in (-40.0, -20.0) if level < -110.0 else (-40.0,):
            x = rng.uniform(-42.0, -34.0)
            count = 8
            across = x + np.cumsum(rng.uniform(8.0, 12.0, count))
            waves = depth + rng.uniform(4.0, 9.0, count) * (-1.0) ** np.arange(count)
            heights = level + rng.uniform(-6.0, 6.0, count)
            radii = rng.uniform(7.5, 9.5, count)
            rows = np.stack([across, waves, heights, radii], axis=1)
            loops.append(tube(*(tuple(row) for row in rows.tolist()), step=4.0))
    return loops
