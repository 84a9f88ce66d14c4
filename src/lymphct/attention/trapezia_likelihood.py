"""How well trapezia tell lymph nodes from background, and which way they would tell it better.

The score of a structure is Eq. 1 in a form without cases: the clipped inner ramp plus the clipped outer one,
minus 1. Joined are scores as in Eq. 2. Corners of the clip and of the maximum can be rounded, so that a
structure learns from voxels that are not on its ramps, or that another one lights now.
"""

from typing import NamedTuple

import numba
import numpy as np

from lymphct.attention.sampling import Voxels
from lymphct.core.arrays import DoubleArray


class Softness(NamedTuple):
    """How far corners are rounded; 0 is Eq. 1 and Eq. 2 as they are.

    Attributes:
        ramp: on both sides of each corner of a trapezium, widths of its ramp.
        maximum: attention by which a structure must lead to outweigh another e-fold.

    """

    ramp: float
    maximum: float


@numba.njit(cache=True, error_model="numpy")
def cross_entropy(
    voxels: Voxels, shapes: DoubleArray, odds: tuple[float, float], softness: Softness
) -> tuple[float, DoubleArray]:
    """Return the cross entropy of P(lymph node | attention), and its gradient.

    Args:
        voxels: distances to as many structures as there are shapes.
        shapes: d_min, d_max and width of the ramps of each structure, mm, shape (structures, 3).
        odds: log-odds where the attention is 0, and how much they rise to where it is 1.
        softness: of the trapezia and of their maximum.

    Returns:
        Weighted sum, and its derivatives: of the shapes, row by row, then of the odds.

    """
    count = len(shapes)
    scores, shares = np.zeros(count), np.zeros(count)
    slopes = np.zeros((count, 3))
    gradient = np.zeros(3 * count + 2)
    loss = 0.0
    for n in range(len(voxels.weights)):
        own = -1
        for s in range(count):
            distance = voxels.distances[n, s]
            scores[s] = _score(distance, shapes[s], softness.ramp, slopes[s])
            own = s if distance < 0.0 else own
        attention = _joined(scores, own, softness.maximum, shares)
        logit = odds[0] + odds[1] * attention
        against = -logit if voxels.is_node[n] else logit
        loss += voxels.weights[n] * (max(against, 0.0) + np.log1p(np.exp(-abs(logit))))
        truth = 1.0 if voxels.is_node[n] else 0.0
        excess = voxels.weights[n] * (0.5 * (1.0 + np.tanh(0.5 * logit)) - truth)
        gradient[3 * count] += excess
        gradient[3 * count + 1] += excess * attention
        for s in range(count):
            if shares[s] != 0.0:
                for part in range(3):
                    gradient[3 * s + part] += excess * odds[1] * shares[s] * slopes[s, part]
    return loss, gradient


@numba.njit(cache=True, error_model="numpy")
def _score(distance: float, shape: DoubleArray, soft: float, slope: DoubleArray) -> float:
    """Return the score of a distance (Eq. 1), and write its derivatives of d_min, d_max and the ramp."""
    slope[:] = 0.0
    d_min, d_max, ramp = shape
    inner, outer = 1.0 + (distance - d_min) / ramp, 1.0 + (d_max - distance) / ramp
    if inner <= -soft or outer <= -soft:
        return 0.0
    in_score, in_slope = _clipped(inner, soft)
    out_score, out_slope = _clipped(outer, soft)
    score: float = in_score + out_score - 1.0
    if score <= 0.0:
        return 0.0
    slope[0], slope[1] = -in_slope / ramp, out_slope / ramp
    slope[2] = (in_slope * (1.0 - inner) + out_slope * (1.0 - outer)) / ramp
    return score


@numba.njit(cache=True, error_model="numpy")
def _clipped(value: float, soft: float) -> tuple[float, float]:
    """Return a value clipped to [0, 1], and the derivative of that."""
    low, low_slope = _positive(value, soft)
    high, high_slope = _positive(value - 1.0, soft)
    return low - high, low_slope - high_slope


@numba.njit(cache=True, error_model="numpy")
def _positive(value: float, soft: float) -> tuple[float, float]:
    """Return what of a value is above 0, by a parabola up to `soft` on both sides, and the derivative."""
    if value >= soft:
        return value, 1.0
    if value <= -soft:
        return 0.0, 0.0
    above = value + soft
    return above * above / (4.0 * soft), above / (2.0 * soft)


@numba.njit(cache=True, error_model="numpy")
def _joined(scores: DoubleArray, own: int, soft: float, shares: DoubleArray) -> float:
    """Return the attention (Eq. 2), and write its derivative of each score.

    Inside a structure, `own`, it is that one's score; elsewhere the largest, or the mean with weights that
    rise e-fold per `soft`.
    """
    shares[:] = 0.0
    if own >= 0:
        shares[own] = 1.0
        return float(scores[own])
    largest = float(scores.max())
    if largest <= 0.0 or soft <= 0.0:
        shares[scores.argmax()] = 1.0
        return largest
    total, mean = 0.0, 0.0
    for s in range(len(scores)):
        shares[s] = np.exp((scores[s] - largest) / soft)
        total += shares[s]
        mean += shares[s] * scores[s]
    mean /= total
    for s in range(len(scores)):
        shares[s] = shares[s] / total * (1.0 + (scores[s] - mean) / soft)
    return mean
