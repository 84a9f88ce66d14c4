"""The compiled loops of the surface distances, on images small enough to draw."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from lymphct.evaluation.surface_kernels import LabelBox, mark_elements, mark_voxels, marked, search

MARGIN = (1, 1, 1)


def cube() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    labels = np.zeros((7, 6, 8), dtype=np.uint8)
    labels[1:5, 1:5, 2:6] = 3
    return labels


def test_the_boundary_voxels_of_a_cube_are_its_shell() -> None:
    labels = cube()
    marks = np.zeros((6, 6, 6), dtype=np.uint8)
    shell = mark_voxels(labels, LabelBox(3, (1, 1, 2), (5, 5, 6)), MARGIN, marks, 1)
    assert len(shell) == 4**3 - 2**3
    inner = ndimage.binary_erosion(labels == 3)
    expected = ((labels == 3) & ~inner)[1:5, 1:5, 2:6]
    assert_array_equal(marks[1:5, 1:5, 1:5] == 1, expected)


def test_a_voxel_at_the_border_of_the_image_is_boundary() -> None:
    labels = np.ones((3, 3, 3), dtype=np.uint8)
    marks = np.zeros((3, 3, 3), dtype=np.uint8)
    assert len(mark_voxels(labels, LabelBox(1, (0, 0, 0), (3, 3, 3)), (0, 0, 0), marks, 2)) == 26
    assert marks[1, 1, 1] == 0


def test_bits_of_two_maps_stand_beside_each_other() -> None:
    labels = cube()
    box = LabelBox(3, (1, 1, 2), (5, 5, 6))
    marks = np.zeros((6, 6, 6), dtype=np.uint8)
    mark_voxels(labels, box, MARGIN, marks, 1)
    mark_voxels(labels, box, MARGIN, marks, 2)
    assert set(np.unique(marks)) == {0, 3}


def test_around_one_voxel_lie_eight_elements_with_one_corner_inside_each() -> None:
    labels = np.zeros((3, 3, 3), dtype=np.uint8)
    labels[1, 1, 1] = 1
    marks = np.zeros((2, 2, 2), dtype=np.uint8)
    cases = mark_elements(labels, LabelBox(1, (1, 1, 1), (2, 2, 2)), (0, 0, 0), marks, 1)
    assert sorted(cases.tolist()) == [1, 2, 4, 8, 16, 32, 64, 128]
    assert marks.all()


def test_more_elements_than_first_room_was_made_for_are_all_kept() -> None:
    labels = (np.indices((12, 12, 12)).sum(axis=0) % 2).astype(np.uint8)
    marks = np.zeros((13, 13, 13), dtype=np.uint8)
    cases = mark_elements(labels, LabelBox(1, (0, 0, 0), (12, 12, 12)), (0, 0, 0), marks, 1)
    assert len(cases) == np.count_nonzero(marks) > 1024


def test_marked_places_are_listed_in_order() -> None:
    marks = np.array([[[0, 1, 2, 3]]], dtype=np.uint8)
    assert marked(marks.reshape(-1), 1, 2).tolist() == [1, 3]
    assert marked(marks.reshape(-1), 2, 2).tolist() == [2, 3]


@pytest.mark.parametrize(("at", "expected"), [(5, 0.0), (4, 0.8), (2, -1.0)])
def test_the_first_step_that_meets_the_other_surface_gives_the_distance(at: int, expected: float) -> None:
    marks = np.zeros(10, dtype=np.uint8)
    marks[5] = 2
    steps, lengths = np.array([-1, 1, 2]), np.array([0.8, 0.8, 1.6])
    own = np.array([at])
    # From place 2 the steps reach 1, 3 and 4 only: nothing is found.
    assert_allclose(search(marks, own, 2, steps, lengths), [expected])
