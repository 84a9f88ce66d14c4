import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from sklearn.metrics import confusion_matrix

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.imaging.label_pairs import label_confusion

LABELS = st.sampled_from([0, 0, 0, 1, 2, 19, 255])
PAIRS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, min_side=2), elements=LABELS)


@settings(deadline=None)  # the first call compiles
@given(PAIRS)
def test_counts_equal_those_of_scikit_learn(maps: AnyArray) -> None:
    prediction, truth = maps[0], maps[1]
    found = label_confusion(prediction, truth)
    expected = confusion_matrix(truth.ravel(), prediction.ravel(), labels=range(256))
    assert_array_equal(found, expected[: len(found), : len(found)])
    assert found.sum() == truth.size


def test_maps_in_another_order_of_axes_are_counted_voxel_by_voxel() -> None:
    rng = np.random.default_rng(0)
    prediction, truth = rng.integers(0, 3, (2, 4, 5, 6)).astype(np.uint8)
    plain = label_confusion(prediction, truth)
    turned = label_confusion(np.asfortranarray(prediction), truth)
    assert_array_equal(plain, turned)
    assert plain[1, 2] == ((truth == 1) & (prediction == 2)).sum()


def test_no_voxel_gives_no_pair() -> None:
    empty = np.zeros((0, 3, 2), np.uint8)
    assert label_confusion(empty, empty).shape == (0, 0)


@pytest.mark.parametrize(
    ("prediction", "truth"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.int32)),
    ],
)
def test_other_shapes_or_types_are_refused(
    prediction: AnyArray,
    truth: AnyArray,
) -> None:
    with pytest.raises(InputError, match="no two uint8 label maps on one grid"):
        label_confusion(prediction, truth)
