"""An atlas fitted where the training patients have lymph nodes (decision 0057).

A penalised logistic regression tells voxels of lymph nodes from other voxels near a guiding structure, by hat
functions of the signed distance to each landmark. It is case-control: as many nodes as background, in sum of
weights, so that the sum of effects is the logarithm of a ratio of densities. Every node weighs the same,
whatever its size. Nothing is drawn by chance, and the order of patients changes nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from lymphct.attention.atlas import KNOTS, LANDMARKS, Atlas
from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, IntArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import Fitted
from lymphct.core.volume import Volume
from lymphct.imaging.distance import mask_distances, structure_distances

OF_A_NODE: Final = 64
"""Voxels of a lymph node that are measured, at most; evenly spread. Not stated in the paper; ours."""
OF_A_PATIENT: Final = 4000
"""Voxels of the image that stand for the background, evenly spread; those near a structure count. Not stated
in the paper; ours."""
STEP: Final = 1.0
"""Standard deviation, in log-odds, of the change of an effect from knot to knot that is expected beforehand.
Not stated in the paper; ours: e-fold within a few mm."""
STEP_AT_BOUNDARY: Final = 3.0
"""The same from just inside to just outside a landmark. Not stated in the paper; ours."""
ITERATIONS: Final = 50
AT_ONCE: Final = 1 << 15
"""Rows of the design that are in memory together."""
_GOLDEN: Final = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class _Sample:
    """Voxels of one patient: distances (n, landmarks), which are of nodes, and what each weighs."""

    distances: DoubleArray
    is_node: BoolArray
    weights: DoubleArray


def fit_atlas(
    training: Iterable[tuple[Volume, Volume | None, Volume]],
    patients: Iterable[str],
    *,
    outside: float = 0.01,
    faint: float = 0.25,
) -> Fitted[Atlas]:
    """Fit where the lymph nodes of training patients lie, by distances to structures and tumor.

    Args:
        training: per patient the label map that guides (`attention.mapping.guided_by`), the tumor mask or
            None, and the map of lymph nodes on one grid: a number above 0 for each, 0 beside them,
            below 0 where nobody looked for them.
        patients: their ids.
        outside: share of the nodes' voxels that may have no attention.
        faint: share of them that may have less than full attention.

    Raises:
        GeometryMismatchError: a mask does not lie on the grid of its structures.
        InputError: no lymph node lies near a guiding structure.

    """
    ids = tuple(patients)
    found = {name: _sample(*drawn) for name, drawn in zip(ids, training, strict=True)}
    samples = [found[name] for name in sorted(found)]  # sums do not depend on who came first
    distances = np.concatenate([sample.distances for sample in samples] or [np.empty((0, len(LANDMARKS)))])
    is_node = np.concatenate([sample.is_node for sample in samples] or [np.empty(0, np.bool_)])
    weights = np.concatenate([sample.weights for sample in samples] or [np.empty(0)])
    if not is_node.any() or is_node.all():
        msg = "an atlas cannot be fitted: nobody has a lymph node near a guiding structure"
        cure = "train on patients with drawn lymph nodes, structures and tumor, or set attention.prior=bands"
        raise InputError(msg, code="E_ATLAS", cure=cure)
    weights[~is_node] *= weights[is_node].sum() / weights[~is_node].sum()
    solution = _solved(distances, is_node, weights)
    effects = np.round(solution[1:].reshape(len(LANDMARKS), -1), 3) + 0.0
    nodes, of_nodes = distances[is_node], weights[is_node]
    return Fitted(_as_atlas(effects, nodes, of_nodes, (outside, faint)), frozenset(ids))


def _sample(structures: Volume, tumor: Volume | None, nodes: Volume) -> _Sample:
    nodes.require_same_grid(structures, name="lymph node mask", reference="structures")
    if tumor is not None:
        tumor.require_same_grid(structures, name="tumor mask", reference="structures")
    places, of_nodes = _node_voxels(nodes.array)
    background = _spread(nodes.array.size, OF_A_PATIENT)
    background = background[nodes.array.ravel()[background] == 0]
    flat = np.concatenate([places, background])
    index = np.stack(np.unravel_index(flat, nodes.array.shape), axis=1)
    positions = structures.geometry.world(index)
    columns = [structure_distances(structures, positions)]
    columns.append(
        np.full((len(flat), 1), np.inf) if tumor is None else mask_distances(tumor, positions)[:, None]
    )
    distances = np.concatenate(columns, axis=1)
    is_node = np.arange(len(flat)) < len(places)
    near = (distances[:, :-1] < KNOTS[-1]).any(axis=1)
    others = max(int((near & ~is_node).sum()), 1)
    weights = np.concatenate([of_nodes, np.full(len(background), 1.0 / others)])
    return _Sample(distances[near], is_node[near], weights[near])


def _node_voxels(nodes: AnyArray) -> tuple[IntArray, DoubleArray]:
    """Return voxels of every node, evenly spread over it, and weights of which those of a node sum to 1."""
    line = nodes.ravel()
    places = np.flatnonzero(line > 0)
    labels = line[places]
    kept, weights = [], []
    for label in np.unique(labels):
        own = places[labels == label]
        own = own[_spread(len(own), OF_A_NODE)]
        kept.append(own)
        weights.append(np.full(len(own), 1.0 / len(own)))
    return (
        np.concatenate(kept or [np.empty(0, np.int64)]),
        np.concatenate(weights or [np.empty(0)]),
    )


def _spread(size: int, count: int) -> IntArray:
    """Return up to `count` places below `size`, rising: multiples of the golden ratio spread evenly."""
    if size <= count:
        return np.arange(size)
    fractions = np.modf(np.arange(1, count + 1) * _GOLDEN)[0]
    return np.unique((fractions * size).astype(np.int64))


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
