import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from lymphct.core.arrays import AnyArray
from lymphct.imaging.components import components_by_label, find_components

LABELS = arrays.arrays(
    np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 2)
)


def painted(labels: AnyArray) -> AnyArray:
    components = find_components(labels)
    return components.paint(np.arange(1, len(components.values) + 1))


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_components_are_those_of_an_independent_implementation(labels: AnyArray) -> None:
    expected = cc3d.connected_components(labels, connectivity=26)
    ours = painted(labels)
    pairs = set(zip(ours.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == len(set(ours.ravel().tolist())) == len(set(expected.ravel().tolist()))


@settings(max_examples=30, deadline=None)
@given(LABELS)
def test_sizes_centers_and_labels_are_those_of_the_painted_components(labels: AnyArray) -> None:
    components = find_components(labels)
    image = painted(labels)
    numbers = np.arange(1, len(components.values) + 1)
    np.testing.assert_array_equal(components.voxels, ndimage.sum_labels(image > 0, image, numbers))
    for number in numbers:
        inside = np.argwhere(image == number)
        np.testing.assert_allclose(components.centers[number - 1], inside.mean(axis=0), atol=1e-9)
        assert set(labels[image == number]) == {components.values[number - 1]}


@pytest.mark.parametrize("kind", [np.bool_, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(3, 5, 7), (4, 4, 8), (2, 3, 33), (1, 1, 1)])
def test_runs_of_any_length_and_number_type_are_found_whole(
    kind: type[np.generic], shape: tuple[int, int, int]
) -> None:
    # Long runs, and background across the ends of rows, are read eight bytes at a time.
    rng = np.random.default_rng(1)
    for density in (0.02, 0.3, 0.97):
        plane = rng.integers(1, 3, (shape[0], 1, 1))
        labels = np.sort((rng.random(shape) < density) * plane, axis=2).astype(kind)
        expected, count = cc3d.connected_components(
            np.ascontiguousarray(labels.astype(np.uint8)), connectivity=26, return_N=True
        )
        ours = painted(labels)
        assert ours.max() == count
        np.testing.assert_array_equal(ours > 0, expected > 0)
        assert len(set(zip(ours.ravel().tolist(), expected.ravel().tolist(), strict=True))) == len(
            np.unique(expected)
        )


@settings(max_examples=30, deadline=None)
@given(LABELS)
def test_boxes_are_those_of_an_independent_implementation(labels: AnyArray) -> None:
    components = find_components(labels)
    numbers = range(len(components.values))
    assert [components.box(part) for part in numbers] == ndimage.find_objects(painted(labels).astype(int))
    whole = components_by_label(labels)
    found = {int(label): whole.box(part) for part, label in enumerate(whole.values)}
    boxes = enumerate(ndimage.find_objects(labels), start=1)
    assert found == {label: box for label, box in boxes if box is not None}
    np.testing.assert_array_equal(whole.voxels, [(labels == label).sum() for label in whole.values])
    for part, label in enumerate(whole.values):
        np.testing.assert_allclose(whole.centers[part], np.argwhere(labels == label).mean(axis=0), atol=1e-9)


def test_other_memory_orders_and_strides_are_read_as_they_are_indexed() -> None:
    labels = np.random.default_rng(2).integers(0, 2, (6, 5, 11)).astype(np.uint8)
    expected = painted(labels)
    stored = np.zeros(labels.size + 1, dtype=np.uint16).view(np.uint8)[1 : 1 + 2 * labels.size]
    unaligned = stored.view(np.uint16).reshape(labels.shape)
    unaligned[...] = labels
    for same in (np.asfortranarray(labels), labels[::-1][::-1], unaligned):
        np.testing.assert_array_equal(painted(same), expected)


def test_components_are_numbered_in_scan_order() -> None:
    mask = np.zeros((3, 3, 5), dtype=bool)
    mask[2, 2, 0] = mask[0, 0, 3] = mask[0, 2, 0] = True
    image = painted(mask)
    assert (image[0, 0, 3], image[0, 2, 0], image[2, 2, 0]) == (1, 2, 3)


def test_voxels_that_share_a_corner_are_joined() -> None:
    mask = np.zeros((2, 2, 2), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert find_components(mask).voxels.tolist() == [2]


def test_components_do_not_reach_around_the_edge_of_the_image() -> None:
    mask = np.zeros((2, 3, 1), dtype=bool)
    mask[0, 2, 0] = mask[1, 0, 0] = True  # neighbours in memory, far apart in space
    assert find_components(mask).voxels.tolist() == [1, 1]


def test_an_empty_mask_has_no_components() -> None:
    components = find_components(np.zeros((2, 3, 4), dtype=bool))
    assert len(components.values) == 0
    assert not components.paint(np.zeros(0, dtype=np.int64)).any()


@pytest.mark.parametrize(("largest", "dtype"), [(65_535, np.uint16), (65_536, np.int32)])
def test_the_image_is_as_narrow_as_its_numbers_allow(largest: int, dtype: type) -> None:
    image = find_components(np.ones((1, 1, 1), dtype=bool)).paint(np.array([largest]))
    assert image.dtype == dtype
    assert image.max() == largest
