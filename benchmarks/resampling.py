"""Time resampling between parallel axes against SimpleITK, torch and scipy.

`python benchmarks/resampling.py [--shape 353 353 215] [--runs 5] [--json FILE]`: the shape is that of the
result; the image has 0.9 times its voxels along i and j and 0.4 times along k, over the same box, in HU with
noise. All must agree to 1e-3 HU, torch, whose positions are single precision, to 0.1 HU (nearest: exactly,
but for centres halfway between two voxels).
"""

import sys
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK
import torch
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import Method, Table, compare, finish, parser

from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.resampling import Interpolation, resample_parallel

SHARES = (0.9, 0.9, 0.4)
INTERPOLATORS = {
    "nearest": SimpleITK.sitkNearestNeighbor,
    "linear": SimpleITK.sitkLinear,
    "cubic": SimpleITK.sitkBSpline,
}


def ct(shape: tuple[int, int, int]) -> tuple[Volume, Geometry]:
    """Return an image of whole HU (a body with a wavy inside, noise) and the grid of the result."""
    i, j, k = (max(round(n * share), 4) for n, share in zip(shape, SHARES, strict=True))
    spacing = (0.68 * shape[0] / i, 0.68 * shape[1] / j, 0.8 * shape[2] / k)
    coarse = (i, j, k)
    geometry = Geometry(shape=coarse, spacing=spacing)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in coarse), indexing="ij")
    inside = x**2 + 1.6 * y**2 < 0.8
    values = np.where(inside, 60 + 120 * np.sin(9 * x + 4 * z) * np.cos(7 * y), -1000)
    values += np.random.default_rng(0).normal(0, 15, coarse)
    return (Volume(array=values.astype(np.int16), geometry=geometry), geometry.resampled((0.68, 0.68, 0.8)))


def ours(image: Volume, grid: Geometry, interpolation: Interpolation) -> AnyArray:
    """Resample by tables."""
    found = resample_parallel(image, grid, fill=-1024.0, interpolation=interpolation)
    if found is None:
        sys.exit("the axes are not parallel")
    return found


def by_simpleitk(image: Volume, grid: Geometry, interpolation: Interpolation) -> AnyArray:
    """Resample by SimpleITK, from an array and to one."""
    values = image.array if interpolation == "nearest" else image.array.astype(np.float32)
    source = SimpleITK.GetImageFromArray(values.transpose(2, 1, 0))
    target = SimpleITK.Image([int(n) for n in grid.shape], SimpleITK.sitkUInt8)
    for made, geometry in ((source, image.geometry), (target, grid)):
        made.SetSpacing(geometry.spacing)
        made.SetOrigin(geometry.origin)
    found = SimpleITK.Resample(source, target, SimpleITK.Transform(), INTERPOLATORS[interpolation], -1024.0)
    array: AnyArray = SimpleITK.GetArrayFromImage(found).transpose(2, 1, 0)
    return np.ascontiguousarray(array)


def by_torch(image: Volume, grid: Geometry) -> AnyArray:
    """Resample by torch's trilinear interpolation."""
    values = torch.from_numpy(image.array.astype(np.float32))[None, None]
    found: AnyArray = torch.nn.functional.interpolate(values, grid.shape, mode="trilinear")[0, 0].numpy()
    return found


def by_scipy(image: Volume, grid: Geometry, spline: Literal[1, 3]) -> AnyArray:
    """Resample by scipy's zoom, whose grid mode keeps the faces of the image."""
    zoom = [n / m for n, m in zip(grid.shape, image.geometry.shape, strict=True)]
    mode: Literal["nearest", "mirror"] = "nearest" if spline == 1 else "mirror"
    values = image.array.astype(np.float32)
    found: AnyArray = ndimage.zoom(values, zoom, order=spline, mode=mode, grid_mode=True)
    return found


def _table(image: Volume, grid: Geometry, interpolation: Interpolation, runs: int) -> Table:
    expected = ours(image, grid, interpolation)
    peers = {"SimpleITK": partial(by_simpleitk, image, grid, interpolation)}
    if interpolation == "linear":
        peers |= {"torch": partial(by_torch, image, grid), "scipy": partial(by_scipy, image, grid, 1)}
    if interpolation == "cubic":
        peers["scipy"] = partial(by_scipy, image, grid, 3)

    def error(found: AnyArray) -> float:
        if interpolation == "nearest":  # a tie has two right answers
            return float((found != expected)[_off_the_ties(image, grid)].sum())
        return float(np.abs(found - expected).max())

    methods = [Method(name="lymphct", compute=partial(ours, image, grid, interpolation))]
    column_major = image.with_array(np.asfortranarray(image.array))
    methods.append(
        Method(
            name="lymphct, i fastest as in NIfTI",
            compute=partial(ours, column_major, grid, interpolation),
            error=error,
        )
    )
    methods += [
        Method(name=name, compute=peer, error=error, limit=_limit(name, interpolation))
        for name, peer in peers.items()
    ]
    title = f"{interpolation}, {image.geometry.shape} to {grid.shape} voxels"
    return compare(title, methods, runs, shape=grid.shape)


def _limit(peer: str, interpolation: Interpolation) -> float:
    if interpolation == "nearest":
        return 0.0
    return 0.1 if peer == "torch" else 1e-3


def _off_the_ties(image: Volume, grid: Geometry) -> tuple[AnyArray, ...]:
    axes = []
    for n, m in zip(grid.shape, image.geometry.shape, strict=True):
        place = (np.arange(n) + 0.5) * m / n
        axes.append(np.flatnonzero(np.abs(place - np.round(place)) > 1e-6))
    return np.ix_(*axes)


def main() -> None:
    options = parser(__doc__ or "", (353, 353, 215)).parse_args()
    torch.set_num_threads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image, grid = ct(tuple(options.shape))
    names: tuple[Interpolation, ...] = ("linear", "cubic", "nearest")
    finish([_table(image, grid, name, options.runs) for name in names], options.json)


if __name__ == "__main__":
    main()
