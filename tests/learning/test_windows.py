import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lymphct.learning.windows import gaussian, lit_box, widened, window_grid


def test_gaussian_weights_peak_in_the_middle_and_have_the_width_of_nnunet() -> None:
    weight = gaussian((9, 17, 33), 0.125)
    assert weight.argmax() == weight.numel() // 2
    assert weight[4, 8, 16] == 1
    assert weight.min() > 0
    offset = 33 / 8
    assert weight[4, 8, 20].item() == pytest.approx(np.exp(-0.5 * (4 / offset) ** 2), rel=1e-5)
    torch.testing.assert_close(weight, weight.flip(0, 1, 2))


def test_the_paper_s_patch_needs_210_windows_for_a_whole_abdomen() -> None:
    windows = window_grid((300, 512, 512), (80, 192, 160), 0.5)
    assert len(windows) == 7 * 5 * 6
    assert windows[0] == (slice(0, 80), slice(0, 192), slice(0, 160))
    assert windows[-1] == (slice(220, 300), slice(320, 512), slice(352, 512))


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.integers(4, 17)] * 3), st.sampled_from([0.3, 0.5, 1.0]))
def test_every_voxel_lies_in_a_window_and_windows_come_plane_by_plane(
    shape: tuple[int, int, int], step: float
) -> None:
    windows = window_grid(shape, (4, 3, 2), step)
    seen = np.zeros(shape, dtype=bool)
    for window in windows:
        seen[window] = True
        assert [part.stop - part.start for part in window] == [4, 3, 2]
        assert all(part.stop <= size for part, size in zip(window, shape, strict=True))
    assert seen.all()
    assert [window[0].start for window in windows] == sorted(window[0].start for window in windows)


def test_the_box_of_the_light_is_tight_and_absent_in_the_dark() -> None:
    attention = np.zeros((6, 7, 8), np.float32)
    assert lit_box(attention) is None
    attention[2, 3, 4] = attention[4, 3, 7] = 0.1
    assert lit_box(attention) == (slice(2, 5), slice(3, 4), slice(4, 8))


@settings(deadline=None)
@given(
    st.tuples(*[st.tuples(st.integers(1, 9), st.integers(0, 8), st.integers(1, 9))] * 3), st.integers(1, 9)
)
def test_a_widened_box_holds_the_box_and_stays_inside(
    axes: tuple[tuple[int, int, int], ...], wanted: int
) -> None:
    shape = tuple(size for size, _, _ in axes)
    low = [min(start, size - 1) for size, start, _ in axes]
    high = [min(first + length, size) for (size, _, length), first in zip(axes, low, strict=True)]
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    wide = widened(box, shape, (wanted, wanted, wanted))
    for part, old, size in zip(wide, box, shape, strict=True):
        assert 0 <= part.start <= old.start < old.stop <= part.stop <= size
        assert part.stop - part.start == max(old.stop - old.start, min(wanted, size))
