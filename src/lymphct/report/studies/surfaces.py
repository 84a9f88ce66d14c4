"""A patient's structures, tumor and nodes in three dimensions (Fig. 1): shaded surfaces, no viewer.

Each mask is smoothed, turned and looked at along one axis: the first voxel above one half is its surface, the
slope there its light. Masks are laid over one another by depth, each with its opacity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import BoolArray, DoubleArray, FloatArray, IntArray
from lymphct.core.volume import Volume

FINEST: Final = 0.6
"""mm between the dots of a picture."""
_MOST_DOTS: Final = 420
"""Along the longest side; a larger image is seen at a coarser step."""
_TOWARDS_LIGHT: Final = np.array([-0.45, -0.45, -0.77])
"""From a surface to the light, in axes of the picture (right, down, away): behind the reader, to the left."""
_AMBIENT: Final = 0.35


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """What is drawn of one mask.

    Attributes:
        mask: on the grid of the volume that is drawn.
        color: red, green, blue, 0 to 1.
        opacity: 1 hides what is behind it.

    """

    mask: BoolArray
    color: tuple[float, float, float]
    opacity: float = 1.0


def rendered_surfaces(
    grid: Volume, surfaces: Sequence[Surface], *, turn: float = 20.0, tilt: float = 10.0
) -> FloatArray:
    """Return a picture (rows, columns, 3), 0 to 1, of masks seen from the front on white.

    Args:
        grid: any volume on whose voxels the masks lie, axes i → left, j → posterior, k → cranial.
        surfaces: masks with colors; empty ones are left out.
        turn: degrees the patient is turned about the long axis.
        tilt: degrees the patient is tilted towards the reader.

    """
    there = [surface for surface in surfaces if surface.mask.any()]
    spacing = np.asarray(grid.geometry.spacing)
    extent = spacing * grid.array.shape
    step = max(FINEST, float(extent.max()) / _MOST_DOTS)
    # A grid of the picture: columns to the patient's left, rows downwards, depth away from the reader.
    size = np.full(3, int(np.ceil(np.linalg.norm(extent) / step)))
    to_voxel = _turned(turn, tilt) * step / spacing[:, None]
    offset = (np.asarray(grid.array.shape) - 1) / 2 - to_voxel @ ((size - 1) / 2)
    blur = np.maximum(0.8 * step / spacing, 0.7)  # steps of coarse voxels are no anatomy
    layers = [_layer(surface, to_voxel, offset, size, blur) for surface in there]
    return _cut(_composed(layers, there, (int(size[0]), int(size[1]))))


def _turned(turn: float, tilt: float) -> DoubleArray:
    """Return the matrix from picture axes (right, down, away) to patient axes (left, posterior, cranial)."""
    a, b = np.deg2rad(turn), np.deg2rad(tilt)
    front = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    about_long = np.array([[np.cos(a), -np.sin(a), 0.0], [np.sin(a), np.cos(a), 0.0], [0.0, 0.0, 1.0]])
    about_left = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(b), -np.sin(b)], [0.0, np.sin(b), np.cos(b)]])
    matrix: DoubleArray = about_long @ about_left @ front
    return matrix


def _layer(
    surface: Surface, to_voxel: DoubleArray, offset: DoubleArray, size: IntArray, blur: DoubleArray
) -> tuple[FloatArray, FloatArray]:
    """Return the depth of the surface at each dot, infinite where there is none, and its light."""
    (box,) = ndimage.find_objects(surface.mask.astype(np.uint8))
    margin = np.ceil(4 * blur).astype(int) + 1
    start = np.array([max(s.start - m, 0) for s, m in zip(box, margin, strict=True)])
    stop = np.array([s.stop + m for s, m in zip(box, margin, strict=True)])
    part = surface.mask[tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))]
    field = ndimage.gaussian_filter(part.astype(np.float32), blur)
    # Small masks lose height by smoothing: their surface is where half of what is left lies.
    half = min(0.5, float(field.max()) / 2)
    back = np.linalg.inv(to_voxel).astype(np.float64)
    low, high = _box_in_picture(start, part.shape, back, offset, size)
    seen = ndimage.affine_transform(
        field, to_voxel, offset + to_voxel @ low - start, tuple(high - low), order=1
    )
    hit, light = _hit_and_light(seen, half)
    depth = np.full(size[:2], np.inf, np.float32)
    shade = np.zeros(size[:2], np.float32)
    here = np.s_[low[0] : high[0], low[1] : high[1]]
    depth[here], shade[here] = hit + low[2], light
    return depth, shade


def _box_in_picture(
    start: IntArray, shape: Sequence[int], to_picture: DoubleArray, offset: DoubleArray, size: IntArray
) -> tuple[IntArray, IntArray]:
    """Return the box of the picture's grid that holds a box of voxels, however it is turned."""
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.asarray(shape) - 1) + start
    seen = (corners - offset) @ to_picture.T
    low = np.clip(np.floor(seen.min(axis=0)).astype(int), 0, size)
    return low, np.clip(np.ceil(seen.max(axis=0)).astype(int) + 1, low, size)


def _hit_and_light(seen: FloatArray, half: float) -> tuple[FloatArray, FloatArray]:
    """Return at which depth a field first passes a height along its last axis, and how bright it is there."""
    inside = seen > half
    hit = inside.argmax(axis=2)
    smooth: FloatArray = ndimage.gaussian_filter(seen, 1.0)
    slope = np.stack([np.gradient(smooth, axis=axis) for axis in range(3)], axis=-1)
    rows, columns = np.indices(hit.shape)
    normal = -slope[rows, columns, hit]
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    light = _AMBIENT + (1 - _AMBIENT) * np.clip(normal @ _TOWARDS_LIGHT, 0, 1)
    depth = np.where(inside.any(axis=2), hit, np.inf)
    return depth.astype(np.float32), light.astype(np.float32)


def _composed(
    layers: Sequence[tuple[FloatArray, FloatArray]], surfaces: Sequence[Surface], shape: tuple[int, int]
) -> FloatArray:
    """Lay the surfaces over white, the farthest first, dot by dot."""
    picture = np.ones((*shape, 3), np.float32)
    if not layers:
        return picture
    depths = np.stack([depth for depth, _ in layers])
    lights = np.stack([light for _, light in layers])
    colors = np.array([surface.color for surface in surfaces], np.float32)
    opacities = np.array([surface.opacity for surface in surfaces], np.float32)
    for order in np.argsort(-depths, axis=0, kind="stable"):  # per dot: who comes next
        chosen = order[None]
        depth = np.take_along_axis(depths, chosen, 0)[0]
        light = np.take_along_axis(lights, chosen, 0)[0]
        share = np.where(np.isfinite(depth), opacities[order], 0.0)[..., None]
        picture = (1 - share) * picture + share * colors[order] * light[..., None]
    return picture.transpose(1, 0, 2)


def _cut(picture: FloatArray) -> FloatArray:
    """Cut the white margin off, but for a few dots."""
    drawn = np.argwhere((picture < 0.999).any(axis=2))
    if not len(drawn):
        return picture
    low, high = np.maximum(drawn.min(axis=0) - 4, 0), drawn.max(axis=0) + 5
    return picture[low[0] : high[0], low[1] : high[1]]
