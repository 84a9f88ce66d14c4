"""The contour of a mask as a path of a vector picture."""

from typing import Final

import numpy as np
from contourpy import LineType, contour_generator

from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.report.planes import Patch

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


def _without_needless(loop: DoubleArray) -> DoubleArray:
    """Leave out the points on straight parts of a closed line."""
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    bends: DoubleArray = loop[np.abs(turn) > 1e-9]
    return bends


def _loop(points: DoubleArray) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points.tolist()) + "Z"
