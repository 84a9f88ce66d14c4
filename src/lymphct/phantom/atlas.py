"""Shape and place of every organ and vessel of the average patient (decision 0018).

Lengths in mm from the celiac trunk: x left, y posterior, z cranial; tubes are rows of x, y, z, radius.
The trunk of the body is narrow, 160 mm, so that air shows around it in a field of view of 192 mm; liver,
spleen, kidneys and stomach are smaller than life by as much, what lies among them is life-size.
"""

from typing import Final

from lymphct.core.terms import Structure
from lymphct.phantom.shapes import Ellipsoid, tube

# fmt: off
ESOPHAGUS: Final = tube(
    (6, 16, 120, 6.5), (5, 12, 75, 6.5), (3, 7, 52, 7), (9, 1, 35, 7), (18, -2, 30, 7),
)
STOMACH: Final = tube(
    (35, 8, 46, 22), (37, -6, 34, 26), (37, -24, 14, 26), (32, -38, -8, 21), (16, -45, -22, 16.5),
    (-4, -46, -24, 13), (-19, -40, -18, 9),
)
DUODENUM: Final = tube(
    (-22, -39, -17, 10), (-37, -31, -17, 11), (-46, -19, -30, 11), (-47, -14, -50, 11), (-42, -10, -69, 10),
    (-26, -9, -76, 9), (-4, -11, -76, 8), (16, -12, -72, 8.5), (23, -18, -60, 9),
)
PANCREAS_BODY: Final = tube(
    (-27, -18, -54, 11), (-26, -20, -40, 13.5), (-20, -26, -27, 11), (-6, -31, -22, 9.5),
    (14, -27, -13, 10.5), (30, -13, -6, 10.5), (42, 3, -2, 9.5), (49, 15, -1, 8),
)
UNCINATE_PROCESS: Final = tube((-26, -18, -48, 11), (-14, -12, -54, 8), (-8, -12, -55, 6))
AORTA: Final = tube(
    (10, 24, 120, 10), (8, 21, 70, 9.8), (3, 13, 30, 9.5), (-1, 9.5, 0, 9.3), (-1.5, 8.5, -45, 8.8),
    (-2, 10, -101, 8.3),
)
INFERIOR_VENA_CAVA: Final = tube(
    (-16, -4, 120, 10), (-18, -2, 66, 11), (-21, 5, 25, 10), (-22, 9, -30, 10), (-20, 11, -104, 9.5),
)
PORTAL_VEIN: Final = tube(
    (-9.5, -21.5, -31, 6.5), (-16, -18, -14, 6.5), (-27, -14, 8, 6.5), (-37, -11, 28, 6),
)
SPLENIC_VEIN: Final = tube(
    (-9, -21, -26, 5), (4, -17.5, -21, 4.2), (18, -11, -14, 4), (33, 2, -8, 4), (42, 15, -4, 3.8),
    (50, 24, 0, 3.5),
)
SUPERIOR_MESENTERIC_VEIN: Final = tube(
    (-10, -22, -34, 5.5), (-11, -23, -45, 5.8), (-11, -28, -72, 5.5), (-10, -33, -110, 5), (-8, -36, -150, 3),
)
SUPERIOR_MESENTERIC_ARTERY: Final = tube(
    (-1, 4, -11, 3.6), (0, -7, -14, 3.6), (0.5, -14, -26, 3.5), (1, -19, -48, 3.4), (2, -26, -74, 3.2),
    (3, -32, -110, 3),
)
CELIAC_TRUNK: Final = tube((-1, 4, 0, 3.5), (0, -6, 2, 3.4), (0, -14, 3, 3.2), step=1.5)
SPLENIC_ARTERY: Final = tube(
    (0, -14, 3, 3), (9, -18, 7, 2.8), (20, -14, 6, 2.8), (30, -3, 9, 2.7), (38, 7, 10, 2.6), (46, 20, 9, 2.5),
    (53, 25, 8, 2.4),
)
LEFT_GASTRIC_ARTERY: Final = tube(
    (0, -12, 3, 2), (1, -11, 14, 1.9), (4, -12, 24, 1.8), (8, -20, 26, 1.7), (9, -30, 16, 1.6),
    (7, -35, 4, 1.5),
)
HEPATIC_ARTERY: Final = tube(
    (0, -14, 3, 2.6), (-10, -20, 2, 2.5), (-20, -25, 4, 2.5), (-27, -25, 12, 2.4), (-34, -21, 26, 2.3),
)
RIGHT_ADRENAL: Final = (
    tube((-23, 20, 14, 2.6), (-26, 25, 3, 2.9), (-29, 31, -5, 2.3)),
    tube((-24, 21, 11, 2.4), (-20, 27, 1, 2.7), (-19, 31, -5, 2.2)),
)
LEFT_ADRENAL: Final = (
    tube((16, 18, 12, 2.6), (18, 23, 2, 2.9), (19, 29, -8, 2.3)),
    tube((17, 19, 9, 2.4), (23, 21, 1, 2.7), (27, 24, -6, 2.2)),
)
RENAL_ARTERIES: Final = (
    tube((-1, 9, -22, 2.6), (-20, 20, -24, 2.4), (-36, 30, -32, 2.2)),
    tube((-1, 9, -24, 2.6), (16, 20, -26, 2.4), (30, 30, -30, 2.2)),
)
RENAL_VEINS: Final = (
    tube((-22, 9, -27, 4), (-30, 20, -30, 3.6), (-38, 30, -36, 3)),
    tube((-18, 6, -30, 4), (-2, -3, -30, 3.2), (14, 8, -32, 3.6), (30, 28, -36, 3.2)),
)
ILIAC_ARTERIES: Final = tuple(
    tube(
        (-2, 10, -100, 6.5), (side * 17, 14, -140, 5), (side * 40, 4, -220, 4.5), (side * 48, -20, -300, 4),
        step=5,
    )
    for side in (-1, 1)
)
ILIAC_VEINS: Final = (
    tube((-20, 12, -104, 8), (-26, 20, -150, 6), (-42, 10, -220, 5.5), (-50, -14, -300, 5), step=5),
    tube((-20, 12, -104, 8), (8, 20, -140, 6), (36, 10, -220, 5.5), (46, -14, -300, 5), step=5),
)
LIVER_VESSELS: Final = (
    tube((-36, -12, 26, 4.5), (-46, -6, 32, 3.5), (-58, 6, 36, 2)),
    tube((-46, -6, 32, 3), (-54, -14, 18, 2.4), (-60, -10, 0, 1.6)),
    tube((-36, -12, 28, 4), (-28, -24, 38, 3), (-12, -38, 42, 2)),
    tube((-20, 0, 58, 4), (-36, -8, 50, 3), (-54, -14, 40, 1.8)),
    tube((-20, 0, 58, 4), (-40, 14, 46, 3), (-56, 22, 30, 1.8)),
    tube((-18, -2, 60, 3.5), (-16, -20, 54, 2.5), (-14, -40, 48, 1.8)),
)
MESENTERIC_BRANCHES: Final = (
    tube((1, -19, -50, 1.5), (14, -26, -60, 1.2), (28, -30, -74, 0.9)),
    tube((2, -24, -66, 1.5), (16, -32, -78, 1.2), (30, -36, -92, 0.9)),
    tube((2, -28, -82, 1.4), (12, -36, -98, 1.1), (20, -38, -116, 0.8)),
    tube((-11, -26, -60, 1.6), (-26, -34, -68, 1.3), (-42, -30, -80, 0.9)),
    tube((-11, -29, -76, 1.6), (-24, -32, -90, 1.3), (-38, -22, -104, 0.9)),
    tube((-10, -24, -42, 1.6), (-12, -40, -50, 1.3), (-6, -50, -60, 0.9)),
)
ASCENDING_COLON: Final = tube(
    (-56, 8, -40, 11), (-58, 12, -70, 12), (-56, 8, -120, 13), (-52, 0, -185, 15), step=4,
)
TRANSVERSE_COLON: Final = tube(
    (-56, 8, -40, 11), (-50, -26, -54, 11), (-20, -47, -66, 11), (15, -49, -64, 11), (46, -34, -44, 11),
    (54, 4, -26, 10), step=4,
)
DESCENDING_COLON: Final = tube(
    (54, 4, -26, 10), (58, 16, -50, 10), (57, 16, -120, 10), (52, 10, -190, 10), (30, 0, -230, 11),
    (0, 20, -250, 11), (0, 40, -300, 13), step=4,
)
JEJUNUM: Final = (
    tube((23, -18, -60, 9), (34, -26, -54, 9), (44, -14, -62, 9), (40, -2, -72, 9), (30, -12, -80, 9)),
    tube((48, -24, -74, 9), (40, -36, -84, 9), (26, -40, -88, 9), (30, -24, -98, 9), (46, -8, -94, 9)),
)
# fmt: on

RIGHT_KIDNEY: Final = Ellipsoid((-43, 36, -46), (18, 21, 39), turn=20, tilt=-8)
LEFT_KIDNEY: Final = Ellipsoid((38, 38, -36), (17, 20, 39), turn=-20, tilt=-8)
SPLEEN: Final = Ellipsoid((54, 30, 12), (21, 37, 50), turn=38)
SPLEEN_HOLLOW: Final = Ellipsoid((34, 11, 4), (19, 24, 36), turn=30)
LIVER_RIGHT: Final = Ellipsoid((-42, 2, 14), (44, 66, 76))
LIVER_LEFT: Final = Ellipsoid((-6, -30, 46), (56, 32, 30))
LIVER_AROUND: Final = Ellipsoid((-25, -5, 14), (82, 72, 85))
GALLBLADDER: Final = Ellipsoid((-37, -40, 0), (9, 10, 19), tilt=20)
BLADDER: Final = Ellipsoid((0, -18, -285), (34, 26, 30))

PANCREAS: Final = (PANCREAS_BODY, UNCINATE_PROCESS)
SOLID_VESSELS: Final = (
    (Structure.SUPERIOR_MESENTERIC_VEIN, SUPERIOR_MESENTERIC_VEIN, "portal"),
    (Structure.PORTAL_AND_SPLENIC_VEIN, PORTAL_VEIN, "portal"),
    (Structure.PORTAL_AND_SPLENIC_VEIN, SPLENIC_VEIN, "portal"),
    (Structure.AORTA, AORTA, "artery"),
    (Structure.LEFT_GASTRIC_ARTERY, LEFT_GASTRIC_ARTERY, "artery"),
    (Structure.HEPATIC_ARTERY_COMMON_AND_PROPER, HEPATIC_ARTERY, "artery"),
    (Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY, CELIAC_TRUNK, "artery"),
    (Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY, SPLENIC_ARTERY, "artery"),
    (Structure.SUPERIOR_MESENTERIC_ARTERY, SUPERIOR_MESENTERIC_ARTERY, "artery"),
)
"""Labelled vessels among gut and pancreas, in the order they are painted: number, path, tissue."""
