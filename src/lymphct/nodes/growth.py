"""Lymph nodes grown from their peaks: each down to a share of its own peak, not to one threshold for all.

Not from the paper: after candidates of pancreatic lesions that grow while p ≥ peak/α (decision 0050). A node
the network is half sure of keeps its whole extent, and two nodes that touch at a low probability stay apart.
"""

import numba
import numpy as np
import numpy.typing as npt

from lymphct.core.arrays import FloatArray

_DEAD = -1
"""Label of a voxel that was met and belongs to no node."""


def grown(probability: FloatArray, *, peak: float, ratio: float) -> npt.NDArray[np.int32]:
    """Label the nodes of a probability map: 0 none, else a number in the order of peaks, the highest first.

    Voxels are met from the highest probability down. One without a neighbour (26) that was met before begins
    a node if it is above `peak`. A node takes the neighbours it meets while their p ≥ its own peak/ratio;
    where two still growing nodes meet they become one, with the higher peak. What no growing node takes
    belongs to none.

    Args:
        probability: (i, j, k), 0 to 1.
        peak: a node has a voxel above it.
        ratio: above 1.

    >>> grown(np.array([[[0.9, 0.5, 0.2, 0.4, 0.6]]], np.float32), peak=0.5, ratio=2.0).ravel().tolist()
    [1, 1, 0, 2, 2]
    """
    values = np.ascontiguousarray(probability, dtype=np.float32)
    flat = values.reshape(-1)
    candidates = np.flatnonzero(flat >= peak / ratio)
    order = candidates[np.argsort(-flat[candidates], kind="stable")]
    labels = np.zeros(values.shape, dtype=np.int32)
    _grow(values, order, np.float32(peak), ratio, labels)
    return labels


@numba.njit(cache=True)
def _grow(
    values: FloatArray, order: npt.NDArray[np.int64], peak: float, ratio: float, labels: npt.NDArray[np.int32]
) -> None:
    nj, nk = values.shape[1:]
    peaks = np.zeros(order.size + 1, dtype=np.float32)
    parent = np.arange(order.size + 1, dtype=np.int32)
    count = 0
    for index in order:
        i, j, k = index // (nj * nk), index // nk % nj, index % nk
        p = values[i, j, k]
        has_met, best = _taken_by(labels, parent, peaks, (i, j, k), p * ratio)
        if best > 0:
            labels[i, j, k] = best
        elif not has_met and p > peak:
            count += 1
            peaks[count] = p
            labels[i, j, k] = count
        else:
            labels[i, j, k] = _DEAD
    _number(labels, parent, count)


@numba.njit(cache=True)
def _taken_by(
    labels: npt.NDArray[np.int32],
    parent: npt.NDArray[np.int32],
    peaks: npt.NDArray[np.float32],
    voxel: tuple[int, int, int],
    highest: float,
) -> tuple[bool, int]:
    """Return whether a neighbour was met, and the node that takes the voxel; growing neighbours become one.

    A node grows while its peak is at most `highest`. The older one, whose peak is higher, takes the other.
    """
    ni, nj, nk = labels.shape
    i, j, k = voxel
    has_met, best = False, 0
    for a in range(max(i - 1, 0), min(i + 2, ni)):
        for b in range(max(j - 1, 0), min(j + 2, nj)):
            for c in range(max(k - 1, 0), min(k + 2, nk)):
                label = labels[a, b, c]
                has_met |= label != 0
                root = _root(parent, label) if label > 0 else 0
                if root in (0, best) or peaks[root] > highest:
                    continue
                if best > 0:
                    parent[max(best, root)] = min(best, root)
                best = root if best == 0 else min(best, root)
    return has_met, best


@numba.njit(cache=True)
def _number(labels: npt.NDArray[np.int32], parent: npt.NDArray[np.int32], count: int) -> None:
    """Number the nodes that are left from 1, in place."""
    numbers = np.zeros(count + 1, dtype=np.int32)
    kept = 0
    for label in range(1, count + 1):
        if parent[label] == label:
            kept += 1
            numbers[label] = kept
    flat = labels.reshape(-1)
    for index in range(flat.size):
        label = flat[index]
        flat[index] = numbers[_root(parent, label)] if label > 0 else 0


@numba.njit(cache=True)
def _root(parent: npt.NDArray[np.int32], label: int) -> int:
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label
