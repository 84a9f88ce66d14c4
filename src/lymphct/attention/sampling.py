"""Voxels of training patients that teach where lymph nodes lie, with their distances to every landmark.

Every node weighs the same, whatever its size, and nodes as much as the background near a guiding structure.
Nothing is drawn by chance, and the order of patients changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from lymphct.attention.atlas import KNOTS, LANDMARKS
from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray, IntArray
from lymphct.core.errors import InputError
from lymphct.core.volume import Volume
from lymphct.imaging.distance import mask_distances, structure_distances

REACH: Final = KNOTS[-1]
"""The background are voxels nearer to a guiding structure than this, mm. Not stated in the paper; ours."""
OF_A_NODE: Final = 64
"""Voxels of a lymph node that are measured, at most; evenly spread. Not stated in the paper; ours."""
OF_A_PATIENT: Final = 4000
"""Voxels of the image that stand for the background, evenly spread; those near a structure count. Not stated
in the paper; ours."""
_GOLDEN: Final = 0.6180339887498949


class Voxels(NamedTuple):
    """Voxels that teach.

    Attributes:
        distances: signed, mm, shape (n, landmarks), in the order of `LANDMARKS`; +inf to an absent one.
        is_node: which are of lymph nodes, shape (n,).
        weights: what each counts, shape (n,).

    """

    distances: DoubleArray
    is_node: BoolArray
    weights: DoubleArray


def sampled(training: Iterable[tuple[Volume, Volume | None, Volume]], ids: Sequence[str]) -> Voxels:
    """Return the voxels of all patients, in the order of their ids.

    Args:
        training: per patient the label map that guides (`attention.mapping.guided_by`), the tumor mask or
            None, and the map of lymph nodes on one grid: a number above 0 for each, 0 beside them,
            below 0 where nobody looked for them.
        ids: of the patients.

    Raises:
        GeometryMismatchError: a mask does not lie on the grid of its structures.
        InputError: no lymph node lies near a guiding structure.

    """
    found = {name: sample(*drawn) for name, drawn in zip(ids, training, strict=True)}
    samples = [found[name] for name in sorted(found)]  # sums do not depend on who came first
    distances = np.concatenate([each.distances for each in samples] or [np.empty((0, len(LANDMARKS)))])
    is_node = np.concatenate([each.is_node for each in samples] or [np.empty(0, np.bool_)])
    weights = np.concatenate([each.weights for each in samples] or [np.empty(0)])
    if not is_node.any() or is_node.all():
        msg = (
            "nothing can be fitted to where lymph nodes lie: nobody has a lymph node near a guiding structure"
        )
        cure = "train on patients with drawn lymph nodes, structures and tumor, or set attention.prior=bands"
        raise InputError(msg, code="E_PRIOR", cure=cure)
    weights[~is_node] *= weights[is_node].sum() / weights[~is_node].sum()
    return Voxels(distances, is_node, weights)


def sample(structures: Volume, tumor: Volume | None, nodes: Volume) -> Voxels:
    """Return the voxels of one patient whose nodes and whose background teach, see `sampled`."""
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
    near = (distances[:, :-1] < REACH).any(axis=1)
    others = max(int((near & ~is_node).sum()), 1)
    weights = np.concatenate([of_nodes, np.full(len(background), 1.0 / others)])
    return Voxels(distances[near], is_node[near], weights[near])


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
