"""Time connected components with their sizes and boxes, and boxes of instances, against cc3d and scipy.

`python benchmarks/components.py [--shape 512 512 300] [--runs 5] [--json FILE]`: sixty nodes. Every method
returns the painted components, and size, center and box of each; they must be the same.
"""

import sys
from functools import partial
from pathlib import Path

import cc3d
import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.label_maps import nodes, organs
from benchmarks.side_by_side import Method, Table, compare, finish, parser

from lymphct.core.arrays import BoolArray, LabelArray
from lymphct.imaging.components import Components, components_by_label, find_components

Found = set[tuple[int, tuple[int, ...], tuple[float, ...]]]
"""Voxels, box and rounded center of each part."""


def _described(parts: Components) -> Found:
    return {
        _part(int(parts.voxels[n]), parts.box(n), parts.centers[n].tolist()) for n in range(len(parts.values))
    }


def _part(
    voxels: int, box: tuple[slice, ...], center: list[float]
) -> tuple[int, tuple[int, ...], tuple[float, ...]]:
    return (voxels, tuple(n for part in box for n in (part.start, part.stop)), tuple(np.round(center, 6)))


def ours(mask: LabelArray | BoolArray) -> Found:
    """Components by runs: sizes, centers and boxes come along."""
    parts = find_components(mask)
    parts.paint(np.arange(1, parts.values.size + 1))
    return _described(parts)


def by_cc3d(mask: LabelArray | BoolArray) -> Found:
    """Components by cc3d, then its statistics."""
    painted, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    return _cc3d_statistics(painted, range(1, count + 1))


def _cc3d_statistics(painted: LabelArray, numbers: range | list[int]) -> Found:
    found = cc3d.statistics(painted)
    sizes, boxes, centers = (found[key] for key in ("voxel_counts", "bounding_boxes", "centroids"))
    return {_part(int(sizes[n]), boxes[n], centers[n].tolist()) for n in numbers}


def by_scipy(mask: LabelArray | BoolArray) -> Found:
    """Components by scipy, then its statistics; of one mask only."""
    painted, count = ndimage.label(mask, np.ones((3, 3, 3)))
    return _scipy_statistics(painted, range(1, count + 1))


def _scipy_statistics(painted: LabelArray, numbers: range | list[int]) -> Found:
    boxes = ndimage.find_objects(painted)
    sizes = np.bincount(painted.reshape(-1))
    centers = ndimage.center_of_mass(painted > 0, painted, list(numbers))
    return {
        _part(int(sizes[n]), boxes[n - 1], list(center)) for n, center in zip(numbers, centers, strict=True)
    }


def main() -> None:
    options = parser(__doc__ or "", (512, 512, 300)).parse_args()
    rng = np.random.default_rng(0)
    shape = tuple(options.shape)
    instances = nodes(shape, rng)[0].astype(np.uint16)
    bodies = organs(shape, rng)[0]
    tables = [
        _table("26-connected components of a mask, 60 nodes", instances > 0, options.runs),
        _table("26-connected components of a label map, 10 organs", bodies, options.runs),
        _instances(instances, options.runs),
    ]
    finish(tables, options.json)


def _table(title: str, mask: LabelArray | BoolArray, runs: int) -> Table:
    error = partial(_unequal, ours(mask))
    methods = [
        Method(name="lymphct", compute=partial(ours, mask)),
        Method(name="cc3d + statistics", compute=partial(by_cc3d, mask), error=error),
    ]
    if mask.dtype == np.bool_:
        methods.append(Method(name="scipy label + statistics", compute=partial(by_scipy, mask), error=error))
    return compare(f"{title}, {mask.shape} voxels", methods, runs, shape=mask.shape)


def _instances(instances: LabelArray, runs: int) -> Table:
    numbers = np.unique(instances)[1:].tolist()
    error = partial(_unequal, _described(components_by_label(instances)))
    methods = [
        Method(name="lymphct", compute=lambda: _described(components_by_label(instances))),
        Method(name="cc3d", compute=partial(_cc3d_statistics, instances, numbers), error=error),
        Method(name="scipy", compute=partial(_scipy_statistics, instances, numbers), error=error),
    ]
    title = f"size, center and box of 60 instances, {instances.shape} voxels"
    return compare(title, methods, runs, shape=instances.shape)


def _unequal(expected: Found, found: Found) -> float:
    return float(len(expected ^ found))


if __name__ == "__main__":
    main()
