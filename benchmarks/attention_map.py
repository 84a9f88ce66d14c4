"""Time the attention map against distance transforms of scipy, edt and SimpleITK.

`python benchmarks/attention_map.py [--shape 512 512 300] [--runs 5] [--whole] [--json FILE]`: equality with
double precision first, then medians of wall and CPU seconds after a warm-up, the ratio to ours, and the peak
of memory beyond what stood before and the output. The body is 348 mm × 348 mm × 240 mm whatever the shape:
nineteen structures made of ellipsoids and tubes at the places and about the sizes of a real patient; nothing
is downloaded. `--whole` adds scipy on the whole image, one run (minutes at full size).
"""

import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import edt
import numpy as np
import SimpleITK
from scipy.ndimage import distance_transform_edt, find_objects

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import Method, compare, finish, parser

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import attention_map
from lymphct.attention.score import attention_score
from lymphct.core.arrays import AnyArray, BoolArray, FloatArray, LabelArray, Vector3
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume

EXTENT = (348.16, 348.16, 240.0)
BORDER = 3.0
# mm from the centre; x to the left, y to the back, z up. Ellipsoids: centre and half axes.
ELLIPSOIDS = {
    11: ((-66, -22, 11), (88, 77, 77)),
    12: ((-60, 55, -55), (31, 31, 60)),
    13: ((60, 60, -50), (31, 31, 60)),
    14: ((-55, -50, -44), (20, 20, 33)),
    3: ((24, -33, -2), (71, 35, 66)),
    1: ((79, 52, -9), (31, 42, 42)),
}
# Tubes: points of the centre line and radius.
TUBES = {
    15: (((-27, 5, -165), (-27, 5, 88)), 11),
    16: (((-11, -13, -22), (-44, -16, 16), (66, 33, -11)), 6.6),
    17: (((9, -31, -121), (-5, -22, -27)), 6.6),
    18: (((-33, 27, 0), (-27, 22, 11)), 4.4),
    19: (((27, 27, -5), (22, 22, 5)), 4.4),
    2: (((9, -15, 27), (7, -13, 99)), 10),
    6: (((-22, -33, -16), (-55, -27, -33), (-55, -16, -88), (-11, -22, -93)), 12),
    5: (((-38, -27, -38), (0, -25, -27), (55, 5, -11)), 12),
    4: (((-1, 8, -165), (-1, 8, 165)), 10.5),
    8: (((0, -2, 0), (2, -16, 2), (33, 5, 0), (71, 38, 0)), 3.3),
    7: (((0, -9, -11), (3, -27, -33), (5, -27, -121)), 3.9),
    10: (((2, -16, 2), (-22, -24, -2), (-38, -27, 11)), 2.8),
    9: (((2, -16, 2), (11, -22, 22), (22, -44, 33)), 1.9),
}


def body(shape: tuple[int, int, int]) -> Volume:
    """Draw the label map."""
    spacing = tuple(extent / n for extent, n in zip(EXTENT, shape, strict=True))
    grid = Geometry(shape=shape, spacing=(spacing[0], spacing[1], spacing[2]))
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    labels = np.zeros(shape, dtype=np.uint8)
    for label, (center, radii) in ELLIPSOIDS.items():
        terms = [((axis - c) / r) ** 2 for axis, c, r in zip((x, y, z), center, radii, strict=True)]
        labels[terms[0] + terms[1] + terms[2] < 1] = label
    for label, (points, radius) in TUBES.items():
        for start, end in pairwise(points):
            low, high = np.minimum(start, end) - radius, np.maximum(start, end) + radius
            box = tuple(
                slice(*np.searchsorted(a, (lo, hi))) for a, lo, hi in zip(axes, low, high, strict=True)
            )
            labels[box][_near_line((x[box[0]], y[:, box[1]], z[..., box[2]]), start, end) < radius**2] = label
    return Volume(array=labels, geometry=grid)


def _near_line(place: tuple[AnyArray, ...], start: Vector3, end: Vector3) -> AnyArray:
    along = np.subtract(end, start)
    offsets = [axis - s for axis, s in zip(place, start, strict=True)]
    share = sum(offset * step for offset, step in zip(offsets, along, strict=True)) / (along @ along)
    share = np.clip(share, 0, 1)
    squares: AnyArray = sum((o - share * step) ** 2 for o, step in zip(offsets, along, strict=True))
    return squares


def scipy_distance(own: BoolArray, spacing: Vector3) -> AnyArray:
    """Signed distance in double precision, the convention of the package."""
    distance: AnyArray = distance_transform_edt(~own, spacing) - distance_transform_edt(own, spacing)
    return distance


def edt_distance(own: BoolArray, spacing: Vector3) -> FloatArray:
    """Signed distance by the library edt."""
    outer = edt.edt(~own, anisotropy=spacing, black_border=False, parallel=1)
    distance: FloatArray = outer - edt.edt(own, anisotropy=spacing, black_border=False, parallel=1)
    return distance


def simpleitk_distance(own: BoolArray, spacing: Vector3) -> AnyArray:
    """Signed distance by SimpleITK, one voxel shallower inside."""
    image = SimpleITK.GetImageFromArray(own.view(np.uint8))
    image.SetSpacing(spacing[::-1])
    found = SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    distance: AnyArray = SimpleITK.GetArrayFromImage(found)
    return distance


def by_transforms(
    structures: Volume, transform: Callable[[BoolArray, Vector3], AnyArray], *, crop: bool
) -> FloatArray:
    """Eq. 1 and Eq. 2 from one signed distance per structure, on its box plus the reach, or on the whole."""
    labels, spacing = structures.array, structures.geometry.spacing
    attention = np.zeros(labels.shape, dtype=np.float32)
    boxes = find_objects(labels, max_label=len(PAPER_BANDS))
    own_scores: list[tuple[tuple[slice, ...], BoolArray, AnyArray]] = []
    for (structure, band), box in zip(PAPER_BANDS.items(), boxes, strict=True):
        margins = [int((band.d_max + BORDER) / step) + 1 for step in spacing]
        part = tuple(slice(max(p.start - m, 0), p.stop + m) for p, m in zip(box, margins, strict=True))
        part = part if crop else (slice(None),) * 3
        own = np.ascontiguousarray(labels[part] == structure)
        score = attention_score(transform(own, spacing), band, border=BORDER)
        np.maximum(attention[part], score, out=attention[part], casting="same_kind")
        own_scores.append((part, own, score[own]))
    for part, own, score in own_scores:
        attention[part][own] = score
    return attention


def main() -> None:
    options = parser(__doc__ or "", (256, 256, 150))
    options.add_argument("--whole", action="store_true", help="add scipy on the whole image, one run")
    chosen = options.parse_args()
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    structures = body(tuple(chosen.shape))
    labels: LabelArray = structures.array
    truth = by_transforms(structures, scipy_distance, crop=True)

    def error(found: FloatArray) -> float:
        return float(np.abs(found - truth).max())

    def method(
        name: str, compute: Callable[[], FloatArray], limit: float, *, is_slow: bool = False
    ) -> Method:
        return Method(name=name, compute=compute, error=error, limit=limit, is_slow=is_slow)

    methods = [
        method("lymphct", lambda: attention_map(structures).array, 1e-5),
        method("edt, cropped", lambda: by_transforms(structures, edt_distance, crop=True), 1e-5),
        # One voxel shallower inside by its convention: only finite results are asked for.
        method("SimpleITK, cropped", lambda: by_transforms(structures, simpleitk_distance, crop=True), 1.0),
        method("scipy, cropped", lambda: by_transforms(structures, scipy_distance, crop=True), 1e-6),
        Method(name="floor: labels read, float32 written", compute=lambda: labels.astype(np.float32)),
    ]
    if chosen.whole:
        whole = partial(by_transforms, structures, scipy_distance, crop=False)
        methods.append(method("scipy, whole image", whole, 1e-6, is_slow=True))
    title = f"attention map of ten structures, {labels.shape} voxels"
    finish([compare(title, methods, chosen.runs, shape=labels.shape)], chosen.json)


if __name__ == "__main__":
    main()
