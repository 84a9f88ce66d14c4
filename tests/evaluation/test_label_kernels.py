"""The compiled passes over two label maps against counts by hand and by NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.arrays import LabelArray
from lymphct.evaluation.label_kernels import joint_runs, scan, words_of

PREDICTION = np.array([[[0, 1, 1, 0, 0], [2, 0, 0, 0, 3]]], dtype=np.uint8)
TRUTH = np.array([[[0, 0, 1, 1, 0], [2, 2, 0, 0, 0]]], dtype=np.uint8)


def sparse(seed: int, kind: type[np.integer]) -> LabelArray:
    rng = np.random.default_rng(seed)
    labels = np.zeros((5, 7, 19), dtype=kind)
    labels[rng.random(labels.shape) < 0.1] = rng.integers(1, 5)
    labels[2, 3, 4:15] = 4
    return labels


def test_voxels_of_each_label_are_counted_in_either_map_and_in_both() -> None:
    counts, starts, stops, lowest = scan(PREDICTION, TRUTH, np.array([1, 2, 3]))
    assert counts.tolist() == [[2, 2, 1], [1, 2, 1], [1, 0, 0]]
    assert starts.tolist() == [[0, 0, 1], [0, 1, 0], [0, 1, 4]]
    assert stops.tolist() == [[1, 1, 4], [1, 2, 2], [1, 2, 5]]
    assert lowest == 0


def test_a_negative_label_is_reported_as_the_lowest() -> None:
    assert scan(-PREDICTION.astype(np.int32), TRUTH.astype(np.int32), np.array([1]))[3] == -3


def test_runs_of_equal_pairs_leave_only_common_background_out() -> None:
    predicted, true, lengths = joint_runs(PREDICTION, TRUTH)
    assert list(zip(predicted.tolist(), true.tolist(), lengths.tolist(), strict=True)) == [
        (1, 0, 1),
        (1, 1, 1),
        (0, 1, 1),
        (2, 2, 1),
        (0, 2, 1),
        (3, 0, 1),
    ]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("seed", range(3))
def test_words_of_any_label_size_hide_no_voxel(kind: type[np.integer], seed: int) -> None:
    prediction, truth = sparse(seed, kind), sparse(seed + 10, kind)
    wanted = np.arange(1, 5)
    counts, starts, stops, _ = scan(prediction, truth, wanted)
    for slot, label in enumerate(wanted):
        p, t = prediction == label, truth == label
        assert counts[slot].tolist() == [p.sum(), t.sum(), (p & t).sum()]
        if (p | t).any():
            found = np.argwhere(p | t)
            assert_array_equal(starts[slot], found.min(axis=0))
            assert_array_equal(stops[slot], found.max(axis=0) + 1)
    predicted, true, lengths = joint_runs(prediction, truth)
    joint = np.zeros((5, 5), dtype=np.int64)
    np.add.at(joint, (predicted, true), lengths)
    expected = np.zeros_like(joint)
    np.add.at(expected, (prediction.ravel(), truth.ravel()), 1)
    expected[0, 0] = 0
    assert_array_equal(joint, expected)


def test_more_runs_than_first_room_was_made_for_are_all_kept() -> None:
    stripes = (np.arange(6000) % 2).astype(np.uint8).reshape(1, 2, 3000)
    assert joint_runs(stripes, stripes)[2].sum() == 3000


def test_words_are_whole_and_leave_a_rest_of_up_to_seven_bytes() -> None:
    assert words_of(np.zeros((1, 3, 5), dtype=np.uint8)).size == 1
    assert words_of(np.zeros((1, 3, 5), dtype=np.uint16)).size == 3
