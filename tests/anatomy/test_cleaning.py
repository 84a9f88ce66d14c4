import cc3d
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_array_equal

from lymphct.anatomy.cleaning import keep_large_components
from lymphct.core.arrays import AnyArray

LABELS = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.sampled_from([0, 0, 0, 1, 4]),
)


@settings(max_examples=40, deadline=None)
@given(LABELS, st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_a_component_stays_if_it_has_the_share_of_its_largest(labels: AnyArray, share: float) -> None:
    components = cc3d.connected_components(labels, connectivity=26)
    sizes = np.bincount(components.ravel())
    expected = labels.copy()
    for number in range(1, len(sizes)):
        label = labels[components == number][0]
        largest = max(sizes[n] for n in np.unique(components[labels == label]))
        if sizes[number] < share * largest:
            expected[components == number] = 0
    assert_array_equal(keep_large_components(labels, share), expected)


def test_touching_structures_do_not_hold_each_other() -> None:
    labels = np.zeros((8, 3, 3), dtype=np.uint8)
    labels[:4] = 1
    labels[4:6] = 2
    labels[7, 1, 1] = 1  # a crumb of the first beyond the second
    cleaned = keep_large_components(labels, 0.1)
    assert cleaned[7, 1, 1] == 0
    assert (cleaned == 2).sum() == 18


def test_the_input_is_not_written_to() -> None:
    labels = np.zeros((4, 1, 1), dtype=np.uint8)
    labels[[0, 2, 3]] = 1
    labels.flags.writeable = False
    assert keep_large_components(labels, 1.0).ravel().tolist() == [0, 0, 1, 1]


def test_an_empty_map_stays_empty() -> None:
    assert not keep_large_components(np.zeros((3, 3, 3), dtype=bool), 1.0).any()
