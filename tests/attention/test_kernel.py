"""The inner loops of the attention map on a few voxels; the whole map is compared in test_mapping."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lymphct.attention.kernel import CHUNK, Brush, Window, find_boxes, paint, split_row
from lymphct.core.arrays import FloatArray, LabelArray

SPACING = (0.8, 1.0, 0.7)


def stored(labels: LabelArray) -> LabelArray:
    labels.flags.writeable = False
    return labels


def test_the_box_of_a_label_holds_all_its_voxels_and_an_absent_one_ends_at_0() -> None:
    labels = np.zeros((4, 5, 6), dtype=np.uint8)
    labels[1, 2, 3:5] = 7
    labels[3, 0, 0] = 7
    labels[0, 4, 5] = 255
    boxes = find_boxes(stored(labels))
    assert boxes[7].tolist() == [1, 4, 0, 3, 0, 5]
    assert boxes[255].tolist() == [0, 1, 4, 5, 5, 6]
    assert not boxes[1:7, 1].any()
    assert not boxes[8:255, 1].any()


def test_touching_labels_have_boxes_of_their_own() -> None:
    boxes = find_boxes(stored(np.array([[[1, 1, 2, 3, 3, 3]]], dtype=np.uint8)))
    assert boxes[1:4, 4:].tolist() == [[0, 2], [2, 3], [3, 6]]


@pytest.mark.parametrize("voxels", [1, 7, CHUNK, CHUNK + 1, 3 * CHUNK - 5])
def test_a_row_is_split_into_as_few_chunks_of_full_vectors_as_hold_it(voxels: int) -> None:
    chunks, width = split_row(voxels)
    assert width <= CHUNK
    assert width % 16 == 0
    assert chunks * width >= voxels
    assert (chunks - 1) * CHUNK < voxels


def painted(brush: Brush, window: Window) -> FloatArray:
    """Paint around or inside a cube of label 4, voxels 3 to 5 along each axis."""
    labels = np.zeros((9, 9, 9), dtype=np.uint8)
    labels[3:6, 3:6, 3:6] = 4
    attention = np.zeros(labels.shape, dtype=np.float32)
    paint(stored(labels), brush, window, SPACING, attention)
    return attention


def test_outside_the_score_falls_with_the_distance_to_the_nearest_voxel() -> None:
    brush = Brush((4, 4, 4, 4), inside=False, reach=3.0, border=2.0)
    attention = painted(brush, Window(source=(3, 6) * 3, target=(0, 9) * 3))
    # Straight away from the face along i, j and k: clip((3 - distance) / 2), centre to centre.
    for axis, step in enumerate(SPACING):
        line = [attention[tuple(5 + n if a == axis else 4 for a in range(3))] for n in range(1, 4)]
        assert_allclose(line, np.clip((3.0 - step * np.arange(1, 4)) / 2.0, 0, 1), atol=1e-6)
    away = np.sqrt(0.8**2 + 1.0**2 + 0.7**2)
    assert_allclose(attention[6, 6, 6], (3.0 - away) / 2.0, atol=1e-6)


def test_inside_the_score_falls_with_the_distance_to_the_nearest_voxel_outside() -> None:
    brush = Brush((4, 4, 4, 4), inside=True, reach=2.0, border=1.0)
    attention = painted(brush, Window(source=(2, 7) * 3, target=(2, 7) * 3))
    assert_allclose(attention[4, 4, 4], 2.0 - 2 * 0.7, atol=1e-6)
    assert_allclose(attention[3, 4, 4], 1.0)  # 0.8 mm from outside: more than the ramp
    attention[3:6, 3:6, 3:6] = 0
    assert not attention.any()


def test_attention_that_is_higher_already_stays() -> None:
    labels = np.zeros((5, 3, 3), dtype=np.uint8)
    labels[0] = 4
    attention = np.full(labels.shape, 0.9, dtype=np.float32)
    window = Window(source=(0, 1, 0, 3, 0, 3), target=(0, 5, 0, 3, 0, 3))
    paint(
        stored(labels), Brush((4, 4, 4, 4), inside=False, reach=1.5, border=1.0), window, SPACING, attention
    )
    assert_allclose(attention[1:, 1, 1], 0.9)
