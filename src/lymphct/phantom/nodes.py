"""Lymph nodes: how many and how large (Sec. IV-A.1), how they look."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from lymphct.core.arrays import BoolArray, DoubleArray, FloatArray, Vector3
from lymphct.core.terms import NodeClass
from lymphct.phantom.canvas import Tissue
from lymphct.phantom.settings import Contrast, Mode, PhantomSettings

LOG_VOLUME: Final = {NodeClass.POSITIVE: (6.018, 0.995), NodeClass.NEGATIVE: (5.298, 0.941)}
"""Mean and SD of the logarithm of the volume in mm³ (after Tab. I)."""
BETWEEN_NODES_SD: Final = 8.0
TEXTURE_LENGTH: Final = 0.9
FINE_STEP: Final = 0.8
NECROSIS: Final = Tissue(25.0, 28.0)
HILUM: Final = Tissue(-60.0, -58.0)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a kind of node differs from another.

    Attributes:
        tissue: mean HU.
        texture: SD of the texture, HU.
        core_share: how often there is a necrotic core in nodes larger than `core_from`.
        core_from: mm³.
        hilum_share: how often there is a fatty hilum.
        roundness: range of the shorter axes against the longest.

    """

    tissue: Tissue
    texture: float
    core_share: float = 0.0
    core_from: float = 0.0
    hilum_share: float = 0.0
    roundness: tuple[float, float]


LOOKS: Final[dict[Contrast, dict[NodeClass, Look]]] = {
    "clear": {
        NodeClass.POSITIVE: Look(
            tissue=Tissue(58, 80), texture=22.0, core_share=0.6, core_from=300.0, roundness=(0.75, 1.0)
        ),
        NodeClass.NEGATIVE: Look(tissue=Tissue(80, 100), texture=5.0, hilum_share=0.25, roundness=(0.5, 0.8)),
    },
    "subtle": {
        NodeClass.POSITIVE: Look(
            tissue=Tissue(65, 85), texture=12.0, core_share=0.35, core_from=500.0, roundness=(0.75, 1.0)
        ),
        NodeClass.NEGATIVE: Look(tissue=Tissue(75, 90), texture=5.0, hilum_share=0.25, roundness=(0.5, 0.8)),
    },
    "overlapping": {
        NodeClass.POSITIVE: Look(
            tissue=Tissue(70, 88), texture=9.0, core_share=0.3, core_from=500.0, roundness=(0.6, 1.0)
        ),
        NodeClass.NEGATIVE: Look(tissue=Tissue(76, 93), texture=6.0, hilum_share=0.2, roundness=(0.5, 0.9)),
    },
}
"""Not stated in the paper; chosen so that a network can learn to tell the classes apart, in `overlapping`
with more mistakes."""


@dataclass(frozen=True, kw_only=True)
class NodePlan:
    """A node before it has a place."""

    node_class: NodeClass
    volume: float


@dataclass(frozen=True)
class Sculpture:
    """A small body on the voxel grid.

    Attributes:
        share: part of each voxel it fills, 0 to 1.
        arterial: HU of that part.
        venous: HU likewise.

    """

    share: FloatArray
    arterial: FloatArray
    venous: FloatArray

    @property
    def mask(self) -> BoolArray:
        """Return the voxels at least half filled."""
        mask: BoolArray = self.share >= 0.5
        return mask


def plan_nodes(rng: np.random.Generator, settings: PhantomSettings, *, is_positive: bool) -> list[NodePlan]:
    """Draw classes and volumes; positive ones first, so that they find room."""
    counts = draw_counts(rng, settings.mode, is_positive=is_positive)
    positive, negative = (settings.crowding * count for count in counts)
    plans = []
    for node_class, count in ((NodeClass.POSITIVE, positive), (NodeClass.NEGATIVE, negative)):
        volumes = np.exp(rng.normal(*LOG_VOLUME[node_class], size=count))
        volumes = np.clip(volumes, settings.smallest_node, settings.largest_node)
        plans += [NodePlan(node_class=node_class, volume=float(v)) for v in volumes]
    return plans


def draw_counts(rng: np.random.Generator, mode: Mode, *, is_positive: bool) -> tuple[int, int]:
    """Draw how many positive and negative nodes a patient has (`paper`: Sec. IV-A.1)."""
    positive = 1 + int(rng.poisson(0.356)) if is_positive else 0
    if mode != "paper":
        total = 1 + int(rng.poisson(2.3))
        positive = min(positive, total)
        return positive, total - positive
    return positive, int(rng.poisson(0.92 if is_positive else 4.19))


def half_axes(rng: np.random.Generator, volume: float, roundness: tuple[float, float]) -> DoubleArray:
    """Return half lengths (mm, longest first) of an ellipsoid of a volume (mm³)."""
    ratios = np.array([1.0, *sorted(rng.uniform(*roundness, size=2), reverse=True)])
    axes: DoubleArray = ratios * np.cbrt(3 * volume / (4 * np.pi * ratios.prod()))
    return axes


def sculpt(rng: np.random.Generator, plan: NodePlan, look: Look, spacing: Vector3) -> Sculpture:
    """Draw shape, texture, core and hilum of one node on a lattice finer than the voxels, then average."""
    axes = half_axes(rng, plan.volume, look.roundness)
    factor = np.maximum(np.ceil(np.asarray(spacing) / FINE_STEP), 1).astype(int)
    voxels = 2 * np.ceil((axes[0] + 1.0) / np.asarray(spacing)).astype(int) + 1
    fine = np.asarray(spacing) / factor
    steps = [(np.arange(n * f) - (n * f - 1) / 2) * s for n, f, s in zip(voxels, factor, fine, strict=True)]
    points = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1)
    points -= rng.uniform(-0.5, 0.5, 3) * np.asarray(spacing)
    own = points @ random_rotation(rng)
    inside = np.linalg.norm(own / axes, axis=-1) <= 1.0
    texture = ndimage.gaussian_filter(rng.normal(size=inside.shape), TEXTURE_LENGTH / fine)
    offset = rng.normal(0.0, BETWEEN_NODES_SD)
    pattern = offset + look.texture * texture / max(float(texture.std()), 1e-6)
    images = [np.asarray(value + pattern) for value in look.tissue]
    for tissue, part in _parts(rng, plan.volume, look, own / axes):
        for image, value in zip(images, tissue, strict=True):
            image[part] = value + 0.2 * pattern[part]
    return _average(inside, images, factor)


def _parts(
    rng: np.random.Generator, volume: float, look: Look, own: DoubleArray
) -> list[tuple[Tissue, BoolArray]]:
    """Return the core and the hilum, if drawn, as tissue and fine mask; `own` is in half axes."""
    parts = []
    size = rng.uniform(0.5, 0.65)
    if rng.random() < look.core_share and volume > look.core_from:
        parts.append((NECROSIS, np.linalg.norm(own, axis=-1) < size))
    if rng.random() < look.hilum_share:
        side = np.array([0.0, 0.45, 0.0])
        parts.append((HILUM, np.linalg.norm(own - side, axis=-1) < 0.42))
    return parts


def _average(inside: BoolArray, images: list[DoubleArray], factor: DoubleArray) -> Sculpture:
    """Average a fine lattice over voxels; HU over the filled part only."""
    share = _block_mean(inside.astype(np.float64), factor)
    filled = np.maximum(share, 1e-6)
    arterial, venous = (_block_mean(image * inside, factor) / filled for image in images)
    return Sculpture(share.astype(np.float32), arterial.astype(np.float32), venous.astype(np.float32))


def _block_mean(fine: DoubleArray, factor: DoubleArray) -> DoubleArray:
    a, b, c = (int(f) for f in factor)
    n_i, n_j, n_k = fine.shape
    mean: DoubleArray = fine.reshape(n_i // a, a, n_j // b, b, n_k // c, c).mean(axis=(1, 3, 5))
    return mean


def random_rotation(rng: np.random.Generator) -> DoubleArray:
    """Return an orthogonal matrix, every direction as likely as any other."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation: DoubleArray = q * np.sign(np.diag(r))
    return rotation
