"""Lymph nodes grown from their peaks, against a plain way to say the same."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.nodes.growth import grown
from lymphct.nodes.instances import find_instances


def plainly(probability: np.ndarray, peak: float, ratio: float) -> set[frozenset[tuple[int, ...]]]:
    """Return the nodes as sets of voxels, one voxel after another."""
    nodes: list[tuple[float, set[tuple[int, ...]]]] = []
    met: set[tuple[int, ...]] = set()
    flat = probability.ravel()
    for index in np.argsort(-flat, kind="stable"):
        voxel, p = tuple(int(n) for n in np.unravel_index(index, probability.shape)), float(flat[index])
        if p < np.float32(peak / ratio):
            break
        around = {
            tuple(np.add(voxel, step).tolist()) for step in product((-1, 0, 1), repeat=3) if any(step)
        } & met
        met.add(voxel)
        growing = [node for node in nodes if node[1] & around and p * ratio >= node[0]]
        if growing:
            first = max(growing, key=lambda node: node[0])
            for node in growing:
                if node is not first:
                    first[1].update(node[1])
                    nodes.remove(node)
            first[1].add(voxel)
        elif not around and p > peak:
            nodes.append((p, {voxel}))
    return {frozenset(voxels) for _, voxels in nodes}


@settings(deadline=None)
@given(
    arrays.arrays(np.float32, (4, 5, 6), elements=st.sampled_from([n / 64 for n in range(65)])),
    st.sampled_from([0.125, 0.25, 0.5, 0.75]),
    st.sampled_from([1.25, 2.0, 4.0]),
)
def test_nodes_are_those_of_the_plain_way(probability: np.ndarray, peak: float, ratio: float) -> None:
    labels = grown(probability, peak=peak, ratio=ratio)
    numbers = np.unique(labels[labels > 0])
    found = {frozenset(map(tuple, np.argwhere(labels == n).tolist())) for n in numbers}
    assert found == plainly(probability, peak, ratio)
    assert numbers.tolist() == list(range(1, len(numbers) + 1))
    tops = [probability[labels == n].max() for n in numbers]
    assert tops == sorted(tops, reverse=True)
    assert all(top > peak for top in tops)


@pytest.mark.parametrize(("ratio", "labels"), [(2.0, [1, 1, 0, 2, 2]), (5.0, [1, 1, 1, 1, 1])])
def test_nodes_that_meet_while_both_grow_are_one(ratio: float, labels: list[int]) -> None:
    row = np.array([[[0.9, 0.5, 0.2, 0.4, 0.6]]], np.float32)
    assert grown(row, peak=0.5, ratio=ratio).ravel().tolist() == labels


def test_what_a_node_left_over_begins_no_other() -> None:
    row = np.array([[[1.0, 0.45, 0.44, 0.43, 0.1]]], np.float32)
    assert grown(row, peak=0.3, ratio=2.0).ravel().tolist() == [1, 0, 0, 0, 0]


def test_an_unsure_node_keeps_its_extent() -> None:
    grid = Geometry(shape=(1, 1, 5), spacing=(3.0, 3.0, 3.0))
    row = Volume(array=np.array([[[0.3, 0.4, 0.55, 0.4, 0.3]]], np.float32), geometry=grid)
    assert find_instances(row, threshold=0.5).nodes == ()  # a single voxel of 27 mm³
    (node,) = find_instances(row, threshold=0.5, growth=2.0).nodes
    assert node.volume == 5 * 27.0


def test_without_a_peak_there_is_no_node() -> None:
    assert not grown(np.full((3, 3, 3), 0.5, np.float32), peak=0.5, ratio=3.0).any()
    assert grown(np.zeros((2, 2, 2), np.float32), peak=0.5, ratio=3.0).dtype == np.int32
