import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from lymphct.core.arrays import Index3
from lymphct.core.geometry import Geometry
from lymphct.report.reduction import Box, Cells, box_around, levels

GRID = Geometry(
    shape=(8, 6, 5),
    spacing=(0.7, 0.7, 2.5),
    origin=(10.0, -4.0, 3.0),
    direction=((0, 1, 0), (1, 0, 0), (0, 0, 1)),
)


def along_i(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1)


def cells(stop: Index3, counts: Index3, start: Index3 = (0, 0, 0)) -> Cells:
    return Cells(box=Box(start=start, stop=stop), counts=counts)


def test_a_cell_holds_the_mean_of_what_it_covers_by_hand() -> None:
    halves = cells((4, 1, 1), (2, 1, 1)).averaged(along_i(0, 2, 4, 6))
    assert halves.ravel().tolist() == [1, 5]
    # 3 voxels, 2 cells of 1.5: (0 + 3/2) / 1.5 and (3/2 + 6) / 1.5
    shared = cells((3, 1, 1), (2, 1, 1)).averaged(along_i(0, 3, 6))
    assert_allclose(shared.ravel(), [1, 5])
    assert cells((3, 1, 1), (2, 1, 1), start=(1, 0, 0)).averaged(along_i(9, 5, 7)).ravel().tolist() == [5, 7]


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 5))
def test_averaging_keeps_the_mean_and_the_outer_faces(i: int, j: int, k: int) -> None:
    array = np.random.default_rng(3).normal(0, 300, GRID.shape)
    reduced = cells(GRID.shape, (i, j, k))
    assert_allclose(reduced.averaged(array).mean(), array.mean(), atol=0.01)
    grid = reduced.grid(GRID)
    assert_allclose(grid.size, GRID.size)
    assert_allclose(grid.world((-0.5, -0.5, -0.5)), GRID.world((-0.5, -0.5, -0.5)), atol=1e-9)


def test_as_many_cells_as_voxels_change_nothing() -> None:
    array = np.arange(240, dtype=np.int16).reshape(GRID.shape)
    same = Cells.of(Box(start=(0, 0, 0), stop=GRID.shape), GRID.spacing, 0.0)
    assert (same.counts, same.grid(GRID)) == (GRID.shape, GRID)
    assert (same.averaged(array) == array).all()
    assert (same.sampled(array) == array).all()


def test_cells_are_never_finer_than_voxels() -> None:
    box = Box(start=(0, 0, 0), stop=GRID.shape)
    assert Cells.of(box, GRID.spacing, 1.4).counts == (4, 3, 5)
    assert Cells.of(box, GRID.spacing, 0.1).counts == GRID.shape
    assert Cells.of(box, GRID.spacing, 100.0).counts == (1, 1, 1)


def test_labels_are_taken_from_the_middle_of_a_cell_and_never_mixed() -> None:
    labels = np.array([1, 1, 1, 9, 9, 9], dtype=np.uint8).reshape(6, 1, 1)
    assert cells((6, 1, 1), (2, 1, 1)).sampled(labels).ravel().tolist() == [1, 9]
    assert cells((6, 1, 1), (4, 1, 1)).sampled(labels).ravel().tolist() == [1, 1, 9, 9]


@pytest.mark.parametrize(
    ("index", "cell"), [((2.0, 0, 0), 0), ((4.0, 0, 0), 1), ((99.0, 0, 0), 1), ((-9.0, 0, 0), 0)]
)
def test_a_place_lies_in_the_cell_around_it_or_in_the_nearest(
    index: tuple[float, float, float], cell: int
) -> None:
    assert cells((6, 1, 1), (2, 1, 1), start=(1, 0, 0)).cell_of(index) == (cell, 0, 0)


def test_a_box_holds_what_is_marked_and_a_margin_inside_the_image() -> None:
    mask = np.zeros((9, 9, 9), dtype=bool)
    assert box_around(mask, (1, 1, 1)) is None
    mask[4, 0:3, 8] = True
    assert box_around(mask, (2, 1, 1)) == Box(start=(2, 0, 7), stop=(7, 4, 9))
    assert Box(start=(2, 0, 7), stop=(7, 4, 9)).shape == (5, 4, 2)


def test_levels_are_rounded_and_cut_off_at_both_ends() -> None:
    values = np.array([-3000, -201.9, -198.1, -194, 700, 9000], dtype=np.float32)
    assert levels(values, -200.0, 4.0, 226).tolist() == [0, 0, 0, 2, 225, 225]
