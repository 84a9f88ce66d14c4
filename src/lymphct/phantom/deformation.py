"""How one patient differs from the atlas, and how breathing moves the arterial phase."""

from dataclasses import dataclass

import numba
import numpy as np

from lymphct.core.arrays import DoubleArray, FloatArray
from lymphct.core.geometry import Geometry

SCALE_LIMIT = 0.08
SHEAR_LIMIT = 0.03
ELASTIC_SD = 2.0
PIVOT = (0.0, 4.0, -15.0)
SPINE_FRONT = 22.0
FREE_FROM = -10.0
LARGEST_SHIFT = 11.0
SKIN = (80.0, 74.0)


@dataclass(frozen=True)
class Waves:
    """A smooth random vector field: a sum of plane waves, the same at every voxel size.

    Attributes:
        vectors: (n, 3) angular wave numbers, 1/mm.
        phases: (n,) radians.
        amplitudes: (n, 3) mm.

    """

    vectors: FloatArray
    phases: FloatArray
    amplitudes: FloatArray

    def at(self, points: FloatArray) -> FloatArray:
        """Return the vectors at points (i, j, k, 3), mm."""
        field: FloatArray = _sum_of_waves(points, self.vectors, self.phases, self.amplitudes)
        return field


@dataclass(frozen=True)
class Build:
    """From a patient's position to the atlas: scale and shear about a pivot, then a smooth elastic part."""

    matrix: DoubleArray
    elastic: Waves

    def to_atlas(self, points: FloatArray) -> FloatArray:
        """Map positions (i, j, k, 3) in the patient to the atlas, mm."""
        pivot = np.asarray(PIVOT, dtype=np.float32)
        linear = (points - pivot) @ self.matrix.T.astype(np.float32) + pivot
        mapped: FloatArray = linear + self.elastic.at(points)
        return mapped


@dataclass(frozen=True)
class PhaseShift:
    """Where the arterial anatomy lies: arterial(y) shows what the venous phase shows at y + v(y).

    Attributes:
        cranial: cranio-caudal shift in front of the spine, mm.
        local: the smaller shift that differs from place to place.

    """

    cranial: float
    local: Waves

    def push(self, points: FloatArray) -> FloatArray:
        """Return v, mm, at points (i, j, k, 3): nothing at the spine, little at the skin."""
        depth = np.clip((SPINE_FRONT - points[..., 1]) / (SPINE_FRONT - FREE_FROM), 0.0, 1.0)
        level = (points[..., 0] / SKIN[0]) ** 2 + ((points[..., 1] - PIVOT[1]) / SKIN[1]) ** 2
        wall = np.clip((1.15 - level) / 0.65, 0.0, 1.0)
        mobility = (depth * depth * (3.0 - 2.0 * depth) * wall)[..., None]
        vectors = self.local.at(points)
        vectors[..., 2] += np.float32(self.cranial)
        moved: FloatArray = (vectors * mobility).astype(np.float32)
        return moved

    def pull_back(self, points: FloatArray) -> FloatArray:
        """Return u, mm, with u(x) = -v(x + u(x)): aligned(x) = arterial(x + u(x))."""
        displacement = -self.push(points)
        for _ in range(12):
            update = -self.push(points + displacement)
            change = float(np.abs(update - displacement).max())
            displacement = update
            if change < 1e-3:
                break
        return displacement


def positions(grid: Geometry) -> FloatArray:
    """Return the world positions (i, j, k, 3) of all voxels of an upright grid, mm."""
    axes = [
        np.float32(o) + np.float32(s) * np.arange(n, dtype=np.float32)
        for o, s, n in zip(grid.origin, grid.spacing, grid.shape, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def draw_build(rng: np.random.Generator) -> Build:
    """Draw a patient's build: affine ±8 % and a smooth elastic part."""
    matrix = rng.uniform(-SHEAR_LIMIT, SHEAR_LIMIT, (3, 3))
    np.fill_diagonal(matrix, 1.0 / (1.0 + rng.uniform(-SCALE_LIMIT, SCALE_LIMIT, 3)))
    return Build(matrix, draw_waves(rng, sd=ELASTIC_SD, wavelengths=(70.0, 140.0)))


def draw_phase_shift(rng: np.random.Generator, shift_sd: float, local_sd: float) -> PhaseShift:
    """Draw the shift between the phases: cranio-caudal N(0, 5²) mm and local N(0, 2²) mm."""
    cranial = float(np.clip(rng.normal(0.0, shift_sd), -LARGEST_SHIFT, LARGEST_SHIFT))
    return PhaseShift(cranial, draw_waves(rng, sd=local_sd, wavelengths=(80.0, 140.0)))


def draw_waves(
    rng: np.random.Generator, *, sd: float, wavelengths: tuple[float, float], count: int = 8
) -> Waves:
    """Draw plane waves whose sum has standard deviation `sd` along each axis."""
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = rng.uniform(*wavelengths, size=(count, 1))
    # A cosine of amplitude a has variance a²/2.
    amplitudes = rng.normal(0.0, sd * np.sqrt(2.0 / count), size=(count, 3))
    return Waves(
        (directions * 2 * np.pi / lengths).astype(np.float32),
        rng.uniform(0.0, 2 * np.pi, count).astype(np.float32),
        amplitudes.astype(np.float32),
    )


@numba.njit(cache=True, fastmath=True)
def _sum_of_waves(
    points: FloatArray, vectors: FloatArray, phases: FloatArray, amplitudes: FloatArray
) -> FloatArray:
    n_i, n_j, n_k = points.shape[:3]
    result = np.zeros((n_i, n_j, n_k, 3), dtype=np.float32)
    for i in range(n_i):
        for j in range(n_j):
            for k in range(n_k):
                x, y, z = points[i, j, k, 0], points[i, j, k, 1], points[i, j, k, 2]
                for w in range(vectors.shape[0]):
                    height = np.cos(x * vectors[w, 0] + y * vectors[w, 1] + z * vectors[w, 2] + phases[w])
                    for a in range(3):
                        result[i, j, k, a] += amplitudes[w, a] * height
    return result
