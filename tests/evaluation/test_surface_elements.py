from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from surface_distance import lookup_tables

from lymphct.core.arrays import Vector3
from lymphct.evaluation.surface_elements import CORNERS, element_areas


def case(*inside: tuple[int, int, int]) -> int:
    return sum(1 << CORNERS.index(corner) for corner in inside)


def test_one_corner_is_cut_off_by_a_triangle_through_three_midpoints() -> None:
    # Midpoints (1/2, 0, 0), (0, 1/2, 0), (0, 0, 1/2): equilateral with side sqrt(1/2), area sqrt(3)/8.
    assert element_areas((1.0, 1.0, 1.0))[case((0, 0, 0))] == pytest.approx(np.sqrt(3) / 8)


def test_a_flat_face_has_the_area_of_a_voxel_face_in_mm2() -> None:
    areas = element_areas((0.68, 0.7, 0.8))
    lower = [corner for corner in CORNERS if corner[2] == 0]
    assert areas[case(*lower)] == pytest.approx(0.68 * 0.7)


def test_no_surface_runs_where_all_corners_are_alike() -> None:
    areas = element_areas((0.68, 0.68, 0.8))
    assert areas[0] == areas[255] == 0.0
    assert (areas[1:255] > 0).all()


def test_inside_and_outside_have_the_same_surface() -> None:
    areas = element_areas((0.68, 0.7, 0.8))
    assert_allclose(areas, areas[::-1])


def test_swapping_axes_swaps_areas() -> None:
    spacing = (0.6, 0.8, 1.5)
    areas = element_areas(spacing)
    for order in permutations(range(3)):
        swapped = element_areas((spacing[order[0]], spacing[order[1]], spacing[order[2]]))
        for number in range(256):
            inside = [corner for bit, corner in enumerate(CORNERS) if number >> bit & 1]
            moved = [(corner[order[0]], corner[order[1]], corner[order[2]]) for corner in inside]
            assert swapped[case(*moved)] == pytest.approx(areas[number])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.68, 0.68, 0.8), (3.0, 0.5, 1.7)])
def test_all_256_areas_are_those_of_surface_distance(spacing: Vector3) -> None:
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    weights = np.ravel(lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL)  # in the order i, j, k
    codes = [sum(int(weights[bit]) for bit in range(8) if number >> bit & 1) for number in range(256)]
    assert_allclose(element_areas(spacing), theirs[codes], atol=1e-12)
