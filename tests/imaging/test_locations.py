import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from lymphct.imaging.locations import LOCATIONS, alike, class_locations, lit_locations, some_of


def test_locations_count_voxels_in_the_order_of_the_networks() -> None:
    labels = np.zeros((5, 4, 3), np.uint8)
    labels[1, 2, 0] = 9
    labels[4, 0, 2] = 9
    labels[0, 3, 1] = 2
    found = class_locations(labels)
    assert set(found) == {2, 9}
    k, j, i = np.unravel_index(found[9], labels.shape[::-1])
    assert_array_equal(np.stack([i, j, k], axis=1), [[1, 2, 0], [4, 0, 2]])
    assert_array_equal(found[2], [1 * 20 + 3 * 5 + 0])


def test_the_memory_order_of_a_label_map_does_not_matter() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (9, 8, 7)).astype(np.int32)
    expected = class_locations(labels)
    found = class_locations(np.asfortranarray(labels))
    assert list(found) == list(expected) == [1, 2, 3]
    for number, voxels in expected.items():
        assert_array_equal(found[number], voxels)


def test_background_is_no_class_and_255_is_a_number_like_others() -> None:
    labels = np.array([[[0, 255, 1]]], np.uint8)
    assert list(class_locations(labels)) == [1, 255]
    assert class_locations(np.zeros((2, 2, 2), np.uint8)) == {}


def test_of_many_voxels_the_same_ten_thousand_are_remembered_sorted() -> None:
    voxels = np.arange(0, 90_000, 3)
    chosen = some_of(voxels)
    assert len(chosen) == LOCATIONS
    assert np.all(np.diff(chosen) > 0)
    assert np.isin(chosen, voxels).all()
    assert_array_equal(chosen, some_of(voxels))
    assert_array_equal(some_of(voxels[:LOCATIONS]), voxels[:LOCATIONS])
    # They come from everywhere.
    assert np.histogram(chosen, bins=9, range=(0, 90_000))[0].min() > 1_000


def test_voxels_with_attention_are_those_above_zero() -> None:
    attention = np.zeros((4, 3, 2), np.float32)
    attention[2, 1, 1] = 1e-6
    assert_array_equal(lit_locations(attention), [1 * 12 + 1 * 4 + 2])


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_every_group_is_there_as_often_as_any_other_and_nothing_is_made_up(sizes: list[int]) -> None:
    starts = np.cumsum([0, *sizes])
    groups = [np.arange(start, start + size) for start, size in zip(starts, sizes, strict=False)]
    found = alike(groups)
    owner = np.searchsorted(starts, found, side="right") - 1
    share = min(max(sizes), LOCATIONS // len(sizes))
    assert np.bincount(owner, minlength=len(sizes)).tolist() == [share] * len(sizes)
    assert (np.diff(found) >= 0).all()
    for number, group in enumerate(groups):  # and no voxel of a group is left out without need
        kept = np.unique(found[owner == number])
        assert len(kept) == min(len(group), share)
        assert np.isin(kept, group).all()
