"""The tumor: where it sits in the pancreas, how large it is, what its texture tells."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import BoolArray, FloatArray
from lymphct.core.terms import Structure
from lymphct.phantom.atlas import PANCREAS
from lymphct.phantom.canvas import Box, Canvas, Tissue
from lymphct.phantom.deformation import Waves, draw_waves
from lymphct.phantom.shapes import Ellipsoid, Tube

TumorSite = Literal["head/uncinate", "body/tail"]

MEDIAN_DIAMETER: Final = 30.0
LOG_SD_DIAMETER: Final = 0.35
DIAMETER_LIMITS: Final = (14.0, 60.0)
BULGE: Final = (4.0, 0.15)
"""How far a tumor reaches beyond the pancreas, mm: a constant and a share of its diameter."""
TEXTURE_SD: Final = 16.0
TEXTURE_SLOPE: Final = 0.45


@dataclass(frozen=True, kw_only=True)
class Tumor:
    """A drawn tumor; lengths in mm of the atlas.

    Attributes:
        site: part of the pancreas.
        diameter: mean diameter, mm.
        texture: latent t of the texture; higher is more heterogeneous and more often N+.
        body: its outline without the ripple of the surface.
        surface: ripple of the surface.
        pattern: texture inside, HU.

    """

    site: TumorSite
    diameter: float
    texture: float
    body: Ellipsoid
    surface: Waves
    pattern: Waves


def draw_tumor(
    rng: np.random.Generator, *, is_positive: bool, head_share: float, texture_shift: float
) -> Tumor:
    """Draw a tumor; the texture latent is N(±texture_shift, 1) by N status."""
    site: TumorSite = "head/uncinate" if rng.random() < head_share else "body/tail"
    diameter = float(np.clip(MEDIAN_DIAMETER * np.exp(rng.normal(0, LOG_SD_DIAMETER)), *DIAMETER_LIMITS))
    texture = float(rng.normal(texture_shift if is_positive else -texture_shift, 1.0))
    path = PANCREAS[0].path
    rows = path[path[:, 0] < -18] if site == "head/uncinate" else path[path[:, 0] > 8]
    x, y, z = rows[rng.integers(len(rows)), :3] + rng.normal(0.0, 1.5, 3)
    ratios = np.exp(rng.normal(0.0, 0.08, 3))
    ratios /= np.cbrt(ratios.prod())
    a, b, c = diameter / 2 * ratios
    body = Ellipsoid(
        (float(x), float(y), float(z)), (float(a), float(b), float(c)), float(rng.uniform(0, 180))
    )
    spread = float(np.clip(TEXTURE_SD * np.exp(TEXTURE_SLOPE * texture), 4.0, 55.0))
    return Tumor(
        site=site,
        diameter=diameter,
        texture=texture,
        body=body,
        surface=draw_waves(rng, sd=0.04 * diameter, wavelengths=(14.0, 28.0)),
        pattern=draw_waves(rng, sd=spread, wavelengths=(7.0, 16.0), count=24),
    )


def paint_duct(canvas: Canvas, tumor: Tumor, tissue: Tissue) -> None:
    """Paint the dilated pancreatic duct between the tumor and the tail, a usual sign of PDAC."""
    path = PANCREAS[0].path
    from_tumor = np.linalg.norm(path[:, :3] - np.asarray(tumor.body.center), axis=1)
    rows = path[int(from_tumor.argmin()) : -4].copy()
    if len(rows) > 2:
        rows[:, 3] = 1.4
        canvas.paint(Tube(rows), tissue, label=None)


def paint_tumor(canvas: Canvas, tumor: Tumor, tissue: Tissue) -> BoolArray:
    """Paint the tumor over pancreas and fat, around vessels and gut; return its mask (one piece)."""
    mask = np.zeros(canvas.grid.shape, dtype=bool)
    box = canvas.box(tumor.body, margin=14.0)
    if box is None:
        return mask
    points = canvas.atlas[box]
    distance = tumor.body.distance(points) + tumor.surface.at(points)[..., 0]
    pancreas = np.minimum.reduce([part.distance(points) for part in PANCREAS])
    distance = np.maximum(distance, pancreas - np.float32(BULGE[0] + BULGE[1] * tumor.diameter))
    allowed = (canvas.labels[box] == Structure.PANCREAS) | (canvas.fat[box] > 0)
    pieces, _ = ndimage.label((distance < 0) & allowed)
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    mask[box] = pieces == largest
    amount = canvas.amount(distance) * (allowed & ndimage.binary_dilation(mask[box]))
    _cover_textured(canvas, box, amount, (tissue, tumor.pattern.at(points)[..., 0]))
    canvas.fat[box][mask[box]] = 0
    return mask


def _cover_textured(canvas: Canvas, box: Box, amount: FloatArray, look: tuple[Tissue, FloatArray]) -> None:
    tissue, pattern = look
    canvas.cover(box, amount, tissue)
    # Perfused texture shows in both phases.
    canvas.arterial[box] += amount * pattern
    canvas.venous[box] += amount * pattern
