"""What the report says of the tumor: how large it is, and a guess at its part of the pancreas."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.spatial import ConvexHull, distance

from lymphct.core.arrays import AnyArray, BoolArray, Vector3
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.imaging.components import find_components
from lymphct.report.planes import as_displayed

SiteGuess = Literal["head/uncinate", "body/tail"]

LANDMARKS: Final[tuple[tuple[Structure, str, float], ...]] = (
    (Structure.SUPERIOR_MESENTERIC_VEIN, "left border", 1.0),
    (Structure.SUPERIOR_MESENTERIC_ARTERY, "right border", 0.0),
    (Structure.AORTA, "middle", 0.5),
)
"""Where the head of the pancreas ends, best first: vessel, part of it, and that part as a share of the way
from its right to its left border. Clinical staging draws the line at the vein's left border; the artery runs
just left of it and leaves the middle of the aorta."""

REACH: Final = 30.0
"""mm; a vessel that ends further above or below the tumor says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TumorMeasures:
    """The tumor in numbers.

    Attributes:
        volume: of all its voxels, mm³.
        largest_diameter: of its largest connected part, mm, in any direction (3-D).
        parts: how many connected parts the mask has.
        site: guess at the part of the pancreas; None without a landmark.
        landmark: what the guess rests on, in words; empty without one.

    """

    volume: float
    largest_diameter: float
    parts: int
    site: SiteGuess | None
    landmark: str


def measure_tumor(tumor: Volume, structures: Volume) -> TumorMeasures | None:
    """Measure the tumor of a mask (0 = none); None when the mask is empty.

    The site is a guess by one rule: head or uncinate process when the centre of the largest part lies right
    of the end of the head at its level (`LANDMARKS`), body or tail otherwise.

    Args:
        tumor: mask, any axes.
        structures: label map (numbers of `Structure`) on the same grid.

    """
    mask, organs = as_displayed(tumor).array != 0, as_displayed(structures).array
    if not mask.any():
        return None
    spacing = as_displayed(tumor).geometry.spacing
    box = _box(mask)
    parts = find_components(np.ascontiguousarray(mask[box]))
    largest = int(np.argmax(parts.voxels))
    part = parts.paint((np.arange(parts.voxels.size) == largest).astype(np.int64)) > 0
    center = float(parts.centers[largest, 0]) + box[0].start
    found = _end_of_head(organs, box[2], spacing[2])
    site: SiteGuess | None = None
    if found is not None:
        site = "head/uncinate" if center < found[0] else "body/tail"
    return TumorMeasures(
        volume=float(np.count_nonzero(mask[box]) * tumor.geometry.voxel_volume),
        largest_diameter=round(largest_diameter(part, spacing), 2),
        parts=int(parts.voxels.size),
        site=site,
        landmark="" if found is None else found[1],
    )


def largest_diameter(mask: BoolArray, spacing: Vector3) -> float:
    """Return the longest distance between two points of the surface of a mask, mm.

    Voxels count with the middles of their faces, so a ball of diameter D measures about D.
    """
    inside = np.pad(mask, 1)
    faces = []
    for axis in range(3):
        for side in (-1, 1):
            voxels = np.argwhere(inside & ~np.roll(inside, -side, axis=axis)).astype(np.float64)
            voxels[:, axis] += 0.5 * side
            faces.append(voxels)
    points = np.concatenate(faces) * np.asarray(spacing)
    return float(distance.pdist(points[ConvexHull(points).vertices]).max())


def _box(mask: BoolArray) -> tuple[slice, slice, slice]:
    held = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    i, j, k = (slice(int(along[0]), int(along[-1]) + 1) for along in held)
    return (i, j, k)


def _end_of_head(organs: AnyArray, level: slice, step: float) -> tuple[float, str] | None:
    """Return where the head ends along i, in voxels, at slices of a level, and by what that is known."""
    reach = int(REACH / step)
    first, last = max(level.start - reach, 0), level.stop + reach
    near = organs[:, :, first:last]
    for structure, part, share in LANDMARKS:
        held = (near == structure).any(axis=1)
        slices = np.flatnonzero(held.any(axis=0))
        if not slices.size:
            continue
        # How far each slice is from the tumor's level: 0 within.
        away = np.maximum(np.maximum(level.start - (slices + first), slices + first - (level.stop - 1)), 0)
        closest = held[:, slices[away == away.min()]]
        right = np.argmax(closest, axis=0) - 0.5
        left = closest.shape[0] - np.argmax(closest[::-1], axis=0) - 0.5
        end = right + share * (left - right)
        return float(end.mean()), f"the {part} of the {structure.title}"
    return None
