from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lymphct.core.arrays import FloatArray
from lymphct.learning.window_plan import planned_windows
from lymphct.learning.windows import Window, inside, window_grid

PATCH = (4, 8, 6)


def _lit(attention: FloatArray, windows: list[Window]) -> list[bool]:
    return [bool(attention[inside(window, attention.shape)].any()) for window in windows]


def _blob(shape: tuple[int, int, int], seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    attention = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(0, 3))):
        low = [int(rng.integers(0, size)) for size in shape]
        k, j, i = (slice(n, n + int(rng.integers(1, 7))) for n in low)
        attention[k, j, i] = 0.5
    return attention


def _require_steps(starts: list[int], size: int, patch: int, step: float) -> None:
    """Begin at the first voxel or before, end at the last or behind, with small steps between."""
    assert -patch < starts[0] <= 0
    assert size - patch <= starts[-1] < size
    assert all(0 < high - low <= max(patch * step, 1) for low, high in pairwise(starts))


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(4, 21), st.integers(8, 30), st.integers(6, 22)),
    st.integers(0, 10_000),
    st.sampled_from([0.5, 1.0]),
)
def test_rows_strips_and_windows_cover_the_image_and_no_more_are_lit_than_on_the_even_grid(
    shape: tuple[int, int, int], seed: int, step: float
) -> None:
    attention = _blob(shape, seed)
    windows = planned_windows(attention, PATCH, step)
    rows: dict[int, dict[int, list[int]]] = {}
    for k, j, i in windows:
        rows.setdefault(k.start, {}).setdefault(j.start, []).append(i.start)
        assert [part.stop - part.start for part in (k, j, i)] == list(PATCH)
    _require_steps(list(rows), shape[0], PATCH[0], step)
    for strips in rows.values():
        _require_steps(list(strips), shape[1], PATCH[1], step)
        for starts in strips.values():
            _require_steps(starts, shape[2], PATCH[2], step)
    lit = _lit(attention, windows)
    for window, is_lit in zip(windows, lit, strict=True):
        assert not is_lit or window == inside(window, shape)
    assert sum(lit) <= sum(_lit(attention, window_grid(shape, PATCH, step)))


def test_attention_of_one_voxel_in_the_middle_is_seen_by_eight_windows_at_half_steps() -> None:
    attention = np.zeros((20, 40, 30), np.float32)
    attention[10, 20, 15] = 0.1
    assert sum(_lit(attention, planned_windows(attention, PATCH, 0.5))) == 8


def test_an_image_without_attention_gets_the_fewest_windows_that_cover_it() -> None:
    windows = planned_windows(np.zeros((8, 16, 12), np.float32), PATCH, 0.5)
    assert len(windows) == 3 * 3 * 3
