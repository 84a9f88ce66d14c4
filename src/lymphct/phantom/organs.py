"""The nineteen structures, painted from back to front (METHOD §13)."""

from typing import Final

import numpy as np

from lymphct.core.arrays import FloatArray
from lymphct.core.terms import Structure
from lymphct.phantom.canvas import Canvas, Tissue
from lymphct.phantom.deformation import Waves, draw_waves
from lymphct.phantom.shapes import Ellipsoid, Shape, Tube, tube

Tissues = dict[str, Tissue]

# Half lengths and radii in mm; the frame starts at the celiac trunk: x left, y posterior, z cranial.
ESOPHAGUS: Final = tube(
    (6.0, 16.0, 120.0, 6.5),
    (5.0, 13.0, 75.0, 6.5),
    (3.0, 8.0, 52.0, 7.0),
    (10.0, 2.0, 33.0, 7.0),
    (18.0, 0.0, 29.0, 7.0),
)
STOMACH: Final = tube(
    (34.0, 8.0, 46.0, 19.0), (36.0, -4.0, 34.0, 23.0), (37.0, -22.0, 14.0, 24.0), (33.0, -37.0, -8.0, 20.0),
    (16.0, -44.0, -22.0, 16.0), (-4.0, -45.0, -24.0, 13.0), (-19.0, -40.0, -18.0, 9.0),
)  # fmt: skip
DUODENUM: Final = tube(
    (-22.0, -39.0, -17.0, 10.0), (-37.0, -31.0, -17.0, 11.0), (-46.0, -19.0, -30.0, 11.0), (-47.0, -14.0, -50.0, 11.0),
    (-42.0, -10.0, -69.0, 10.0), (-26.0, -9.0, -76.0, 9.0), (-4.0, -11.0, -76.0, 8.0), (16.0, -12.0, -72.0, 8.5),
    (23.0, -18.0, -60.0, 9.0),
)  # fmt: skip
PANCREAS: Final = (
    tube((-27.0, -18.0, -54.0, 11.0), (-26.0, -20.0, -40.0, 13.5), (-20.0, -26.0, -27.0, 11.0), (-6.0, -31.0, -22.0, 9.5),
         (14.0, -27.0, -13.0, 10.5), (30.0, -13.0, -6.0, 10.5), (42.0, 3.0, -2.0, 9.5), (49.0, 15.0, -1.0, 8.0)),
    tube((-26.0, -18.0, -48.0, 11.0), (-14.0, -12.0, -54.0, 8.0), (-8.0, -12.0, -55.0, 6.0)),
)  # fmt: skip
AORTA: Final = tube(
    (10.0, 24.0, 120.0, 10.0),
    (8.0, 21.0, 70.0, 9.8),
    (3.0, 13.0, 30.0, 9.5),
    (-1.0, 9.5, 0.0, 9.3),
    (-1.5, 8.5, -45.0, 8.8),
    (-2.0, 10.0, -101.0, 8.3),
)
INFERIOR_VENA_CAVA: Final = tube(
    (-16.0, -4.0, 120.0, 10.0),
    (-18.0, -2.0, 66.0, 11.0),
    (-21.0, 5.0, 25.0, 10.0),
    (-22.0, 9.0, -30.0, 10.0),
    (-20.0, 11.0, -104.0, 9.5),
)
PORTAL_AND_SPLENIC_VEIN: Final = (
    tube(
        (-9.0, -21.0, -28.0, 6.5),
        (-16.0, -18.0, -14.0, 6.5),
        (-27.0, -14.0, 8.0, 6.5),
        (-37.0, -11.0, 28.0, 6.0),
    ),
    tube(
        (-9.0, -21.0, -26.0, 5.0),
        (4.0, -17.5, -21.0, 4.2),
        (18.0, -11.0, -14.0, 4.0),
        (33.0, 2.0, -8.0, 4.0),
        (42.0, 15.0, -4.0, 3.8),
        (51.0, 24.0, 0.0, 3.5),
    ),
)
SUPERIOR_MESENTERIC_VEIN: Final = tube(
    (-9.0, -21.0, -27.0, 6.0),
    (-11.0, -23.0, -45.0, 5.8),
    (-11.0, -28.0, -72.0, 5.5),
    (-10.0, -33.0, -110.0, 5.0),
)
SUPERIOR_MESENTERIC_ARTERY: Final = tube(
    (-1.0, 4.0, -11.0, 3.6),
    (0.0, -7.0, -14.0, 3.6),
    (0.5, -14.0, -26.0, 3.5),
    (1.0, -19.0, -48.0, 3.4),
    (2.0, -26.0, -74.0, 3.2),
    (3.0, -32.0, -110.0, 3.0),
)
CELIAC_AND_SPLENIC: Final = (
    tube((-1.0, 4.0, 0.0, 3.5), (0.0, -6.0, 2.0, 3.4), (0.0, -14.0, 3.0, 3.2), step=1.5),
    tube(
        (0.0, -14.0, 3.0, 3.0),
        (9.0, -18.0, 7.0, 2.8),
        (20.0, -14.0, 6.0, 2.8),
        (30.0, -3.0, 9.0, 2.7),
        (38.0, 7.0, 10.0, 2.6),
        (46.0, 20.0, 9.0, 2.5),
        (54.0, 26.0, 8.0, 2.4),
    ),
)
LEFT_GASTRIC: Final = tube(
    (0.0, -12.0, 3.0, 2.0),
    (2.0, -11.0, 14.0, 1.9),
    (6.0, -12.0, 24.0, 1.8),
    (10.0, -20.0, 26.0, 1.7),
    (12.0, -29.0, 16.0, 1.6),
    (11.0, -34.0, 4.0, 1.5),
)
HEPATIC: Final = tube(
    (0.0, -14.0, 3.0, 2.6),
    (-10.0, -20.0, 2.0, 2.5),
    (-20.0, -25.0, 4.0, 2.5),
    (-27.0, -25.0, 12.0, 2.4),
    (-34.0, -21.0, 26.0, 2.3),
)
ADRENALS: Final = {
    Structure.RIGHT_ADRENAL: (
        tube((-24.0, 20.0, 12.0, 2.2), (-26.0, 25.0, 2.0, 2.4), (-28.0, 31.0, -6.0, 2.0)),
        tube((-25.0, 21.0, 10.0, 2.0), (-21.0, 27.0, 0.0, 2.2), (-20.0, 31.0, -6.0, 1.8)),
    ),
    Structure.LEFT_ADRENAL: (
        tube((17.0, 18.0, 10.0, 2.2), (19.0, 23.0, 0.0, 2.4), (21.0, 28.0, -10.0, 2.0)),
        tube((18.0, 19.0, 8.0, 2.0), (24.0, 22.0, 0.0, 2.2), (27.0, 26.0, -8.0, 1.8)),
    ),
}
RIGHT_KIDNEY: Final = Ellipsoid((-42.0, 36.0, -46.0), (17.0, 19.0, 37.0), turn=20.0, tilt=-8.0)
LEFT_KIDNEY: Final = Ellipsoid((39.0, 38.0, -36.0), (16.0, 18.0, 37.0), turn=-20.0, tilt=-8.0)
SPLEEN: Final = Ellipsoid((56.0, 30.0, 10.0), (15.0, 33.0, 42.0), turn=38.0)
SPLEEN_HOLLOW: Final = Ellipsoid((38.0, 16.0, 8.0), (18.0, 24.0, 34.0), turn=30.0)
LIVER_RIGHT: Final = Ellipsoid((-44.0, 4.0, 14.0), (38.0, 62.0, 66.0))
LIVER_LEFT: Final = Ellipsoid((-8.0, -30.0, 44.0), (54.0, 32.0, 27.0))
GALLBLADDER: Final = Ellipsoid((-40.0, -40.0, -2.0), (9.0, 10.0, 19.0), tilt=20.0)


def paint_organs(canvas: Canvas, tissues: Tissues, cavity: FloatArray, rng: np.random.Generator) -> None:
    """Paint solid organs, veins, gut, pancreas and arteries; later ones lie in front of earlier ones."""
    ripple = draw_waves(rng, sd=1.0, wavelengths=(22.0, 40.0))
    _paint_liver(canvas, tissues, cavity)
    _paint_in_cavity(canvas, (SPLEEN, SPLEEN_HOLLOW), tissues["spleen"], (Structure.SPLEEN, cavity))
    for label, kidney, side in (
        (Structure.RIGHT_KIDNEY, RIGHT_KIDNEY, 1.0),
        (Structure.LEFT_KIDNEY, LEFT_KIDNEY, -1.0),
    ):
        _paint_kidney(canvas, tissues, (label, kidney), side)
    for label, limbs in ADRENALS.items():
        for limb in limbs:
            paint_vessel(canvas, limb, tissues["adrenal"], label)
    canvas.paint(
        GALLBLADDER.__class__(GALLBLADDER.center, tuple(a + 1.5 for a in GALLBLADDER.axes), tilt=20.0),
        tissues["wall"],
        Structure.GALLBLADDER,
    )  # type: ignore[arg-type]
    canvas.paint(GALLBLADDER, tissues["bile"], Structure.GALLBLADDER)
    canvas.paint(INFERIOR_VENA_CAVA, tissues["cava"], Structure.INFERIOR_VENA_CAVA)


def paint_gut_and_pancreas(canvas: Canvas, tissues: Tissues, rng: np.random.Generator) -> None:
    """Paint esophagus, stomach, duodenum, pancreas and the vessels among them."""
    air = float(rng.uniform(-38.0, -26.0))
    _paint_hollow(canvas, tissues, (Structure.STOMACH, STOMACH), wall=3.5, air=air)
    _paint_hollow(canvas, tissues, (Structure.ESOPHAGUS, ESOPHAGUS), wall=5.0, air=None)
    lobules = draw_waves(rng, sd=0.7, wavelengths=(9.0, 16.0))
    for part in PANCREAS:
        box = canvas.box(part)
        if box is not None:
            distance = part.distance(canvas.atlas[box]) + _ripple(canvas, box, lobules)
            canvas.paint_distance(box, distance, tissues["pancreas"], Structure.PANCREAS)
    _paint_hollow(
        canvas, tissues, (Structure.DUODENUM, DUODENUM), wall=3.0, air=float(rng.uniform(-45.0, -34.0))
    )
    for part in PORTAL_AND_SPLENIC_VEIN:
        canvas.paint(part, tissues["portal"], Structure.PORTAL_AND_SPLENIC_VEIN)
    canvas.paint(SUPERIOR_MESENTERIC_VEIN, tissues["portal"], Structure.SUPERIOR_MESENTERIC_VEIN)
    paint_vessel(canvas, AORTA, tissues["artery"], Structure.AORTA)
    paint_vessel(canvas, LEFT_GASTRIC, tissues["artery"], Structure.LEFT_GASTRIC_ARTERY)
    paint_vessel(canvas, HEPATIC, tissues["artery"], Structure.HEPATIC_ARTERY_COMMON_AND_PROPER)
    for part in CELIAC_AND_SPLENIC:
        paint_vessel(canvas, part, tissues["artery"], Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY)
    paint_vessel(canvas, SUPERIOR_MESENTERIC_ARTERY, tissues["artery"], Structure.SUPERIOR_MESENTERIC_ARTERY)


def paint_vessel(canvas: Canvas, path: Tube, tissue: Tissue, label: int) -> None:
    """Paint a vessel at its true thickness; its label is at least one voxel thick, so it stays in one piece."""
    box = canvas.box(path)
    if box is None:
        return
    thinnest = float(path.path[:, 3].min())
    reach = max(0.8 * max(canvas.grid.spacing) - thinnest, 0.0)
    canvas.paint_distance(box, path.distance(canvas.atlas[box]), tissue, label, reach)


def _ripple(canvas: Canvas, box: tuple[slice, slice, slice], waves: Waves) -> FloatArray:
    return waves.at(canvas.atlas[box])[..., 0]


def _paint_liver(canvas: Canvas, tissues: Tissues, cavity: FloatArray) -> None:
    box = canvas.box(Ellipsoid((-30.0, 0.0, 14.0), (75.0, 70.0, 80.0)))
    if box is None:
        return
    points = canvas.atlas[box]
    x, y, z = (points[..., a] for a in range(3))
    right = LIVER_RIGHT.distance(points)
    # The visceral face: a plane that rises from the right lobe's tip to the hilum.
    right = np.maximum(right, (0.78 * (x + 42.0) - 0.12 * (y + 10.0) - 0.62 * (z + 2.0)))
    distance = np.minimum(right, LIVER_LEFT.distance(points))
    distance = np.maximum(distance, cavity[box] + np.float32(2.0))
    lungs_and_bones = canvas.fat[box] == 0
    distance = np.where(lungs_and_bones, np.float32(20.0), distance).astype(np.float32)
    canvas.paint_distance(box, distance, tissues["liver"], Structure.LIVER)


def _paint_in_cavity(
    canvas: Canvas, shapes: tuple[Shape, Shape], tissue: Tissue, where: tuple[int, FloatArray]
) -> None:
    box = canvas.box(shapes[0])
    if box is None:
        return
    label, cavity = where
    points = canvas.atlas[box]
    distance = np.maximum(shapes[0].distance(points), -shapes[1].distance(points))
    distance = np.maximum(distance, cavity[box] + np.float32(2.0))
    distance = np.where(canvas.fat[box] == 0, np.float32(20.0), distance).astype(np.float32)
    canvas.paint_distance(box, distance, tissue, label)


def _paint_kidney(canvas: Canvas, tissues: Tissues, kidney: tuple[int, Ellipsoid], side: float) -> None:
    label, outer = kidney
    box = canvas.box(outer)
    if box is None:
        return
    points = canvas.atlas[box]
    x, y, z = outer.center
    sinus = Ellipsoid((x + side * 9.0, y - 5.0, z), (8.0, 7.0, 16.0)).distance(points)
    distance = outer.distance(points)
    # A rim of fat parts the kidney from liver and spleen.
    canvas.paint_distance(box, distance - np.float32(2.5), tissues["fat"])
    canvas.paint_distance(box, np.maximum(distance, -sinus), tissues["kidney"], label)
    pelvis = Ellipsoid((x + side * 8.0, y - 4.0, z), (4.0, 4.0, 9.0))
    canvas.paint(pelvis, tissues["fluid"])


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
