"""Signed distances of simple shapes, evaluated only around them."""

from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np

from lymphct.core.arrays import DoubleArray, FloatArray, Vector3


class Shape(Protocol):
    """A body in the coordinates of the anatomy, mm."""

    def bounds(self) -> tuple[DoubleArray, DoubleArray]:
        """Return the lowest and the highest corner of the box around it."""
        ...

    def distance(self, points: FloatArray) -> FloatArray:
        """Return the signed distance (negative inside) of points (i, j, k, 3), mm."""
        ...


@dataclass(frozen=True)
class Tube:
    """A vessel or a hollow organ: all points nearer to a smooth path than its radius there.

    Attributes:
        path: (n, 4) rows x, y, z, radius, mm, already smooth.

    """

    path: FloatArray

    def bounds(self) -> tuple[DoubleArray, DoubleArray]:
        """Return the lowest and the highest corner of the box around it."""
        low = (self.path[:, :3] - self.path[:, 3:]).min(axis=0).astype(np.float64)
        high = (self.path[:, :3] + self.path[:, 3:]).max(axis=0).astype(np.float64)
        return low, high

    def distance(self, points: FloatArray) -> FloatArray:
        """Return the signed distance (negative inside) of points (i, j, k, 3), mm."""
        distance: FloatArray = _tube_distance(points, self.path)
        return distance

    def resized(self, *, scale: float = 1.0, add: float = 0.0) -> "Tube":
        """Return the tube with another thickness along the same path."""
        path = self.path.copy()
        path[:, 3] = np.maximum(path[:, 3] * scale + add, 0.3)
        return Tube(path)


@dataclass(frozen=True)
class Ellipsoid:
    """An organ like an egg; turned about the z axis, then about x.

    Attributes:
        center: x, y, z, mm.
        axes: half lengths along its own x, y, z, mm.
        turn: degrees about z (from x towards y).
        tilt: degrees about x (from y towards z).

    """

    center: Vector3
    axes: Vector3
    turn: float = 0.0
    tilt: float = 0.0

    def bounds(self) -> tuple[DoubleArray, DoubleArray]:
        """Return the lowest and the highest corner of the box around it."""
        reach = np.sqrt((self._rotation() ** 2) @ np.square(self.axes))
        return np.asarray(self.center) - reach, np.asarray(self.center) + reach

    def distance(self, points: FloatArray) -> FloatArray:
        """Return the signed distance (negative inside; first-order near the surface) of points, mm."""
        rotation = self._rotation().astype(np.float32)
        center = np.asarray(self.center, dtype=np.float32)
        axes = np.asarray(self.axes, dtype=np.float32)
        distance: FloatArray = _ellipsoid_distance(points, center, axes, rotation)
        return distance

    def _rotation(self) -> DoubleArray:
        turn, tilt = np.deg2rad(self.turn), np.deg2rad(self.tilt)
        about_z = np.array(
            [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]], dtype=np.float64
        )
        about_x = np.array(
            [[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]], dtype=np.float64
        )
        rotation: DoubleArray = about_z @ about_x
        return rotation

    def grown(self, by: float) -> "Ellipsoid":
        """Return the ellipsoid with all half lengths longer by some mm."""
        a, b, c = self.axes
        return Ellipsoid(self.center, (a + by, b + by, c + by), self.turn, self.tilt)


def tube(*points: tuple[float, float, float, float], step: float = 2.0) -> Tube:
    """Lay a smooth tube through (x, y, z, radius) rows, mm (Catmull-Rom), sampled about every `step` mm."""
    rows = np.asarray(points, dtype=np.float64)
    padded = np.vstack([2 * rows[0] - rows[1], rows, 2 * rows[-1] - rows[-2]])
    pieces = []
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        count = max(int(np.linalg.norm(end[:3] - start[:3]) / step), 2)
        t = np.linspace(0.0, 1.0, count, endpoint=False)[:, None]
        pieces.append(
            start
            + 0.5 * t * (end - before)
            + t**2 * (before - 2.5 * start + 2 * end - 0.5 * after)
            + 0.5 * t**3 * (after - before + 3 * (start - end))
        )
    return Tube(np.vstack([*pieces, rows[-1:]]).astype(np.float32))


@numba.njit(cache=True, fastmath=True)
def _tube_distance(points: FloatArray, path: FloatArray) -> FloatArray:
    n_i, n_j, n_k = points.shape[:3]
    result = np.empty((n_i, n_j, n_k), dtype=np.float32)
    segments = path.shape[0] - 1
    for i in range(n_i):
        for j in range(n_j):
            for k in range(n_k):
                x, y, z = points[i, j, k, 0], points[i, j, k, 1], points[i, j, k, 2]
                best = np.float32(1e6)
                for s in range(segments):
                    ax, ay, az = path[s, 0], path[s, 1], path[s, 2]
                    bx, by, bz = path[s + 1, 0] - ax, path[s + 1, 1] - ay, path[s + 1, 2] - az
                    px, py, pz = x - ax, y - ay, z - az
                    t = (px * bx + py * by + pz * bz) / max(bx * bx + by * by + bz * bz, np.float32(1e-6))
                    t = min(max(t, np.float32(0.0)), np.float32(1.0))
                    dx, dy, dz = px - t * bx, py - t * by, pz - t * bz
                    radius = path[s, 3] + t * (path[s + 1, 3] - path[s, 3])
                    best = min(best, np.sqrt(dx * dx + dy * dy + dz * dz) - radius)
                result[i, j, k] = best
    return result


@numba.njit(cache=True, fastmath=True)
def _ellipsoid_distance(
    points: FloatArray, center: FloatArray, axes: FloatArray, rotation: FloatArray
) -> FloatArray:
    n_i, n_j, n_k = points.shape[:3]
    result = np.empty((n_i, n_j, n_k), dtype=np.float32)
    smallest = min(axes[0], axes[1], axes[2])
    for i in range(n_i):
        for j in range(n_j):
            for k in range(n_k):
                level = np.float32(0.0)
                slope = np.float32(0.0)
                for a in range(3):
                    own = np.float32(0.0)
                    for b in range(3):
                        own += rotation[b, a] * (points[i, j, k, b] - center[b])
                    level += (own / axes[a]) ** 2
                    slope += (own / axes[a] ** 2) ** 2
                level = np.sqrt(level)
                # f = |x/a|; distance ≈ f (f - 1) / |∇(f²/2)|, exact to first order at the surface.
                if level < np.float32(0.2):
                    result[i, j, k] = (level - np.float32(1.0)) * smallest
                else:
                    result[i, j, k] = level * (level - np.float32(1.0)) / np.sqrt(slope)
    return result
