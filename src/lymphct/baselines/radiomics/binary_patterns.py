"""Local binary patterns in 3-D by spherical harmonics, with the values of pyradiomics 3.0.1 (decision 0047).

pyradiomics' own needs a function that newer versions of scipy no longer have. Its definition is kept to the
letter, the swapped angles included, and written without complex numbers: its sum over m is an inner product.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter

from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, Index3

MARGIN: Final = 40
"""Voxels around the tumor after which the spline no longer depends on what lies further out.

Its filter forgets by 2 - √3 a voxel: 28 voxels are below one rounding, the rest lets roundings settle.
"""
_CHUNK: Final = 20_000
"""Voxels whose spheres are looked at together: about 60 MB."""


def binary_patterns(
    image: AnyArray, mask: BoolArray, *, start: Index3 = (0, 0, 0)
) -> Iterator[tuple[str, DoubleArray]]:
    """Yield the images `lbp-3D-m1`, `lbp-3D-m2` and `lbp-3D-k`, 0 outside the mask.

    Args:
        image: (k, j, i); sampled values are rounded as its type asks for.
        mask: the tumor in it.
        start: first voxel of this box in the whole image, so that places round as they do there.

    """
    spline = spline_filter(image, order=3, output=np.float64)
    inside = np.argwhere(mask)
    parts = [
        _patterns(image, spline, chunk, np.array(start))
        for chunk in np.array_split(inside, max(1, -(-len(inside) // _CHUNK)))
    ]
    values = np.concatenate(parts, axis=1)
    for name, column in zip(("lbp-3D-m1", "lbp-3D-m2", "lbp-3D-k"), values, strict=True):
        derived = np.zeros(image.shape)
        derived[mask] = column
        yield name, derived


def _patterns(image: AnyArray, spline: DoubleArray, voxels: AnyArray, start: AnyArray) -> DoubleArray:
    """Return both levels and the kurtosis of the spheres around voxels (n, 3), shape (3, n)."""
    from scipy.stats import kurtosis  # noqa: PLC0415 - a slow import only radiomics needs

    places = ((voxels + start)[:, None] + _SPHERE) - start
    sampled = map_coordinates(
        spline, np.moveaxis(places, -1, 0), output=image.dtype, order=3, prefilter=False
    )
    is_above = sampled >= image[tuple(voxels.T)][:, None]
    count = is_above.sum(axis=1)
    first = np.sqrt(len(_SPHERE)) / (4 * np.pi) * count
    # Sums of directions, cos(a + b) in place of cos(a - b). Not by BLAS: its sums depend on threads.
    x, y, z = np.einsum("nu,ud->dn", is_above.astype(np.float64), _DIRECTIONS * (1.0, -1.0, 1.0))
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = np.einsum("vd,ve->de", _DIRECTIONS, _DIRECTIONS)
    square = xx * x * x + yy * y * y + zz * z * z + 2 * (xy * x * y + xz * x * z + yz * y * z)
    second = 3 / (4 * np.pi) * np.sqrt(np.maximum(square, 0.0))
    return np.stack([first, second, kurtosis(sampled, axis=1)])


def _sphere() -> DoubleArray:
    """Return the 12 corners of an icosahedron of radius 1 and the 30 middles of its edges, on the sphere."""
    golden = (1 + np.sqrt(5)) / 2
    short, long = 1 / np.sqrt(1 + golden**2), golden / np.sqrt(1 + golden**2)
    corners = [(short * a, long * b, 0.0) for a, b in product((-1, 1), repeat=2)]
    middles = [((golden - 1) / 2 * a, golden / 2 * b, 0.5 * c) for a, b, c in product((-1, 1), repeat=3)]
    points = [*corners, *middles, (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)]
    return np.concatenate([np.roll(points, turn, axis=1) for turn in range(3)]) + 0.0


def _directions(sphere: DoubleArray) -> DoubleArray:
    """Return (sin p cos a, sin p sin a, cos p) of each point; polar angle and azimuth have changed places."""
    azimuth = np.arccos(sphere[:, 2])
    polar = np.arctan2(sphere[:, 1], sphere[:, 0])
    sine = np.abs(np.sin(polar))
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), np.cos(polar)], axis=1)


_SPHERE: Final = _sphere()
_DIRECTIONS: Final = _directions(_SPHERE)
