import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.evaluation.layout import (
    contiguous,
    is_column_major,
    masks_as_labels,
    paired_labels,
    require_not_negative,
    require_same_shape,
    require_spacing,
)


@pytest.mark.parametrize("shapes", [((2, 3, 4), (2, 3, 5)), ((3, 4), (3, 4)), ((), (2, 3, 4))])
def test_images_of_two_grids_are_refused_with_their_sizes(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    with pytest.raises(GeometryMismatchError, match="not two images of one three-dimensional grid"):
        require_same_shape(np.zeros(shapes[0]), np.zeros(shapes[1]))


@pytest.mark.parametrize("spacing", [(0.68, 0.68), (0.68, -1.0, 0.8), (0.68, np.nan, 0.8), (0.0, 1.0, 1.0)])
def test_a_spacing_is_three_positive_finite_lengths(spacing: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="not three positive, finite lengths"):
        require_spacing(spacing)  # type: ignore[arg-type] # on purpose
    require_spacing((0.68, 0.68, 0.8))


def test_everything_but_zero_is_inside_a_mask() -> None:
    prediction = np.array([[[0.0, 0.5, -2.0, np.nan]]])
    truth = np.array([[[True, False, True, False]]])
    first, second = masks_as_labels(prediction, truth)
    assert first.tolist() == [[[0, 1, 1, 1]]]
    assert second.tolist() == [[[1, 0, 1, 0]]]
    assert first.dtype == second.dtype == np.uint8


@pytest.mark.parametrize(
    ("largest", "kind"), [(255, np.uint8), (256, np.uint16), (70_000, np.int32), (2**31, np.int64)]
)
def test_both_maps_get_the_smallest_type_that_holds_them(largest: int, kind: type[np.integer]) -> None:
    first, second = paired_labels(np.full((1, 1, 2), largest, dtype=np.int64), np.ones((1, 1, 2), dtype=bool))
    assert first.dtype == second.dtype == kind
    assert first.max() == largest


def test_maps_of_one_known_type_are_not_copied() -> None:
    labels = np.zeros((2, 3, 4), dtype=np.uint16)
    assert paired_labels(labels, labels)[0] is labels


def test_labels_that_are_no_whole_numbers_from_0_are_refused() -> None:
    fine = np.zeros((1, 1, 2), dtype=np.uint8)
    with pytest.raises(InputError, match="labels of the truth are of type float32"):
        paired_labels(fine, fine.astype(np.float32))
    with pytest.raises(InputError, match="holds the negative label -1"):
        paired_labels(np.full((1, 1, 2), -1, dtype=np.int16), fine)
    with pytest.raises(InputError, match="beyond the range of 64-bit integers"):
        paired_labels(np.full((1, 1, 2), 2**63, dtype=np.uint64), fine)
    with pytest.raises(InputError, match="negative label -4"):
        require_not_negative(-4)


def test_a_pair_with_i_fastest_is_reversed_with_its_spacing_and_not_copied() -> None:
    prediction = np.asfortranarray(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    truth = np.asfortranarray(np.ones((2, 3, 4), dtype=np.uint8))
    assert is_column_major(prediction, truth)
    first, second, spacing = contiguous(prediction, truth, (0.68, 0.7, 0.8))
    assert first.shape == second.shape == (4, 3, 2)
    assert spacing == (0.8, 0.7, 0.68)
    assert np.shares_memory(first, prediction)
    assert first.flags.c_contiguous


def test_a_view_is_copied_into_one_layout() -> None:
    whole = np.arange(48, dtype=np.uint8).reshape(2, 3, 8)
    first, _, spacing = contiguous(whole[:, :, ::2], whole[:, :, 1::2], (0.68, 0.7, 0.8))
    assert_array_equal(first, whole[:, :, ::2])
    assert first.flags.c_contiguous
    assert spacing == (0.68, 0.7, 0.8)
