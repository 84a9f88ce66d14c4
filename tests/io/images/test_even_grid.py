"""Tilted and uneven stacks: refused, or brought onto an even grid on which a straight ramp stays straight."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydicom.dataset import Dataset

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.io.images.dicom.even_grid import evened, read_evened
from lymphct.io.images.dicom.reading import read_dicom, scan_files
from lymphct.io.images.limits import DicomLimits

Maker = Callable[..., Path]
LIMITS = DicomLimits()


def ramp(heights: AnyArray, shear: float = 0.0) -> AnyArray:
    """HU that rise by 2 per mm along the body and by 1 per mm to the back, as a straight scan shows them."""
    j = np.arange(12.0)[None, :, None] * 4.5 + shear * heights[None, None]
    values: AnyArray = np.broadcast_to(j + 2 * heights[None, None], (8, 12, len(heights)))
    return np.rint(values).astype(np.int16)


def stack(make_series: Maker, heights: AnyArray, shear: float = 0.0) -> Path:
    def edit(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [0.0, float(shear * heights[k]), float(heights[k])]

    return make_series(ramp(heights, shear), edit=edit)


def opened(folder: Path, *, resample: bool) -> AnyArray:
    headers, _ = scan_files(sorted(folder.iterdir()), LIMITS)
    found = evened(headers, LIMITS, resample=resample)
    volume = read_evened(found, LIMITS)
    assert volume.geometry == found.geometry
    return volume.array


def test_an_even_stack_is_read_as_ever(make_series: Maker) -> None:
    folder = stack(make_series, np.arange(6) * 5.0)
    assert np.array_equal(opened(folder, resample=True), read_dicom(folder).volume.array)


def test_uneven_slices_are_refused_or_lie_where_they_belong(make_series: Maker) -> None:
    folder = stack(make_series, np.array([0.0, 3, 6, 10, 13, 16]))
    with pytest.raises(InputError, match="uneven slice spacing: 3 to 4 mm"):
        opened(folder, resample=False)
    found = opened(folder, resample=True)
    assert found.shape == (8, 12, 6)
    assert_allclose(found[0, 0], 2 * np.arange(6) * 3.0, atol=1)


def test_a_tilted_stack_is_refused_or_stands_upright(make_series: Maker) -> None:
    heights = np.arange(8) * 3.0
    folder = stack(make_series, heights, shear=0.3)
    with pytest.raises(InputError, match="gantry tilt: the slices shift sideways by 17 degrees"):
        opened(folder, resample=False)
    found = opened(folder, resample=True)
    inside = found[0, 3:10]
    assert_allclose(inside, ramp(heights)[0, 3:10], atol=1)


def test_what_is_done_is_told(make_series: Maker) -> None:
    headers, _ = scan_files(sorted(stack(make_series, np.array([0.0, 3, 6, 10, 13, 16])).iterdir()), LIMITS)
    (notice,) = evened(headers, LIMITS, resample=True).notices
    assert notice.text == "resampled onto an even grid of 3 mm: uneven slice spacing: 3 to 4 mm"


@pytest.mark.parametrize(
    ("heights", "shear", "word"),
    [
        ([0.0, 3, 6, 15, 18], 0.0, "9 mm between two slices are too much to resample"),
        ([0.0, 3, 6, 6, 9], 0.0, "duplicate slices"),
        ([0.0, 3, 6, 9, 12], 0.8, "the slices do not lie in one line"),
    ],
)
def test_too_much_is_refused_also_then(
    make_series: Maker, heights: list[float], shear: float, word: str
) -> None:
    folder = stack(make_series, np.array(heights), shear)
    with pytest.raises(InputError, match=word):
        opened(folder, resample=True)


def test_a_slice_beside_the_others_is_refused(make_series: Maker) -> None:
    def edit(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [20.0 * (k == 2), 0.0, 3.0 * k + 0.2 * (k == 3)]

    with pytest.raises(InputError, match="the slices do not lie in one line"):
        opened(make_series(ramp(np.arange(6) * 3.0), edit=edit), resample=True)
