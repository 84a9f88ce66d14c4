"""An atlas fitted where the training patients have lymph nodes (decision 0057).

A penalised logistic regression tells voxels of lymph nodes from other voxels near a guiding structure, by hat
functions of the signed distance to each landmark. It is case-control: as many nodes as background, in sum of
weights, so that the sum of effects is the logarithm of a ratio of densities. The voxels are those of
`attention.sampling`.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

import numpy as np

from lymphct.attention.atlas import KNOTS, LANDMARKS, Atlas
from lymphct.attention.sampling import sampled
from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.leakage import Fitted
from lymphct.core.volume import Volume

STEP: Final = 1.0
"""Standard deviation, in log-odds, of the change of an effect from knot to knot that is expected beforehand.
Not stated in the paper; ours: e-fold within a few mm."""
STEP_AT_BOUNDARY: Final = 3.0
"""The same from just inside to just outside a landmark. Not stated in the paper; ours."""
ITERATIONS: Final = 50
AT_ONCE: Final = 1 << 15
"""Rows of the design that are in memory together."""


def fit_atlas(
    training: Iterable[tuple[Volume, Volume | None, Volume]],
    patients: Iterable[str],
    *,
    outside: float = 0.01,
    faint: float = 0.25,
) -> Fitted[Atlas]:
    """Fit where the lymph nodes of training patients lie, by distances to structures and tumor.

    Args:
        training: per patient what guides, tumor and lymph nodes, as `attention.sampling.sampled` takes them.
        patients: their ids.
        outside: share of the nodes' voxels that may have no attention.
        faint: share of them that may have less than full attention.

    Raises:
        GeometryMismatchError: a mask does not lie on the grid of its structures.
        InputError: no lymph node lies near a guiding structure.

    """
    ids = tuple(patients)
    voxels = sampled(training, ids)
    solution = _solved(*voxels)
    effects = np.round(solution[1:].reshape(len(LANDMARKS), -1), 3) + 0.0
    nodes, of_nodes = voxels.distances[voxels.is_node], voxels.weights[voxels.is_node]
    return Fitted(_as_atlas(effects, nodes, of_nodes, (outside, faint)), frozenset(ids))


def _solved(distances: DoubleArray, is_node: BoolArray, weights: DoubleArray) -> DoubleArray:
    """Return intercept and effects of the largest penalised likelihood, by Newton's method."""
    penalty = _penalty()
    solution = np.zeros(len(penalty))
    loss, gradient, curvature = _likelihood(distances, is_node, weights, solution)
    for _ in range(ITERATIONS):
        slope = gradient + penalty @ solution
        step = np.linalg.solve(curvature + penalty, slope)
        expected = float(slope @ step)
        if expected < 1e-9 * max(loss, 1.0):
            break
        size, before = 1.0, loss + 0.5 * float(solution @ penalty @ solution)
        while True:  # a full step may overshoot far from the optimum
            tried = solution - size * step
            loss, gradient, curvature = _likelihood(distances, is_node, weights, tried)
            if loss + 0.5 * float(tried @ penalty @ tried) <= before or size < 1e-6:
                break
            size /= 2.0
        solution = tried
    return solution


def _penalty() -> DoubleArray:
    """Return the inverse covariance of what is expected beforehand: walks from 0 at the far end."""
    steps = [STEP_AT_BOUNDARY if low < 0.0 < high else STEP for low, high in pairwise(KNOTS)]
    free = len(KNOTS) - 1
    change = np.eye(free) - np.eye(free, k=1)  # row n: from knot n to the next; the last effect is 0
    own = change.T @ np.diag(1.0 / np.square(steps)) @ change
    penalty = np.zeros((1 + len(LANDMARKS) * free,) * 2)
    penalty[1:, 1:] = np.kron(np.eye(len(LANDMARKS)), own)
    penalty[0, 0] = 1e-6  # the intercept is free
    return penalty


def _likelihood(
    distances: DoubleArray, is_node: BoolArray, weights: DoubleArray, solution: DoubleArray
) -> tuple[float, DoubleArray, DoubleArray]:
    """Return the negative log-likelihood, its gradient and its curvature."""
    loss = 0.0
    gradient = np.zeros(len(solution))
    curvature = np.zeros((len(solution),) * 2)
    for rows in _chunks(len(distances)):
        design = np.concatenate([np.ones((rows.stop - rows.start, 1)), _hats(distances[rows])], axis=1)
        score = design @ solution
        truth, weight = is_node[rows], weights[rows]
        loss += float((weight * np.logaddexp(0.0, np.where(truth, -score, score))).sum())
        probability = 0.5 * (1.0 + np.tanh(0.5 * score))
        gradient += design.T @ (weight * (probability - truth))
        curvature += design.T @ (design * (weight * probability * (1.0 - probability))[:, None])
    return loss, gradient, curvature


def _chunks(size: int) -> Iterator[slice]:
    for start in range(0, size, AT_ONCE):
        yield slice(start, min(start + AT_ONCE, size))


def _hats(distances: DoubleArray) -> DoubleArray:
    """Return the hat functions of each landmark: (n, landmarks · free knots); all 0 for what is far."""
    knots = np.array(KNOTS)
    clipped = np.clip(distances, knots[0], knots[-1])[..., None]
    rising = np.diff(knots, prepend=knots[0] - 1.0)
    falling = np.diff(knots, append=knots[-1] + 1.0)
    hats: DoubleArray = np.minimum((clipped - knots) / rising + 1.0, (knots - clipped) / falling + 1.0)
    hats = np.maximum(hats, 0.0)[..., :-1]
    return hats.reshape(len(distances), -1)


def _as_atlas(
    effects: DoubleArray, nodes: DoubleArray, weights: DoubleArray, shares: tuple[float, float]
) -> Atlas:
    """Set the scale of the attention by the nodes an atlas was fitted on."""
    table = np.concatenate([effects, np.zeros((len(effects), 1))], axis=1)
    parts = np.stack([np.interp(nodes[:, n], KNOTS, table[n]) for n in range(len(table))], axis=1)
    is_there = nodes < np.inf
    counts = (weights[:, None] * is_there).sum(axis=0)
    absent = (weights[:, None] * np.where(is_there, parts, 0.0)).sum(axis=0) / np.maximum(counts, 1e-9)
    absent = np.round(absent, 3) + 0.0
    score = np.where(is_there, parts, absent).sum(axis=1)
    least, full = (_quantile(score, weights, share) for share in shares)
    return Atlas(
        effects={name: tuple(row.tolist()) for name, row in zip(LANDMARKS, effects, strict=True)},
        absent=dict(zip(LANDMARKS, absent.tolist(), strict=True)),
        least=float(np.floor(1000.0 * min(least, full)) / 1000.0),
        full=float(np.floor(1000.0 * full) / 1000.0),
    )


def _quantile(values: DoubleArray, weights: DoubleArray, share: float) -> float:
    """Return the largest value below which at most a share of the weight lies."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - weights[order]
    allowed = np.flatnonzero(below <= share * weights.sum())
    return float(values[order][allowed[-1]])
