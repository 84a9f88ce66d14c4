"""Shape and density of a lymph node in numbers that survive partial volume (decision 0051).

A node of 8 mm is four voxels wide: most of its voxels share their HU with the fat around. So density is not
the mean over the mask alone but what the HU would be were a voxel filled by node (a line through HU against
the filled share, `unmixed`), percentiles, extremes of the smoothed image, and how HU changes from edge to
center. Shape is how flat and how long the node is, by its second moments: radiologists call round nodes
suspicious. Not from the paper; ours.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, Vector3
from lymphct.core.terms import Phase

SHAPE: Final = ("log_volume", "flatness", "elongation")
"""Natural logarithm of mm³; shortest and middle axis as a share of the longest, 0 to 1, 1 for a sphere."""

DENSITY: Final = (
    "unmixed", "p5", "p25", "p50", "p75", "p95", "smoothed_minimum", "smoothed_maximum",
    "edge_to_center", "center_excess", "around",
)  # fmt: skip
"""HU of a voxel the node would fill; percentiles; extremes after smoothing; HU per mm of depth; HU of the
inner third above the rest; mean HU of the rim around, other nodes left out."""

ROBUST_FEATURES: Final = (
    *SHAPE,
    *(f"{phase.value}_{name}" for phase in (Phase.ARTERIAL, Phase.VENOUS) for name in DENSITY),
)

RIM: Final = 4.0
"""mm around a node that count as its surroundings."""
BLUR: Final = 1.0
"""mm, SD of the Gaussian that turns the mask into the share each voxel is filled by node: about that of a
soft kernel and of the resampling."""
SMOOTHING: Final = 0.7
"""Voxels, SD of the smoothing before extremes: one noisy voxel is no necrosis."""
RIM_WEIGHT: Final = 0.3
"""Weight of a voxel of the rim against one of the node: the rim may hold a vessel."""
INNER_SHARE: Final = 0.35
"""Voxels nearest to the center that count as inner."""
FEW: Final = 4
"""Voxels below which a node has neither depth nor inside."""


def robust_features(
    mask: BoolArray, others: BoolArray, phases: Sequence[AnyArray | None], spacing: Vector3
) -> DoubleArray:
    """Measure the `ROBUST_FEATURES` (25,) of one node in a box that reaches `RIM` mm beyond it.

    Args:
        mask: the node; the box may be cut at the image's border.
        others: other nodes in the box.
        phases: HU in the box, arterial before venous; None for a phase that is missing, which leaves NaN.
        spacing: mm.

    """
    row = np.full(len(ROBUST_FEATURES), np.nan)
    row[: len(SHAPE)] = _shape(mask, spacing)
    # One voxel more of nothing on each side: a node that touches the box has an edge there too.
    padded = np.pad(mask, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1, 1:-1]
    beyond = ndimage.distance_transform_edt(~mask, sampling=spacing)
    rim = (beyond > 0) & (beyond <= RIM) & ~others
    share = ndimage.gaussian_filter(mask.astype(np.float64), [BLUR / step for step in spacing])
    for number, phase in enumerate(phases):
        if phase is not None:
            first = len(SHAPE) + number * len(DENSITY)
            row[first : first + len(DENSITY)] = _density(phase.astype(np.float64), mask, rim, depth, share)
    return row


def _shape(mask: BoolArray, spacing: Vector3) -> tuple[float, float, float]:
    steps = np.asarray(spacing)
    places = np.argwhere(mask) * steps
    # A voxel is a small box, not a point: without its own spread a node of one slice would be a sheet.
    spread = np.diag(steps**2 / 12)
    if len(places) > 1:
        spread = spread + np.cov(places.T, bias=True)
    short, middle, long = np.sqrt(np.linalg.eigvalsh(spread))
    return float(np.log(len(places) * steps.prod())), float(short / long), float(middle / long)


def _density(
    hu: DoubleArray, mask: BoolArray, rim: BoolArray, depth: DoubleArray, share: DoubleArray
) -> tuple[float, ...]:
    own = hu[mask]
    smooth = ndimage.gaussian_filter(hu, SMOOTHING)[mask]
    slope, excess = _inwards(own, depth[mask], share[mask])
    around = float(hu[rim].mean()) if rim.any() else np.nan
    unmixed = _unmixed(hu, mask, rim, share)
    return (
        unmixed,
        *np.percentile(own, (5, 25, 50, 75, 95)),
        smooth.min(),
        smooth.max(),
        slope,
        excess,
        around,
    )


def _unmixed(hu: DoubleArray, mask: BoolArray, rim: BoolArray, share: DoubleArray) -> float:
    """Return the HU at share 1 of the line HU = share · node + (1 − share) · surroundings."""
    asked = mask | rim
    filled = share[asked]
    weight = np.where(mask[asked], 1.0, RIM_WEIGHT)
    parts = np.stack([filled, 1.0 - filled], axis=1) * weight[:, None]
    found = np.linalg.lstsq(parts, hu[asked] * weight, rcond=None)[0]
    return float(found[0])


def _inwards(own: DoubleArray, depth: DoubleArray, share: DoubleArray) -> tuple[float, float]:
    """Return HU per mm of depth, and how far the inner voxels lie above the others."""
    if len(own) < FEW:
        return 0.0, 0.0
    spread = depth - depth.mean()
    slope = float((spread * own).sum() / (spread**2).sum()) if np.ptp(depth) > 0 else 0.0
    # The most filled voxels are the inner ones, whatever the node's shape.
    inner = np.argsort(-share, kind="stable")[: max(round(INNER_SHARE * len(own)), 1)]
    is_inner = np.zeros(len(own), dtype=np.bool_)
    is_inner[inner] = True
    return slope, float(own[is_inner].mean() - own[~is_inner].mean())
