import numpy as np
from numpy.testing import assert_array_equal

from lymphct.learning.tensors import from_network, reversed_axes, to_network


def test_the_voxel_at_i_j_k_is_found_at_k_j_i() -> None:
    array = np.arange(24.0).reshape(4, 3, 2)
    assert to_network(array)[1, 2, 3] == array[3, 2, 1]


def test_going_to_the_network_and_back_changes_nothing_also_with_channels() -> None:
    array = np.arange(120).reshape(5, 4, 3, 2)
    there = to_network(array)
    assert there.shape == (5, 2, 3, 4)
    assert there.flags.c_contiguous
    assert_array_equal(from_network(there), array)


def test_sizes_are_reversed() -> None:
    assert reversed_axes((160, 192, 80)) == (80, 192, 160)
