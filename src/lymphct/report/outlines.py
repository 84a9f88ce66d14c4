"""The contour of a mask, or brackets around it, as a path of a vector picture."""

from typing import Final

import numpy as np
from contourpy import LineType, contour_generator

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.report.planes import Patch

BRACKET_MARGIN: Final = 3.0
"""mm between a mask and the brackets around it: they leave its edge free."""
BRACKET_ARM: Final = 3.0
"""mm; length of their arms."""

_HALF: Final = 0.5


def outline_path(mask: BoolArray, patch: Patch) -> str:
    """Return the contour of a mask of a patch's pixels as SVG path data in mm; empty for an empty mask.

    The line runs half-way between the centres of pixels inside and outside.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return ""
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    generator = contour_generator(z=np.pad(box, 1).astype(np.float64), line_type=LineType.Separate)
    high, wide = patch.spacing
    # Pixel (0, 0) of the padded box is the neighbour up left of the box; its centre is half a pixel in.
    first = np.array([patch.columns[0] + columns[0] - 0.5, patch.rows[0] + rows[0] - 0.5])
    loops = [
        (np.asarray(line)[:-1] + first) * np.array([wide, high])
        for line in generator.lines(_HALF)
        if len(line) > 3
    ]
    return "".join(_loop(_without_needless(loop)) for loop in loops)


def brackets_path(mask: BoolArray, patch: Patch) -> str:
    """Return the four corners of a box around a mask that is not empty, as SVG path data in mm."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    high, wide = patch.spacing
    left = (patch.columns[0] + int(columns[0])) * wide - BRACKET_MARGIN
    right = (patch.columns[0] + int(columns[-1]) + 1) * wide + BRACKET_MARGIN
    top = (patch.rows[0] + int(rows[0])) * high - BRACKET_MARGIN
    bottom = (patch.rows[0] + int(rows[-1]) + 1) * high + BRACKET_MARGIN
    return "".join(
        f"M{x:.2f} {y + down * BRACKET_ARM:.2f}V{y:.2f}H{x + across * BRACKET_ARM:.2f}"
        for x, across in ((left, 1), (right, -1))
        for y, down in ((top, 1), (bottom, -1))
    )


def _without_needless(loop: DoubleArray) -> DoubleArray:
    """Leave out the points on straight parts of a closed line."""
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    bends: DoubleArray = loop[np.abs(turn) > 1e-9]
    return bends


def _loop(points: DoubleArray) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points.tolist()) + "Z"
