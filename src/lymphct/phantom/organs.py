"""The nineteen structures, painted from back to front."""

from typing import Final

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.core.terms import Structure
from lymphct.phantom import atlas
from lymphct.phantom.canvas import Box, Canvas, Tissue
from lymphct.phantom.deformation import Waves, draw_waves
from lymphct.phantom.shapes import Ellipsoid, Shape, Tube

Tissues = dict[str, Tissue]

BARRIER: Final = np.float32(20.0)
"""Distance, mm, given to voxels that an organ may not enter."""
THINNEST: Final = 0.8
"""Radius of the thinnest label in voxels: enough to stay in one piece."""


def paint_solid_organs(
    canvas: Canvas, tissues: Tissues, cavity: FloatArray, rng: np.random.Generator
) -> None:
    """Paint liver, spleen, kidneys, adrenals, gallbladder and vena cava."""
    ripple = draw_waves(rng, sd=1.0, wavelengths=(22.0, 40.0))
    _paint_liver(canvas, tissues["liver"], cavity, ripple)
    _paint_spleen(canvas, tissues["spleen"], cavity, ripple)
    _paint_kidney(canvas, tissues, (Structure.RIGHT_KIDNEY, atlas.RIGHT_KIDNEY), side=1.0)
    _paint_kidney(canvas, tissues, (Structure.LEFT_KIDNEY, atlas.LEFT_KIDNEY), side=-1.0)
    for limb in atlas.RIGHT_ADRENAL:
        paint_vessel(canvas, limb, tissues["adrenal"], Structure.RIGHT_ADRENAL)
    for limb in atlas.LEFT_ADRENAL:
        paint_vessel(canvas, limb, tissues["adrenal"], Structure.LEFT_ADRENAL)
    canvas.paint(atlas.GALLBLADDER.grown(1.5), tissues["wall"], Structure.GALLBLADDER)
    canvas.paint(atlas.GALLBLADDER, tissues["bile"], Structure.GALLBLADDER)
    canvas.paint(atlas.INFERIOR_VENA_CAVA, tissues["cava"], Structure.INFERIOR_VENA_CAVA)


def paint_gut_and_pancreas(canvas: Canvas, tissues: Tissues, rng: np.random.Generator) -> None:
    """Paint esophagus, stomach, pancreas, duodenum and the vessels among them."""
    levels = rng.uniform((-48.0, -48.0), (-34.0, -38.0))
    _paint_hollow(canvas, tissues, (Structure.STOMACH, atlas.STOMACH), wall=3.5, air=float(levels[0]))
    _paint_hollow(canvas, tissues, (Structure.ESOPHAGUS, atlas.ESOPHAGUS), wall=5.0, air=None)
    lobules = draw_waves(rng, sd=0.7, wavelengths=(9.0, 16.0))
    for part in atlas.PANCREAS:
        box = canvas.box(part)
        if box is not None:
            distance = part.distance(canvas.atlas[box]) + _ripple(canvas, box, lobules)
            canvas.paint_distance(box, distance, tissues["pancreas"], Structure.PANCREAS)
    _paint_hollow(canvas, tissues, (Structure.DUODENUM, atlas.DUODENUM), wall=3.0, air=float(levels[1]))
    for label, path, tissue in atlas.SOLID_VESSELS:
        paint_vessel(canvas, path, tissues[tissue], label)


def paint_vessel(canvas: Canvas, path: Tube, tissue: Tissue, label: int) -> None:
    """Paint a vessel at its true thickness; its label is thick enough to stay in one piece."""
    box = canvas.box(path)
    if box is None:
        return
    thinnest = float(path.path[:, 3].min())
    reach = max(THINNEST * max(canvas.grid.spacing) - thinnest, 0.0)
    canvas.paint_distance(box, path.distance(canvas.atlas[box]), tissue, label, reach)


def _paint_liver(canvas: Canvas, tissue: Tissue, cavity: FloatArray, ripple: Waves) -> None:
    box = canvas.box(atlas.LIVER_AROUND)
    if box is None:
        return
    points = canvas.atlas[box]
    x, y, z = (points[..., a] for a in range(3))
    # The visceral face: a surface that rises from the tip of the right lobe to the hilum.
    face = (x + 38.0 - 0.62 * z + 0.12 * y + 0.002 * (y - 10.0) ** 2) / 1.2
    right = np.maximum(atlas.LIVER_RIGHT.distance(points), face)
    distance = np.minimum(right, atlas.LIVER_LEFT.distance(points)) + _ripple(canvas, box, ripple)
    _paint_in_cavity(canvas, (box, distance, cavity), tissue, Structure.LIVER)


def _paint_spleen(canvas: Canvas, tissue: Tissue, cavity: FloatArray, ripple: Waves) -> None:
    box = canvas.box(atlas.SPLEEN)
    if box is None:
        return
    points = canvas.atlas[box]
    hollow: Shape = atlas.SPLEEN_HOLLOW
    distance = np.maximum(atlas.SPLEEN.distance(points), -hollow.distance(points))
    _paint_in_cavity(canvas, (box, distance + _ripple(canvas, box, ripple), cavity), tissue, Structure.SPLEEN)


def _paint_in_cavity(
    canvas: Canvas, outline: tuple[Box, FloatArray, FloatArray], tissue: Tissue, label: int
) -> None:
    """Paint an organ as far as wall, lungs and bones leave room."""
    box, distance, cavity = outline
    distance = np.maximum(distance, cavity[box] + np.float32(1.5))
    distance = np.where(canvas.fat[box] == 0, BARRIER, distance).astype(np.float32)
    canvas.paint_distance(box, distance, tissue, label)


def _paint_kidney(canvas: Canvas, tissues: Tissues, kidney: tuple[int, Ellipsoid], *, side: float) -> None:
    label, outer = kidney
    box = canvas.box(outer)
    if box is None:
        return
    points = canvas.atlas[box]
    x, y, z = outer.center
    sinus = Ellipsoid((x + side * 9.0, y - 5.0, z), (8.0, 7.0, 16.0)).distance(points)
    distance = outer.distance(points)
    # A rim of fat parts the kidney from liver and spleen, but takes nothing from wall and spine.
    rim = distance - np.float32(2.5)
    organs = np.isin(canvas.labels[box], (Structure.LIVER, Structure.SPLEEN))
    canvas.paint_fat(box, np.where(organs, rim, BARRIER).astype(np.float32), tissues["fat"])
    canvas.paint_distance(box, np.maximum(distance, -sinus), tissues["kidney"], label)
    canvas.paint(Ellipsoid((x + side * 8.0, y - 4.0, z), (4.0, 4.0, 9.0)), tissues["fluid"])


def _paint_hollow(
    canvas: Canvas, tissues: Tissues, organ: tuple[int, Tube], *, wall: float, air: float | None
) -> None:
    """Paint wall, content and, above the level `air` (y, mm; the patient lies on the back), gas."""
    label, path = organ
    box = canvas.box(path)
    if box is None:
        return
    distance = path.distance(canvas.atlas[box])
    canvas.paint_distance(box, distance, tissues["wall"], label)
    lumen = distance + np.float32(wall)
    canvas.paint_distance(box, lumen, tissues["fluid"], label)
    if air is not None:
        level = canvas.world[box][..., 1] - np.float32(air)
        canvas.paint_distance(box, np.maximum(lumen, level), tissues["gas"], label)


def _ripple(canvas: Canvas, box: Box, waves: Waves) -> FloatArray:
    return waves.at(canvas.atlas[box])[..., 0]
