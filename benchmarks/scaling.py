"""Watch how the cost grows with the voxels: CPU seconds at one, two and four times a size, and the exponent.

`python benchmarks/scaling.py [--shape 192 192 144] [--runs 3] [--json FILE]`: attention map, components,
metrics, resampling and, on an eighth of the voxels, registration. Exponent 1 means twice the voxels for twice
the seconds; it is the slope of a line through the logarithms.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.attention_map import body
from benchmarks.label_maps import LABELS, SPACING, organs
from benchmarks.resampling import ct
from benchmarks.side_by_side import median_seconds, parser, write_record

from lymphct.attention.mapping import attention_map
from lymphct.core.arrays import Index3
from lymphct.evaluation.segmentation import label_scores
from lymphct.imaging.components import find_components
from lymphct.imaging.resampling import resample_parallel
from lymphct.registration.deeds import deeds

FACTORS = (1, 2, 4)

Work = Callable[[], Any]


def attention(shape: Index3) -> Work:
    """Map the attention of a body of fixed extent."""
    return partial(attention_map, body(shape))


def components(shape: Index3) -> Work:
    """Find the components of ten organs."""
    return partial(find_components, organs(shape, np.random.default_rng(0))[0])


def metrics(shape: Index3) -> Work:
    """Score ten organs."""
    maps = organs(shape, np.random.default_rng(0))
    return partial(label_scores, *maps, LABELS, SPACING)


def resampling(shape: Index3) -> Work:
    """Interpolate an image linearly."""
    image, grid = ct(shape)
    return partial(resample_parallel, image, grid, fill=-1024.0, interpolation="linear")


def registration(shape: Index3) -> Work:
    """Register two noisy images by DEEDS, half as large along each axis: its work grid is coarser."""
    half = tuple(n // 2 for n in shape)
    image = np.random.default_rng(0).normal(size=half).astype(np.float32)
    image = np.cumsum(image, axis=0, dtype=np.float32)
    return partial(deeds, image, np.roll(image, 2, axis=1))


TASKS: dict[str, Callable[[Index3], Work]] = {
    "attention map": attention,
    "components": components,
    "metrics": metrics,
    "resampling, linear": resampling,
    "registration (DEEDS)": registration,
}


def sizes(shape: Index3) -> list[Index3]:
    """Return shapes of about one, two and four times the voxels."""
    return [
        (round(shape[0] * share), round(shape[1] * share), round(shape[2] * share))
        for share in np.cbrt(FACTORS).tolist()
    ]


def exponent(voxels: list[int], seconds: list[float]) -> float:
    """Return the slope of log seconds over log voxels."""
    return float(np.polyfit(np.log(voxels), np.log(seconds), 1)[0])


def main() -> None:
    options = parser(__doc__ or "", (192, 192, 144)).parse_args()
    shapes = sizes(tuple(options.shape))
    voxels = [int(np.prod(shape)) for shape in shapes]
    rows = []
    for name, task in TASKS.items():
        seconds = []
        for shape in shapes:
            work = task(shape)
            work()  # compiles, and touches the memory
            seconds.append(median_seconds(work, options.runs)[0])
        rows.append({"task": name, "cpu": seconds, "exponent": exponent(voxels, seconds)})
        print(f"{name:<24}" + "".join(f"{s:>9.3f}" for s in seconds) + f"{rows[-1]['exponent']:>8.2f}")
    if options.json is not None:
        write_record(options.json, voxels=voxels, rows=rows)


if __name__ == "__main__":
    main()
