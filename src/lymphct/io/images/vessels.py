"""HU of aorta, liver and kidney, measured without any mask on a coarse CT: enough to tell phases apart.

The aorta is the roundest bright thing before the spine, found slice by slice and kept where the slices agree.
Liver and kidney are the thick, even tissue to the right and left of it. This is a measure of contrast, no
segmentation; it was looked at on phantoms and on three CTs of patients (decision 0065).
"""

import math
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, FloatArray, Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import to_working_axes
from lymphct.core.volume import Volume

THICK: Final = 4.0
"""Distance of the slices that are looked at, mm."""

_FINE: Final = 2.0
_RADII: Final = (5.0, 7.0, 9.0, 11.0, 13.5, 16.0)
_SECTORS: Final = 8
_LEAST_SECTORS: Final = 6
_LEAST_CONTRAST: Final = 25.0
_MOST_CONTRAST: Final = 120.0
_MOST_SPREAD: Final = 35.0
_BLOOD: Final = (20.0, 700.0)
_BEFORE: Final = ((-15.0, 40.0), (-70.0, -8.0))
"""Where the aorta may be from the middle of the spine, mm: from right to left, from anterior to posterior."""
_APART: Final = 15.0
_LEAST_SLICES: Final = 5
_BONE: Final = 150.0
_MARGIN: Final = 26.0
_LIVER_ML: Final = 60.0
_KIDNEY_ML: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What contrast agent did to a CT, HU; None where the place was not found.

    Attributes:
        aorta: median of the aorta.
        liver: most frequent value of the thick tissue on the right, where the portal vein leads.
        kidney: what the brightest 8 ml of thick tissue on the left reach.
        slices: in how many slices the aorta was found.

    """

    aorta: float | None
    liver: float | None
    kidney: float | None
    slices: int

    def as_json(self) -> dict[str, float | int | None]:
        """Return the fields by name."""
        return asdict(self)


class _Disc(NamedTuple):
    score: float
    i: float
    j: float
    hu: float


def slices_to_look_at(count: int, spacing: float) -> list[int]:
    """Return which slices of a stack are looked at: every 4 mm, all of a stack that is thicker.

    >>> slices_to_look_at(12, 1.0)
    [0, 4, 8]
    """
    return list(range(0, count, max(1, round(THICK / spacing))))


def measured_contrast(ct: Volume) -> Contrast:
    """Measure a CT, HU, of every slice or of some.

    Returns:
        Whole HU. All None where no body, or no spine, is seen.

    """
    coarse = _coarse(ct)
    values, spacing = coarse.array.astype(np.float32), coarse.geometry.spacing
    spine = _spine(values, spacing)
    if spine is None:
        return Contrast(aorta=None, liver=None, kidney=None, slices=0)
    aorta, slices = _aorta(values, spacing, spine)
    middle = float(np.median(spine[:, 0])), float(np.median(spine[:, 1]))
    liver, kidney = _organs(values, spacing, middle)
    return Contrast(aorta=aorta, liver=liver, kidney=kidney, slices=slices)


def _coarse(ct: Volume) -> Volume:
    """Return block means in plane, about 2 mm wide, on working axes, every 4 mm."""
    turned = to_working_axes(ct)
    chosen = slices_to_look_at(turned.geometry.shape[2], turned.geometry.spacing[2])
    array = turned.array[:, :, chosen]
    blocks = [max(1, round(_FINE / step)) for step in turned.geometry.spacing[:2]]
    size = [n // block for n, block in zip(array.shape, blocks, strict=False)]
    kept = array[: size[0] * blocks[0], : size[1] * blocks[1]]
    means = kept.reshape(size[0], blocks[0], size[1], blocks[1], -1).mean(axis=(1, 3), dtype=np.float32)
    i, j, k = turned.geometry.spacing
    step = chosen[1] - chosen[0] if len(chosen) > 1 else 1
    spacing = (i * blocks[0], j * blocks[1], k * step)
    shape = (means.shape[0], means.shape[1], means.shape[2])
    return Volume(array=np.clip(means, -1000, 1500), geometry=Geometry(shape=shape, spacing=spacing))


def _spine(values: FloatArray, spacing: Vector3) -> FloatArray | None:
    """Return the middle of the spine in each slice [k, (i, j)], voxels: where most bone is, behind."""
    body: BoolArray = values > -300
    if body.mean() < 0.02:
        return None
    i, j = np.flatnonzero(body.mean(axis=(1, 2)) > 0.1), np.flatnonzero(body.mean(axis=(0, 2)) > 0.1)
    if not len(i) or not len(j):
        return None
    centre, half = (i[0] + i[-1]) / 2, 35.0 / spacing[0]
    bone = np.where(values > _BONE, np.float32(1), np.float32(0))
    # What is thin is rib; vertebrae are wide.
    dense = ndimage.gaussian_filter(bone, [9.0 / spacing[0], 9.0 / spacing[1], 15.0 / spacing[2]])
    index = np.arange(values.shape[0])
    dense[np.abs(index - centre) > half] = 0
    front = j[0] + 0.5 * (j[-1] - j[0])
    dense[:, : int(front)] = 0
    flat = dense.reshape(-1, values.shape[2])
    if float(flat.max()) < 0.05:
        return None
    best = flat.argmax(axis=0)
    found = np.stack(np.unravel_index(best, values.shape[:2]), axis=1).astype(np.float32)
    smooth: FloatArray = ndimage.median_filter(found, size=(9, 1), mode="nearest")
    return smooth


def _aorta(values: FloatArray, spacing: Vector3, spine: FloatArray) -> tuple[float | None, int]:
    """Return its HU and the number of slices in which it was found."""
    discs = [_best_disc(values[:, :, k], spacing, spine[k]) for k in range(values.shape[2])]
    places = np.array([[d.i, d.j] for d in discs if d is not None])
    hounsfield = np.array([d.hu for d in discs if d is not None])
    weights = np.array([d.score for d in discs if d is not None])
    if len(places) < _LEAST_SLICES:
        return None, len(places)
    # The aorta keeps its place before the spine; bowel and nodes that look round do not.
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    support = (weights[None] * (distances <= _APART)).sum(axis=1)
    agree = distances[int(support.argmax())] <= _APART
    if agree.sum() < max(_LEAST_SLICES, 0.2 * values.shape[2]):
        return None, int(agree.sum())
    return float(np.rint(np.median(hounsfield[agree]))), int(agree.sum())


def _best_disc(image: FloatArray, spacing: Vector3, spine: FloatArray) -> _Disc | None:
    """Return the best round thing before the spine in one slice; its place is told from the spine, mm."""
    (right, left), (front, back) = _BEFORE
    start_i, start_j = (
        int(spine[0] + (right - _MARGIN) / spacing[0]),
        int(spine[1] + (front - _MARGIN) / spacing[1]),
    )
    stop_i, stop_j = (
        int(spine[0] + (left + _MARGIN) / spacing[0]) + 1,
        int(spine[1] + (back + _MARGIN) / spacing[1]) + 1,
    )
    first = max(start_i, 0), max(start_j, 0)
    part = image[first[0] : stop_i, first[1] : stop_j]
    if min(part.shape) < 8:
        return None
    i = (first[0] + np.arange(part.shape[0]) - spine[0]) * spacing[0]
    j = (first[1] + np.arange(part.shape[1]) - spine[1]) * spacing[1]
    allowed = ((i >= right) & (i <= left))[:, None] & ((j >= front) & (j <= back))[None]
    spectrum, squares = np.fft.rfft2(part), np.fft.rfft2(part * part)
    best: _Disc | None = None
    for radius in _RADII:
        score, mean = _roundness(part.shape, spacing, radius, (spectrum, squares))
        score[~allowed] = 0
        place = np.unravel_index(int(score.argmax()), score.shape)
        if score[place] > (0 if best is None else best.score):
            best = _Disc(float(score[place]), float(i[place[0]]), float(j[place[1]]), float(mean[place]))
    return best


def _roundness(
    shape: tuple[int, ...], spacing: Vector3, radius: float, spectra: tuple[AnyArray, AnyArray]
) -> tuple[DoubleArray, DoubleArray]:
    """Return how much an even disc stands out from what is around it, all around; and its mean HU."""
    i, j = (np.fft.fftfreq(n, 1 / n) * step for n, step in zip(shape, spacing, strict=False))
    distance = np.hypot(i[:, None], j[None])
    angle = np.arctan2(j[None], i[:, None])
    inner = distance <= max(0.75 * radius, min(spacing[:2]))

    def averaged(inside: BoolArray, spectrum: AnyArray) -> DoubleArray:
        kernel = np.fft.rfft2(inside / max(int(inside.sum()), 1))
        result: DoubleArray = np.fft.irfft2(spectrum * np.conj(kernel), s=shape)
        return result

    mean = averaged(inner, spectra[0])
    spread = np.sqrt(np.maximum(averaged(inner, spectra[1]) - mean**2, 0))
    ring = (distance > radius + 1.0) & (distance <= radius + 1.0 + 2 * max(spacing[:2]))
    score, around = np.zeros(shape), np.zeros(shape)
    for sector in range(_SECTORS):
        middle = 2 * math.pi * sector / _SECTORS
        inside = ring & (np.cos(angle - middle) >= math.cos(math.pi / _SECTORS) - 1e-9)
        contrast = mean - averaged(inside, spectra[0])
        around += contrast >= _LEAST_CONTRAST
        score += np.clip(contrast, 0, _MOST_CONTRAST)
    is_vessel = (around >= _LEAST_SECTORS) & (spread <= _MOST_SPREAD)
    is_vessel &= (mean >= _BLOOD[0]) & (mean <= _BLOOD[1])
    return np.where(is_vessel, score, 0), mean


def _organs(
    values: FloatArray, spacing: Vector3, spine: tuple[float, float]
) -> tuple[float | None, float | None]:
    """Return HU of liver and of the left kidney: thick, even tissue beside and before the spine."""
    size = [max(1, round(12.0 / step)) for step in spacing]
    mean = ndimage.uniform_filter(values, size)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(values * values, size) - mean**2, 0))
    even: BoolArray = (spread < 25) & (mean > 0) & (mean < 350)
    i = (np.arange(values.shape[0]) - spine[0])[:, None, None] * spacing[0]
    j = (np.arange(values.shape[1]) - spine[1])[None, :, None] * spacing[1]
    millilitre = 1000.0 / math.prod(spacing)
    right = mean[even & (i < -15) & (j < 15) & (mean < 220)]
    liver = None
    if len(right) >= _LIVER_ML * millilitre:
        counts, edges = np.histogram(right, bins=np.arange(0, 225, 5.0))
        # A peak a few bins wide is surer than one bin.
        peak = int(np.convolve(counts, np.ones(3), "same").argmax())
        liver = float(np.rint((edges[peak] + edges[peak + 1]) / 2))
    left = mean[even & (i > 20) & (i < 100) & (j > -50) & (j < 45)]
    enough = int(_KIDNEY_ML * millilitre)
    kidney = float(np.rint(np.sort(left)[-enough])) if len(left) > enough else None
    return liver, kidney
