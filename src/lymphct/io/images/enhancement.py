"""Is there contrast agent in a CT that is said to be of the venous phase?"""

from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.patient import Notice
from lymphct.core.volume import Volume
from lymphct.io.images.pairing import coarse_grid, sampled

LEAST_AORTA: Final = 80.0
"""Median HU of the aorta in a venous phase, at least; unenhanced blood has 30 to 60."""
LEAST_SHARE: Final = 0.01
"""Share of the soft tissue that is brighter than any unenhanced organ, at least. A native CT of the abdomen
has 0.2 %, an arterial phase 3.7 %, venous phases 16 % and more."""

_SOFT: Final = (-50.0, 300.0)
_BRIGHT: Final = 90.0
_THICKNESS: Final = 4
"""Voxels of the coarse grid: bone is thinner than 16 mm where it is bright."""


def looks_unenhanced(venous: Volume, aorta: Volume | None = None) -> Notice | None:
    """Tell whether a "venous" CT shows no contrast agent.

    With the aorta its median HU decides; without it, how much soft tissue is brighter than unenhanced organs
    are, in places thicker than bright bone is.

    Args:
        venous: HU.
        aorta: mask on the same grid.

    Returns:
        `venous_unenhanced` with the measured HU or share, or None.

    """
    if aorta is not None and np.any(aorta.array):
        median = round(float(np.median(venous.array[aorta.array > 0])), 1)
        if median >= LEAST_AORTA:
            return None
        text = f"the venous phase looks unenhanced: the aorta has {median:g} HU ({LEAST_AORTA:g} expected)"
        return Notice(code="venous_unenhanced", text=text, value=median)
    values = sampled(venous, coarse_grid(venous.geometry))
    soft = int(np.count_nonzero((values > _SOFT[0]) & (values < _SOFT[1])))
    bright = (values > _BRIGHT) & (values < _SOFT[1])
    thick = int(np.count_nonzero(ndimage.binary_opening(bright, np.ones((_THICKNESS,) * 3, dtype=np.bool_))))
    if thick >= LEAST_SHARE * soft:
        return None
    share = thick / max(soft, 1)
    text = (
        f"the venous phase looks unenhanced: {100 * share:.1f} % of the soft tissue is brighter than "
        f"{_BRIGHT:g} HU"
    )
    return Notice(code="venous_unenhanced", text=text, value=round(share, 4))
